"""Cursors of lists: where a page ended, as a text that clients hand back."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from ml_dash.journal.blocks import from_msgpack, to_msgpack
from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["no_cursor", "place_of_cursor", "write_cursor"]


def write_cursor(place: Sequence[str | int]) -> str:
    """Return the cursor of a place in a list."""
    return base64.urlsafe_b64encode(to_msgpack(list(place))).decode().rstrip("=")


def place_of_cursor(cursor: str) -> Any:
    """Return what a cursor holds, whatever it is: a client may have made it up; None where it holds nothing."""
    try:
        return from_msgpack(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error):
        return None


def no_cursor(cursor: str) -> ApiError:
    """Return the answer to a cursor that is none."""
    return ApiError(
        400, ErrorCode.INVALID, f"cursor={cursor!r:.100} is none: give what the page before had as its cursor"
    )
