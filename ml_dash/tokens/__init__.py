"""Tokens at the client: where they are kept, for which server each is, and how one is got.

Importing this loads neither aiohttp nor cryptography.
"""

from __future__ import annotations

from ml_dash.origins import origin
from ml_dash.tokens.current import token_for
from ml_dash.tokens.store import TokenStore
from ml_dash.tokens.token import AuthError, LoginError, Token, TokenStoreError

__all__ = [
    "AuthError",
    "LoginError",
    "Token",
    "TokenStore",
    "TokenStoreError",
    "origin",
    "token_for",
]
