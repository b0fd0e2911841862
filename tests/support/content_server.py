"""A server on a real socket that gives one content, and cuts, lies or refuses as a test wants."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

from tests.support.listening import Quiet, listening

JSON = "application/json"


@dataclass
class ContentServer:
    """What the server gives, and what it was asked.

    Attributes:
        content: The bytes.
        cuts: After how many bytes each answer is cut, one after the other; the rest are whole.
        ranges: Whether it knows what a range is.
        length: The length that it claims; None for the true one, -1 for none.
        refusals: Errors that it answers with first: status and body.
        etag: The content's; another one once it is replaced.
        asked: The ranges that were asked for; None for all of it.
    """

    content: bytes = b""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    length: int | None = None
    refusals: list[tuple[int, str]] = field(default_factory=list)
    offset: int = 0
    etag: str = ""
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.etag = self.etag or f'"{hashlib.sha256(self.content).hexdigest()}"'

    def start_of(self, range_: str | None, if_range: str | None) -> int | None:
        """The byte that a request wants the answer to begin at; None for a whole one."""
        match = re.fullmatch(r"bytes=(\d+)-", range_ or "")
        return int(match[1]) if match and self.ranges and if_range == self.etag else None


class _Handler(Quiet, BaseHTTPRequestHandler):
    told: ClassVar[ContentServer]

    def do_GET(self) -> None:
        told = self.told
        told.asked.append(self.headers["Range"])
        if told.refusals:
            self._refuse(*told.refusals.pop(0))
            return
        start = told.start_of(self.headers["Range"], self.headers["If-Range"])
        body = told.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            end, total = len(told.content) - 1, len(told.content)
            self.send_header("Content-Range", f"bytes {start + told.offset}-{end}/{total}")
        if told.length != -1:
            self.send_header("Content-Length", str(len(body) if told.length is None else told.length))
        self.send_header("ETag", told.etag)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if told.cuts:
            self.wfile.write(body[: told.cuts.pop(0)])
        else:
            self.wfile.write(body)

    def _refuse(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@contextmanager
def serving(told: ContentServer) -> Iterator[ContentServer]:
    """Serve this."""
    handler = type("Handler", (_Handler,), {"told": told})
    with listening(handler) as told.url:
        yield told
