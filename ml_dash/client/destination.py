"""Where an experiment's journal lies, and which server it is sent to: what `dash_url` and `dash_root` mean together.

=============  ===========  =========================================================================
``dash_url``   `dash_root`  mode
=============  ===========  =========================================================================
None           a directory  local: the journal is all there is
a URL or True  a directory  hybrid: the journal stays, and is sent to the server
a URL or True  None         remote: the journal lies in the outbox until the server has it
=============  ===========  =========================================================================
"""

from __future__ import annotations

import os
import re
from typing import Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.paths import absolute_path, config_directory
from ml_dash.records import NamedTuple

DEFAULT_URL = "https://api.dash.ml"
"""The server that ``dash_url=True`` means where ``ML_DASH_API_URL`` names none."""
OUTBOX = "outbox"
"""The directory, below the configuration's, of journals that wait for their server."""


class Destination(NamedTuple):
    """Where a journal goes: below `root`, where it stays if `keeps`, and to `url` (no slash at its end), if any."""

    root: str
    url: str | None
    keeps: bool

    @property
    def arguments(self) -> dict[str, str | None]:
        """The arguments of `Experiment` that mean this, in another process too."""
        return {"dash_url": self.url, "dash_root": self.root if self.keeps else None}


def destination(dash_url: str | bool | None, dash_root: str | os.PathLike[str] | None) -> Destination:
    """Return what the two arguments of `Experiment` mean.

    Raises:
        InvalidArgumentError: one of them is no URL or no path, or both say that there is nowhere to write.
    """
    url = None if dash_url is None or dash_url is False else server_url(dash_url)
    if dash_root is not None:
        return Destination(absolute_path(dash_root, "dash_root", ".dash"), url, keeps=True)
    if url is None:
        raise InvalidArgumentError(
            f"dash_url={dash_url!r} and dash_root=None: nowhere to write. Pass dash_root='.dash', or dash_url= for a "
            "server"
        )
    # the root of the journals that wait for one server: a name that tells which, and is a file's
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", url)
    return Destination(os.path.join(config_directory(), OUTBOX, name), url, keeps=False)


def is_server(where: Any) -> bool:
    """Whether a place is a server, by a URL or True for the default one, and not a directory."""
    return where is True or (isinstance(where, str) and "://" in where)


def default_url() -> str:
    """Return the URL of the server to use where none is named."""
    return os.environ.get("ML_DASH_API_URL") or DEFAULT_URL


def server_url(given: Any) -> str:
    """Return a server's URL in the form in which it is compared and stored; True means the default one.

    Raises:
        InvalidArgumentError: it is no URL that a token may be sent to.
    """
    from ml_dash.origins import parse_address

    if given is True and (named := os.environ.get("ML_DASH_API_URL")):
        try:
            return parse_address(named).url
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"ML_DASH_API_URL={named!r}: {error}") from None
    if given is True:
        given = DEFAULT_URL
    if not isinstance(given, str) or not given.strip():
        msg = f"dash_url={given!r} is not a server's URL: pass 'https://host', or True for {default_url()}"
        raise InvalidArgumentError(msg)
    return parse_address(given).url


def make_outbox() -> None:
    """Make the outbox, in a directory that only the user may enter, or raise OSError."""
    from ml_dash.tokens.directory import make_private
    from ml_dash.tokens.token import TokenStoreError

    try:
        make_private(config_directory())
    except TokenStoreError as error:
        raise OSError(f"the outbox in {config_directory()!r} cannot be made ({error.__cause__})") from error
