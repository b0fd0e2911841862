"""A server in memory that keeps the rules of the protocol, written anew from the protocol's text.

It shares no code with the real server, nor with the client but for the reading of frames.
"""

from __future__ import annotations

import copy
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgpack

from ml_dash.client.transport import Answer
from ml_dash.journal.blocks import block_rows, decode_block
from ml_dash.journal.frame import FRAME_HEADER, data_crc, decode_meta, head_crc, parse_frame_header

__all__ = ["StoredExperiment", "WatermarkServer", "answer", "error"]

Rows = list[tuple[int, dict[str, Any]]]

_FRAMES = re.compile(r"/api/v1/experiments/([^/]+)/writers/([^/]+)/frames")
_NO_BLOCKS = b"\x90"
_BODIES = re.compile(r"/api/v1/bodies/([0-9a-f]{64})\?offset=(\d+)")
_WRITERS = re.compile(r"/api/v1/experiments/([^/]+)/writers")


@dataclass
class StoredWriter:
    """The rows of one writer in the order they came, and the checksums of all frames taken."""

    watermark: int = 0
    rows: Rows = field(default_factory=list)
    checksums: dict[int, int] = field(default_factory=dict)
    empty: set[int] = field(default_factory=set)


@dataclass
class StoredExperiment:
    id: str
    about: dict[str, Any] = field(default_factory=dict)
    writers: dict[str, StoredWriter] = field(default_factory=dict)
    deleted: bool = False


