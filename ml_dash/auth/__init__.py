"""Tokens at the client: where they are kept, for which server each is, and how one is got.

Importing this loads neither aiohttp nor cryptography.
"""

from __future__ import annotations

from ml_dash.auth.current import token_for
from ml_dash.auth.errors import AuthError, LoginError, TokenStoreError
from ml_dash.auth.store import TokenStore
from ml_dash.auth.token import Token
from ml_dash.origins import origin

__all__ = [
    "AuthError",
    "LoginError",
    "Token",
    "TokenStore",
    "TokenStoreError",
    "origin",
    "token_for",
]
