"""How runs and experiments of MLflow's are called here, and back: names say it all, and nothing is looked up.

A run's id is its prefix, written in the letters that an id may have; an experiment's id is its name where that is
an id, else the name in such letters. A tracking URI is a place: ``mldash://`` or ``mldash:///directory`` is a root
on this disk, ``mldash://host:port`` a server.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from ml_dash.errors import InvalidArgumentError
from ml_dash.identity import current_user

SCHEME = "mldash"
DEFAULT = ("0", "Default")
"""The id and the name of the experiment that MLflow begins with."""
_ID = re.compile(r"[a-zA-Z0-9][\w-]{0,63}")
_WRITTEN = "e-"
_NEAR = ("localhost", "127.0.0.1", "[::1]")


class Place(NamedTuple):
    """Where experiments are.

    Attributes:
        url: the server; None for this disk alone.
        root: the directory of journals.
    """

    url: str | None
    root: str

    @property
    def arguments(self) -> dict[str, Any]:
        """What `Experiment` takes for it."""
        return {"dash_url": self.url, "dash_root": self.root}

    @property
    def where(self) -> str:
        """What `ml_dash.experiments` and `ml_dash.open` take for it."""
        return self.url or self.root


def place_of(uri: str) -> Place:
    """Return what a tracking URI or an artifact's URI means.

    Raises:
        InvalidArgumentError: it has another scheme.
    """
    parts = urlsplit(uri)
    if parts.scheme != SCHEME:
        raise InvalidArgumentError(
            f"{uri!r} is not a URI of ML-Dash: write mldash://, mldash:///directory or mldash://host:port"
        )
    query = parse_qs(parts.query)
    root = query["root"][0] if "root" in query else (parts.path if not parts.netloc else "") or ".dash"
    if not parts.netloc:
        return Place(None, root)
    is_near = parts.hostname is not None and parts.netloc.partition(":")[0] in _NEAR
    return Place(f"{'http' if is_near else 'https'}://{parts.netloc}", root)


def artifact_uri(place: Place, prefix: str) -> str:
    """Return the URI of a run's artifacts; its path is that of an artifact among them."""
    host = urlsplit(place.url).netloc if place.url else ""
    return f"{SCHEME}://{host}/?prefix={quote(prefix, safe='')}&root={quote(os.path.abspath(place.root), safe='')}"


def prefix_in(uri: str) -> str:
    """Return the prefix in an artifact's URI."""
    return parse_qs(urlsplit(uri).query)["prefix"][0]


def run_id(prefix: str) -> str:
    """Return the id of the run that is the experiment of a prefix."""
    return _encoded(prefix)


def prefix_of(run: str) -> str:
    """Return the prefix of a run.

    Raises:
        InvalidArgumentError: it is not an id of ours.
    """
    try:
        return _decoded(run)
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{run!r:.200} is not the id of a run in ML-Dash") from error


def experiment_id(name: str) -> str:
    """Return the id of an experiment."""
    if name == DEFAULT[1]:
        return DEFAULT[0]
    return name if _ID.fullmatch(name) and not name.startswith(_WRITTEN) else f"{_WRITTEN}{_encoded(name)}"


def experiment_name(identity: str) -> str:
    """Return the name of an experiment."""
    if identity == DEFAULT[0]:
        return DEFAULT[1]
    return _decoded(identity.removeprefix(_WRITTEN)) if identity.startswith(_WRITTEN) else identity


def name_of(prefix: str) -> str:
    """Return the name of the experiment that a run belongs to: its folder, or of the user's own the project alone."""
    folder = prefix.rpartition("/")[0]
    owner, _, project = folder.partition("/")
    return project if owner == current_user() and "/" not in project else folder


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
