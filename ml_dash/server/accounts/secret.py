"""What is kept of a secret that somebody shows: a hash, from which nobody gets back to it."""

from __future__ import annotations

import hashlib

__all__ = ["TOKEN_CHARACTERS_MAX", "hash_token"]

TOKEN_CHARACTERS_MAX = 512
"""A longer text is no token; it is not even hashed."""


def hash_token(token: str) -> str:
    """Return what is kept of a token: its SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
