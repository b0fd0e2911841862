"""Servers that the user has chosen to trust although nothing else vouches for them, as `servers.json` lists them.

Two things can be chosen, each for one origin only:

- a certificate, by its SHA-256 fingerprint: of a server that made its own, which no authority has signed;
- plain http to another machine, for a network that is trusted: whoever is on the line reads tokens and rows.

`ml-dash login` writes the file, `ml-dash logout` takes a server out of it, and everything that speaks with one reads it
here: the file is looked at before each request, so that neither needs a restart of what runs.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.paths import config_directory
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES_MAX = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Trust(NamedTuple):
    """What was chosen for an origin.

    Attributes:
        fingerprint: Of the one certificate that is accepted there, as `parse_fingerprint` returns it; None: whatever
            certificate an authority vouches for.
        plain: Whether plain http is accepted, to another machine than this one.
    """

    fingerprint: str | None = None
    plain: bool = False


NONE = Trust()
"""What holds for an origin for which nothing was chosen."""


class _Read(NamedTuple):
    path: str
    stamp: tuple[int, ...] | None
    servers: dict[str, Trust]


# one assignment replaces it whole: threads need no lock, and a fork copies none that is held
_last = _Read("", None, {})
# what a login under way has asked the user, and has not stored yet
_for_now: dict[str, Trust] = {}


def trust_in(origin: str) -> Trust:
    """Return what was chosen for an origin (see `ml_dash.origins.origin`). Cheap enough to ask before each request.

    Raises:
        InvalidArgumentError: The file cannot be read. What it says is not guessed at: it may have pinned a certificate.
    """
    return _for_now.get(origin) or all_trusted().get(origin, NONE)


def all_trusted() -> dict[str, Trust]:
    """Return everything that was chosen, by origin; raise as `trust_in` does."""
    global _last  # noqa: PLW0603 - the cache of the one file that a process has
    path = servers_path()
    # taken before the file is read: if it changes in between, the next call reads it again
    stamp = _stamp(path)
    if (path, stamp) != (_last.path, _last.stamp):
        _last = _Read(path, stamp, {} if stamp is None else _read(path))
    return _last.servers


@contextmanager
def trusting(origin: str, trust: Trust) -> Iterator[None]:
    """Have an origin trusted in this process until the block ends, whatever the file says."""
    before = _for_now.get(origin)
    _for_now[origin] = trust
    try:
        yield
    finally:
        if before is None:
            del _for_now[origin]
        else:
            _for_now[origin] = before


def servers_path() -> str:
    """Return the path of the file; it need not exist."""
    return os.path.join(config_directory(), "servers.json")


def encoded(servers: dict[str, Trust]) -> bytes:
    """Return the content of the file for what was chosen."""
    shown = {
        origin: {"plain": True} if trust.plain else {"fingerprint": show_fingerprint(trust.fingerprint or "")}
        for origin, trust in sorted(servers.items())
        if trust != NONE
    }
    return (json.dumps(shown, indent=2) + "\n").encode()


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 small hexadecimal digits, from whatever way a tool shows it.

    Raises:
        InvalidArgumentError: It is none.

    Example:
        >>> parse_fingerprint("sha256 Fingerprint=AB:CD" + ":00" * 30)[:6]
        'abcd00'
    """
    digits = text.strip().lower().rpartition("=")[2].removeprefix("sha256:").replace(":", "").replace(" ", "")
    if _DIGEST.fullmatch(digits) is None:
        raise InvalidArgumentError(
            f"{text!r:.100} is no SHA-256 fingerprint: give its 64 hexadecimal digits, with or without colons, as "
            "`ml-dash server` prints them"
        )
    return digits


def show_fingerprint(digits: str) -> str:
    """Return a fingerprint as people compare it: ``AB:CD:…``."""
    return ":".join(re.findall("..", digits.upper()))


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: str) -> dict[str, Trust]:
    try:
        with open(path, "rb") as file:
            content = file.read(_BYTES_MAX + 1)
        if len(content) > _BYTES_MAX:
            raise _unreadable(path, f"it has more than {_BYTES_MAX} bytes")
        found = json.loads(content)
        return {str(origin): _trust(each) for origin, each in found.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error


def _trust(given: dict[str, Any]) -> Trust:
    fingerprint = given.get("fingerprint")
    return Trust(None if fingerprint is None else parse_fingerprint(fingerprint), given.get("plain") is True)


def _unreadable(path: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{path!r}, which says which servers are trusted, cannot be read ({reason}): mend it, or remove it and run "
        "`ml-dash login` again for the servers that it named"
    )
