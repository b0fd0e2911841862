"""Files as a client sends them: rows in frames, and contents whole or in parts."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

from ml_dash.protocol import OCTETS
from ml_dash.series import Kind, Series
from tests.support.serving import NOON, SECOND, Answer, Client, frame, objects

FILES = Series(Kind.FILE, None)
LARGE = os.urandom(1 << 20) * 20
"""A content of three parts."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save(file_id: str, data: bytes = b"weights", **fields: Any) -> dict[str, Any]:
    """A row that saves a file."""
    return {
        "event": "save",
        "id": file_id,
        "path": "/models",
        "filename": "a.pt",
        "description": None,
        "tags": [],
        "bindrs": [],
        "contentType": OCTETS,
        "sizeBytes": len(data),
        "checksum": digest(data),
        "metadata": None,
        **fields,
    }


def rows(seq: int, *found: dict[str, Any], at: int = NOON) -> bytes:
    """A frame with these rows, a second apart."""
    return frame(seq, objects(FILES, [(at + number * SECOND, row) for number, row in enumerate(found)]))


class Uploads:
    """One experiment's contents."""

    def __init__(self, client: Client, experiment: str) -> None:
        self._client = client
        self._path = f"/experiments/{experiment}/contents"

    def post(self, path: str, value: Any) -> Answer:
        return self._client.post(f"{self._path}{path}", value)

    def lacking(self, *checksums: str) -> list[str]:
        asked = [{"checksum": checksum, "sizeBytes": 1} for checksum in checksums]
        found: list[str] = self.post("", {"contents": asked}).body["lacking"]
        return found

    def put(self, data: bytes, checksum: str | None = None) -> Answer:
        return self._client.ask(
            "PUT", f"{self._path}/{checksum or digest(data)}", data, headers={"Content-Type": OCTETS}
        )

    def put_part(self, checksum: str, number: int, data: bytes, *, of: bytes | None = None) -> Answer:
        name = base64.b64encode(hashlib.sha256(data if of is None else of).digest()).decode()
        headers = {"Content-Type": OCTETS, "Content-Digest": f"sha-256=:{name}:"}
        return self._client.ask("PUT", f"{self._path}/{checksum}/parts/{number}", data, headers=headers)

    def put_all(self, data: bytes) -> None:
        """Send a large content in its parts."""
        begun = self.post(f"/{digest(data)}/upload", {"sizeBytes": len(data)}).body
        length = begun["partBytes"]
        for number, start in enumerate(range(0, len(data), length), 1):
            if number not in begun["parts"]:
                assert self.put_part(digest(data), number, data[start : start + length]).status == 200
        assert self.post(f"/{digest(data)}/complete", {}).status == 200
