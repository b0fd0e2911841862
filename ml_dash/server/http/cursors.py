"""Cursors of lists: where a page ended, or what a list has shown, as a text that clients hand back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_cursor(place: Sequence[str | int]) -> str:
    """Return the cursor of a place in a list."""
    return base64.urlsafe_b64encode(to_msgpack(list(place))).decode().rstrip("=")


def read_cursor(cursor: str) -> Any:
    """Return the value that a cursor holds, None if it is invalid. It may be anything: clients can make cursors up."""
    try:
        place = from_msgpack(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except ValueError:  # also of base64 and of msgpack
        return None
    # Python takes True for a number, and PostgreSQL does not
    return None if isinstance(place, list) and any(isinstance(each, bool) for each in place) else place


def invalid_cursor(cursor: str) -> ApiError:
    """Return the answer to an invalid cursor."""
    return ApiError(
        400, ErrorCode.INVALID, f"cursor={cursor!r:.100} is invalid: give the cursor of the page before"
    )


def invalid_as_of(text: str) -> ApiError:
    """Return the answer to an invalid `changed_since`."""
    return ApiError(
        400, ErrorCode.INVALID, f"changed_since={text!r:.100} is invalid: give the asOf of an earlier list"
    )


def too_old_as_of(text: str) -> ApiError:
    """Return the answer to a `changed_since` so old that not all changes are known any more."""
    return ApiError(
        400, ErrorCode.INVALID, f"changed_since={text!r:.100} is too long ago: list all again, without it"
    )
