"""The errors of a server: those that it answers with, and that of its database."""

from __future__ import annotations

from typing import Any

from ml_dash.errors import MLDashError
from ml_dash.protocol import ErrorCode


class DatabaseError(MLDashError, RuntimeError):
    """A database cannot be used: it is out of reach, or a newer version of ML-Dash has changed it."""


class ApiError(Exception):
    """An answer that is an error: raised anywhere below a route, sent to the client by the application.

    Args:
        status: The HTTP status.
        code: A word for programs, one of `ml_dash.protocol.ErrorCode`.
        message: A sentence for people; it names the value and the remedy.
        **details: What else the client needs, such as ``expected=``; part of the answer.
    """

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {"error": {"code": self.code, "message": self.message, **self.details}}


def busy(what: str) -> ApiError:
    """Return the answer when a limit on work in progress is reached."""
    return ApiError(503, ErrorCode.BUSY, f"{what}: send it again in a second", retryAfter=1)


def disk_full() -> ApiError:
    """Return the answer when there is no space left."""
    return ApiError(
        507,
        ErrorCode.DISK_FULL,
        "the server's disk is full: nothing of this request was stored, and everything acknowledged before is; "
        "make room there, and send it again",
    )
