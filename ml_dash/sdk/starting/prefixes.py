"""Prefixes that are filled in when an `Experiment` is made: ``alice/vision/resnet-{n}``.

``{time}`` is the UTC time to the second, ``{host}`` the machine's name, ``{user}`` the user's, and ``{n}`` the next
number that is free. A number is taken when it is given: by a directory below the root, that only one process can make,
and by the server, which creates an experiment for one of those who ask at once.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidPrefixError, JournalWriteError, MLDashError, ServerUnavailableError
from ml_dash.identity import current_user, made_safe, parse_prefix, script_stem, utc_time
from ml_dash.notices import warn_user
from ml_dash.processes import host_name
from ml_dash.sdk.starting.server_side import names_at_server, take_at_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ml_dash.client.destination import Destination
    from ml_dash.clock import Clock
    from ml_dash.identity import Identity

_FIELD = r"\{(\w*)\}"
_N = "{n}"
_HOST_BYTES = 200
_TRIES = 100


def identity_of(prefix: Any, place: Destination, clock: Clock) -> tuple[Identity, bool]:
    """Return what a prefix names, and whether that was taken just now, by its ``{n}``.

    Raises:
        InvalidPrefixError: it cannot name an experiment, or has a field that is not known.
        JournalWriteError: a number cannot be taken on this disk.
        ServerUnavailableError: with ``dash_root=None`` a number cannot be taken without the server.
    """

    def parsed(text: Any) -> Identity:
        return parse_prefix(text, user=current_user, now_ns=clock.time_ns, script=script_stem())

    given = prefix if prefix is not None else os.environ.get("ML_DASH_PREFIX")
    if not isinstance(given, str) or "{" not in given or not re.search(_FIELD, given):
        return parsed(prefix), False
    text = _filled(given, clock)
    if _N not in text:
        return parsed(text), False
    # its other segments are filled in where they are missing
    full = _numbered_parts(parsed(text.replace(_N, "{0}")).prefix)
    number = max(_taken(full, place), default=0) + 1
    while not _take(found := parsed(number_in(full, number)), place):
        number += 1
    return found, True


def sample(prefix: Any) -> Any:
    """Return a prefix that can be checked in the place of one with ``{n}``, of which no number is taken."""
    return prefix.replace(_N, "1") if isinstance(prefix, str) else prefix


def _filled(text: str, clock: Clock) -> str:
    values: dict[str, Callable[[], str]] = {
        "time": lambda: utc_time(clock.time_ns()),
        "host": lambda: made_safe(host_name(), fallback="host", limit=_HOST_BYTES),
        "user": current_user,
        "n": lambda: _N,
    }

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = ", ".join(f"{{{name}}}" for name in values)
            raise InvalidPrefixError(f"prefix {text!r}: {match[0]} is not known; use {known}")
        return values[match[1]]()

    return re.sub(_FIELD, value, text)


def _numbered_parts(prefix: str) -> list[str]:
    return prefix.split("{0}")


def number_in(parts: list[str], number: int) -> str:
    """Return a prefix with its number."""
    return str(number).join(parts)


def _taken(parts: list[str], place: Destination) -> Iterable[int]:
    """Yield the numbers that are taken, on this disk and, if it can be asked, at the server."""
    above, _, begin = parts[0].rpartition("/")
    end = parts[1].partition("/")[0]
    pattern = re.compile(rf"{re.escape(begin)}(\d{{1,18}}){re.escape(end)}")
    names = _names_on_disk(place, above) | (names_at_server(place, above) or set())
    return [int(match[1]) for name in names if (match := pattern.fullmatch(name))]


def _names_on_disk(place: Destination, above: str) -> set[str]:
    if not place.keeps:
        return set()
    try:
        return set(os.listdir(os.path.join(place.root, *above.split("/"))))
    except OSError:
        return set()  # there is none yet; whether it can be made is said where it is


def _take(identity: Identity, place: Destination) -> bool:
    """Take a name, for this process alone; False where somebody else has it."""
    if place.keeps and not take_on_disk(identity.directory(place.root), identity.prefix):
        return False
    if place.url is None:
        return True
    try:
        if is_free := take_at_server(place, identity.prefix):
            return is_free
        leave_on_disk(identity.directory(place.root), place)
        return False
    except ServerUnavailableError as error:
        if not place.keeps:
            raise
        warn_user(
            f"the number of {identity.prefix!r} is the next one below {place.root}: {place.url} cannot be asked for "
            f"its own ({error})",
            UserWarning,
        )
        return True
    except MLDashError as error:
        raise JournalWriteError(f"no number can be taken for {identity.prefix!r}: {error}") from error


def leave_on_disk(directory: str, place: Destination) -> None:
    """Remove what `take_on_disk` has made, for a name that a server has given to somebody else."""
    if place.keeps:
        with contextlib.suppress(OSError):  # of a directory in which there is something else
            os.rmdir(os.path.join(directory, "journal"))
            while directory.startswith(os.path.join(place.root, "")):
                os.rmdir(directory)
                directory = os.path.dirname(directory)


def take_on_disk(directory: str, prefix: str) -> bool:
    """Make an experiment's journal; False where there is one.

    Raises:
        JournalWriteError: it cannot be made.
    """
    try:
        for _ in range(_TRIES):
            # another process may remove it at this moment, for a name that it has not got (`leave_on_disk`)
            with contextlib.suppress(FileNotFoundError):
                _make_directory(directory)
                os.mkdir(os.path.join(directory, "journal"))
                return True
        os.mkdir(os.path.join(directory, "journal"))
    except FileExistsError:
        return False
    except OSError as error:
        raise JournalWriteError(
            f"cannot make the directory of {prefix!r}, {directory!r}: {error.strerror or error}. Pass another "
            "dash_root=, or make that directory writable"
        ) from error
    return True


def _make_directory(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except FileExistsError:
        if os.path.lexists(directory):
            raise
        raise FileNotFoundError(directory) from None  # it was there a moment ago
