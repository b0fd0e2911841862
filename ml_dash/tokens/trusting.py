"""Changes of what `ml_dash.trust` reads: by `ml-dash login`, and by `ml-dash logout`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ml_dash import trust
from ml_dash.errors import InvalidArgumentError
from ml_dash.notices import logger
from ml_dash.tokens.directory import locked, make_private, replace_private, set_aside
from ml_dash.tokens.token import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.trust import Trust


def choose(origin: str, chosen: Trust) -> None:
    """Store what was chosen for an origin; `trust.NONE` takes it out.

    A file that cannot be read is kept beside the new one, as `servers.json.bad`, with a warning.

    Raises:
        TokenStoreError: The file cannot be written.
    """
    _change(lambda servers: servers.update({origin: chosen}))


def forget(origin: str) -> bool:
    """Take an origin out; returns whether it was there. Raises as `choose` does."""
    try:
        if origin not in trust.all_trusted():
            return False
    except InvalidArgumentError:
        pass  # nobody knows: what cannot be read is put aside, and trusts nobody any more
    _change(lambda servers: servers.pop(origin, None))
    return True


def _change(change: Callable[[dict[str, Trust]], object]) -> None:
    path = trust.servers_path()
    directory = os.path.dirname(path)
    make_private(directory)
    try:
        with locked(directory):
            try:
                servers = dict(trust.all_trusted())
            except InvalidArgumentError as error:
                servers = {}
                logger().warning("%s. The old file is kept as %s", error, set_aside(path))
            change(servers)
            replace_private(path, trust.encoded(servers))
    except OSError as error:
        raise TokenStoreError(
            f"which servers are trusted cannot be stored in {path!r}: {error.strerror}; "
            "let ML_DASH_CONFIG_DIR name another directory"
        ) from error
