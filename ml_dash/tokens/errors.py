"""What can go wrong with tokens at the client.

::

    MLDashError
    └── AuthError(RuntimeError)
        ├── TokenStoreError     the stored tokens cannot be read or written
        └── LoginError          a server refuses a login or a token, or is no ML-Dash server

A server that is out of reach is a `ml_dash.errors.ServerUnavailableError`, as everywhere.
"""

from __future__ import annotations

from ml_dash.errors import MLDashError

__all__ = ["AuthError", "LoginError", "TokenStoreError"]


class AuthError(MLDashError, RuntimeError):
    """Something is wrong with a token, or with where tokens are kept."""


class TokenStoreError(AuthError):
    """The stored tokens cannot be read or written."""


class LoginError(AuthError):
    """A server refuses a login or a token, or it is no ML-Dash server."""
