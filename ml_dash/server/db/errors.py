"""Why a database cannot be used."""

from __future__ import annotations

from ml_dash.errors import MLDashError

__all__ = ["DatabaseError"]


class DatabaseError(MLDashError, RuntimeError):
    """A database cannot be used: it is out of reach, or a newer version of ML-Dash has changed it."""
