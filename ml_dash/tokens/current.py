"""The token to use for a URL at this moment. A login while a run is going on is noticed without a restart."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.notices import logger
from ml_dash.origins import origin
from ml_dash.tokens.store import TokenStore
from ml_dash.tokens.token import Token, TokenStoreError

VARIABLE = "ML_DASH_TOKEN"
ORIGIN_VARIABLE = "ML_DASH_TOKEN_ORIGIN"
_AGAIN_SECONDS = 30.0
"""A store that could not be read is tried again after this time: a keyring may be unlocked meanwhile."""


class _Read(NamedTuple):
    """What was in the file of this path when it looked like this; `problem` is why it could not be read."""

    path: str
    stamp: tuple[int, ...] | None
    tokens: dict[str, Token]
    problem: str = ""
    read_at: float = 0.0


# one assignment replaces it whole: threads need no lock, and a fork copies none that is held
_last = _Read("", None, {})


def token_for(url: str, *, named: bool = True) -> Token | None:
    """Return the token for a URL; None where there is none. Cheap enough to ask before each request.

    `ML_DASH_TOKEN` comes first, then what `ml-dash login` stored for the URL's origin. A store that cannot be read
    counts as empty, with one warning: a training run goes on, and a login mends it.

    `ML_DASH_TOKEN` names no server. So it is for the one of `ML_DASH_TOKEN_ORIGIN` alone; where that is not set, for
    URLs that the user has named, and never for one that came from elsewhere (`named=False`): a redirect's target, the
    address in a journal that somebody sent. This machine is no exception: whoever has a login on it can listen at a
    port.

    Raises:
        InvalidArgumentError: No token may be sent to the URL (see `origin`), or `ML_DASH_TOKEN` holds
            what cannot be a token, or `ML_DASH_TOKEN_ORIGIN` no server's URL.
    """
    place = origin(url)
    given = environment_token()
    if given is not None and is_meant_for(place, named=named):
        return given
    return _stored().get(place)


def environment_token() -> Token | None:
    """Return what `ML_DASH_TOKEN` holds; None where it is not set."""
    given = os.environ.get(VARIABLE)
    return Token(given, VARIABLE) if given and given.strip() else None


def is_meant_for(place: str, *, named: bool) -> bool:
    """Say whether `ML_DASH_TOKEN` is for an origin, which the user has `named` or not."""
    only = os.environ.get(ORIGIN_VARIABLE, "").strip()
    if not only:
        return named
    try:
        return origin(only) == place
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{ORIGIN_VARIABLE}={only!r}: {error}") from None


def _stored() -> dict[str, Token]:
    global _last  # noqa: PLW0603 - the cache of the one store that a process has
    store = TokenStore()
    # taken before the file is read: if it changes in between, the next call reads it again
    stamp = store.stamp()
    changed = (store.path, stamp) != (_last.path, _last.stamp)
    if changed or (_last.problem and time.monotonic() - _last.read_at > _AGAIN_SECONDS):
        _last = _Read(store.path, stamp, {}) if stamp is None else _read(store, stamp)
    return _last.tokens


def _read(store: TokenStore, stamp: tuple[int, ...]) -> _Read:
    try:
        return _Read(store.path, stamp, store.all())
    except (TokenStoreError, InvalidArgumentError) as error:
        if str(error) != _last.problem:
            logger().warning("%s. Until then there is no token.", error)
        return _Read(store.path, stamp, {}, str(error), time.monotonic())