def answer(status: int, data: Any, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/msgpack", **headers}, msgpack.packb(data))


def error(status: int, code: str, message: str = "because", **details: Any) -> Answer:
    return answer(status, {"error": {"code": code, "message": message, **details}})


class WatermarkServer:
    """See the module.

    Attributes:
        experiments: By prefix.
        token: The one that is let in; None lets in all.
        limit: Bytes of a request with frames.
        full: Whether the disk is full.
        takes_pieces: Whether it takes bodies in pieces, as older ones do not.
        malformed: Says of a frame's writer and number whether to refuse it.
        largest: Bytes of the largest request with frames so far.
        on_request: Called at each request.
    """

    def __init__(self) -> None:
        self.experiments: dict[str, StoredExperiment] = {}
        self.token: str | None = None
        self.limit = 64 << 20
        self.full = False
        self.takes_pieces = True
        self.malformed: Callable[[str, int], bool] = lambda _writer, _seq: False
        self.largest = 0
        self.on_request: Callable[[], object] = lambda: None
        self._born = 0
        self._bodies: dict[str, dict[int, bytes]] = {}

    def backup(self) -> dict[str, StoredExperiment]:
        return copy.deepcopy(self.experiments)

    def restore(self, backup: dict[str, StoredExperiment]) -> None:
        self.experiments = copy.deepcopy(backup)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request."""
        self.on_request()
        try:
            return answer(200, self._answer(method, path, headers, body))
        except RefusalError as refusal:
            return refusal.answer

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        if self.token is not None and headers.get("Authorization") != f"Bearer {self.token}":
            raise RefusalError(401, "unauthorized")
        if self.takes_pieces and method == "PUT" and (found := _BODIES.fullmatch(path)):
            self._bodies.setdefault(found[1], {})[int(found[2])] = body
            return {"offset": int(found[2]), "sizeBytes": len(body)}
        if "ML-Dash-Body" in headers:
            assert not body, "a body that came in pieces comes once more"
            body = self._pieced(headers["ML-Dash-Body"])
        if method == "POST" and path == "/api/v1/experiments":
            return self._upsert(msgpack.unpackb(body))
        if method == "POST" and (found := _FRAMES.fullmatch(path)):
            if headers.get("Content-Encoding") == "deflate":
                body = _inflated(body)
            return {"watermark": self._frames(unquote(found[1]), unquote(found[2]), body)}
        if method == "GET" and (found := _WRITERS.fullmatch(path)):
            return {"watermarks": _watermarks(self._by_id(found[1])), "hasMore": False, "cursor": None}
        raise RefusalError(404, "not_found")

    def _pieced(self, checksum: str) -> bytes:
        body = b""
        for offset, piece in sorted(self._bodies.get(checksum, {}).items()):
            if offset == len(body):
                body += piece
        if hashlib.sha256(body).hexdigest() != checksum:
            raise RefusalError(400, "damaged", watermark=0)
        return body

    def _by_id(self, id_: str) -> StoredExperiment:
        for experiment in self.experiments.values():
            if experiment.id == id_:
                if experiment.deleted:
                    raise RefusalError(410, "gone")
                return experiment
        raise RefusalError(404, "not_found")

    def _upsert(self, request: dict[str, Any]) -> dict[str, Any]:
        prefix, recreate = request.pop("prefix"), request.pop("recreate", False)
        experiment = self.experiments.get(prefix)
        if experiment is not None and experiment.deleted and not recreate:
            raise RefusalError(410, "gone")
        created = experiment is None or experiment.deleted
        if experiment is None or experiment.deleted:
            self._born += 1
            experiment = self.experiments[prefix] = StoredExperiment(f"exp_{self._born:020}")
        experiment.about.update(request)
        known = {"id": experiment.id, "prefix": prefix, "created": created}
        return {**known, "watermarks": _watermarks(experiment)}

    def _frames(self, id_: str, writer_id: str, body: bytes) -> int:
        experiment = self._by_id(id_)
        self.largest = max(self.largest, len(body))
        if len(body) > self.limit:
            raise RefusalError(413, "too_large", limit=self.limit)
        if self.full:
            raise RefusalError(507, "disk_full")
        writer = experiment.writers.setdefault(writer_id, StoredWriter())
        while body:
            seq, crc, meta, data = _first_frame(body, writer)
            self._take(writer_id, writer, seq, crc, meta, data)
            body = body[FRAME_HEADER.size + len(meta) + len(data) :]
        return writer.watermark

    def _take(
        self, writer_id: str, writer: StoredWriter, seq: int, crc: int, meta: bytes, data: bytes
    ) -> None:
        if seq <= writer.watermark:
            if writer.checksums[seq] != crc:
                raise RefusalError(409, "fenced", seq=seq)
            return
        if seq > writer.watermark + 1:
            raise RefusalError(409, "gap", expected=writer.watermark + 1)
        if meta != _NO_BLOCKS and self.malformed(writer_id, seq):
            raise RefusalError(422, "malformed", seq=seq, watermark=writer.watermark)
        writer.watermark = seq
        writer.checksums[seq] = crc
        writer.rows += _rows(meta, data)
        if meta == _NO_BLOCKS:
            writer.empty.add(seq)


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, **details: Any) -> None:
        super().__init__(code)
        self.answer = error(status, code, **details)


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error:
        raise RefusalError(400, "damaged", watermark=0) from None


def _first_frame(body: bytes, writer: StoredWriter) -> tuple[int, int, bytes, bytes]:
    header = parse_frame_header(body)
    if header is not None:
        split = FRAME_HEADER.size + header.meta_len
        meta, data = body[FRAME_HEADER.size : split], body[split : split + header.data_len]
        whole = len(meta) + len(data) == header.meta_len + header.data_len
        if (
            whole
            and head_crc(body, meta) == header.head_crc
            and data_crc(header.seq, data) == header.data_crc
        ):
            return header.seq, header.data_crc, meta, data
    raise RefusalError(400, "damaged", watermark=writer.watermark)


def _watermarks(experiment: StoredExperiment) -> dict[str, int]:
    return {id_: writer.watermark for id_, writer in experiment.writers.items()}


def _rows(meta: bytes, data: bytes) -> Rows:
    found: Rows = []
    offset = 0
    for head in decode_meta(meta, len(data)):
        block = decode_block(head, data[offset : offset + head.nbytes])
        found += zip(map(int, block.times), block_rows(block), strict=True)
        offset += head.nbytes
    return found
