"""The form of `token.enc`: a header, and tokens by origin, encrypted and authenticated by AES-256-GCM.

::

    4 bytes  "MLDT"
    1 byte   version of the format, 1
    1 byte   where the key is kept: 0 key file, 1 system keyring
    8 bytes  name of the key
    12 bytes nonce, new each time that the file is written
    rest     ciphertext and tag of a JSON object {origin: token}; the header without the nonce is associated data

Behind a token that was made elsewhere than by a login of this machine stands `` shared``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.forks import guarded_imports
from ml_dash.tokens.keys import FILE, KEY_ID_BYTES, KEYRING, Key
from ml_dash.tokens.token import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"MLDT"
VERSION = 1
# Thousands of tokens: what is larger was put there by mistake, and is not read into memory.
SIZE_MAX = 1 << 20
_HEADER_BYTES = len(MAGIC) + 2 + KEY_ID_BYTES
# What GCM is made for (NIST SP 800-38D, 8.2.2): random ones do for 2**32 writes with one key.
_NONCE_BYTES = 12


class Sealed(NamedTuple):
    """An encrypted file, taken apart."""

    header: bytes
    source: int
    key_id: bytes
    nonce: bytes
    ciphertext: bytes


def seal(tokens: Mapping[str, str], key: Key) -> bytes:
    """Return the file's content for these tokens by origin."""
    with guarded_imports():
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = MAGIC + bytes([VERSION, key.source]) + key.key_id
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + AESGCM(key.secret).encrypt(nonce, json.dumps(tokens).encode(), header)


def read_header(content: bytes) -> Sealed:
    """Take a file's content apart.

    Raises:
        TokenStoreError: It is no file of tokens, or a newer version wrote it.
    """
    if not content.startswith(MAGIC) or len(content) <= _HEADER_BYTES + _NONCE_BYTES:
        raise TokenStoreError("it is damaged, or no file of tokens")
    version, source = content[len(MAGIC)], content[len(MAGIC) + 1]
    if version > VERSION:
        raise TokenStoreError(f"a newer version of ML-Dash wrote it (format {version}, known is {VERSION})")
    if version != VERSION or source not in {FILE, KEYRING}:
        raise TokenStoreError("its header is damaged")
    return Sealed(
        header=content[:_HEADER_BYTES],
        source=source,
        key_id=content[_HEADER_BYTES - KEY_ID_BYTES : _HEADER_BYTES],
        nonce=content[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES],
        ciphertext=content[_HEADER_BYTES + _NONCE_BYTES :],
    )


def open_sealed(sealed: Sealed, key: Key) -> dict[str, str]:
    """Return the tokens by origin.

    Raises:
        TokenStoreError: The file was changed, or encrypted with another key.
    """
    with guarded_imports():
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        plain = AESGCM(key.secret).decrypt(sealed.nonce, sealed.ciphertext, sealed.header)
        tokens = json.loads(plain)
    except InvalidTag:
        raise TokenStoreError("it is damaged, or was encrypted with another key") from None
    except ValueError:
        raise TokenStoreError("what is encrypted in it is not JSON") from None
    if not isinstance(tokens, dict) or not all(isinstance(token, str) for token in tokens.values()):
        raise TokenStoreError("what is encrypted in it is no list of tokens")
    return tokens
