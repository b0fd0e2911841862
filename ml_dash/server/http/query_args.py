"""A request's arguments: each is checked, and none is ignored."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["INDEX_MAX", "Arguments", "invalid"]

INDEX_MAX = 2**63 - 1
TEXT_MAX = 4096


def invalid(name: str, value: object, remedy: str) -> ApiError:
    """Return what is answered to an argument that is not allowed."""
    return ApiError(400, ErrorCode.INVALID, f"{name}={value!r:.200}: {remedy}")


class Arguments:
    """The arguments in a request's URL.

    Args:
        request: The request.
        known: The names that this route knows; another one is a mistake, perhaps in writing.
        several: Those of them that may be given more than once.

    Raises:
        ApiError: 400: there is another one, or one of them twice.
    """

    def __init__(self, request: web.Request, *known: str, several: tuple[str, ...] = ()) -> None:
        self._values: dict[str, str] = {}
        self._several: dict[str, list[str]] = {}
        for name, value in request.query.items():
            if name not in known:
                remedy = f"give {', '.join(known)}" if known else "give none"
                raise invalid(name, value, f"this path has no such argument: {remedy}")
            if name in several:
                self._several.setdefault(name, []).append(value)
                continue
            if name in self._values:
                raise invalid(name, value, "it is given twice: give it once")
            self._values[name] = value

    def text(self, name: str, *, most: int = TEXT_MAX) -> str | None:
        """Return a text; None where it is not given.

        Raises:
            ApiError: It is too long.
        """
        value = self._values.get(name)
        if value is not None and len(value) > most:
            raise invalid(name, value[:40] + "…", f"give at most {most} characters")
        return value

    def whole(self, name: str, default: int, most: int = INDEX_MAX) -> int:
        """Return a whole number from 0 on.

        Raises:
            ApiError: It is none, or over `most`.
        """
        value = self._values.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,19}", value) or int(value) > most:
            raise invalid(name, value, f"give a whole number from 0 to {most}")
        return int(value)

    def optional_whole(self, name: str, most: int = INDEX_MAX) -> int | None:
        """Return a whole number from 0 on; None where it is not given."""
        return self.whole(name, 0, most) if name in self._values else None

    def number(self, name: str) -> float | None:
        """Return a finite number; None where it is not given.

        Raises:
            ApiError: It is none.
        """
        value = self._values.get(name)
        if value is None:
            return None
        try:
            number = float(value) if len(value) <= 64 and value.isascii() and "_" not in value else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise invalid(name, value, "give a finite number")
        return number

    def texts(self, name: str) -> list[str] | None:
        """Return a list of texts, which are separated by commas; None where it is not given."""
        value = self.text(name)
        return None if value is None else value.split(",")

    def all(self, name: str) -> tuple[str, ...]:
        """Return all texts of an argument that may be given more than once."""
        return tuple(self._several.get(name, ()))

    def flag(self, name: str) -> bool:
        """Return a yes or a no, which is the default.

        Raises:
            ApiError: It is neither.
        """
        value = self._values.get(name, "false")
        if value not in {"true", "false"}:
            raise invalid(name, value, "give true or false")
        return value == "true"
