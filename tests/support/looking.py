"""Asking the server itself, past the proxy: what it has of an experiment, every row of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode, urlsplit

from ml_dash.journal.blocks import block_rows, decode_block
from ml_dash.journal.frame import FRAME_HEADER, decode_meta, parse_frame_header
from ml_dash.protocol import API
from ml_dash.series import Kind, Series
from tests.support.rows import Row, as_text

__all__ = ["Server"]

_TIMEOUT = 30.0


class Server:
    """A server at this address, asked with this token."""

    def __init__(self, url: str, token: str) -> None:
        self._address = urlsplit(url).netloc
        self._token = token

    def experiment(self, prefix: str) -> dict[str, Any]:
        """Return the whole record of the one experiment with this prefix."""
        (id_,) = [
            each["id"] for each in self.get("/experiments", prefix=prefix)["data"] if each["prefix"] == prefix
        ]
        return cast("dict[str, Any]", self.get(f"/experiments/{id_}"))

    def found(self, prefix: str) -> Found:
        """Return all rows and watermarks of an experiment."""
        there = f"/experiments/{self.experiment(prefix)['id']}"
        names = [
            *((Kind.METRIC, metric["name"]) for metric in self.get(f"{there}/metrics")["data"]),
            *((Kind.TRACK, track["topic"]) for track in self.get(f"{there}/tracks")["data"]),
            *(
                (kind, None)
                for kind in (Kind.LOG, Kind.PARAMS, Kind.RUN, Kind.ENVIRONMENT, Kind.CONSOLE, Kind.ALERT)
            ),
        ]
        rows = {Series(*name): [*self._rows(there, Series(*name))] for name in names}
        return Found(rows, self.get(f"{there}/writers")["watermarks"])

    def get(self, path: str, **query: str) -> Any:
        """Return the answer to a question, from JSON."""
        return json.loads(self._get(path, query))

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Return status and body of the answer to any request."""
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, API + path, body, {"Authorization": f"Bearer {self._token}", **named})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _get(self, path: str, query: dict[str, str]) -> bytes:
        status, body = self.request("GET", f"{path}?{urlencode(query)}")
        assert status == 200, f"{path}: {status} {body!r:.300}"
        return body

    def _rows(self, there: str, series: Series) -> Iterator[Row]:
        query = {"kind": str(int(series.kind))}
        if series.name is not None:
            query["name"] = series.name
        raw = memoryview(self._get(f"{there}/blocks", query))
        while raw:
            header = parse_frame_header(raw)
            assert header
            data_at = FRAME_HEADER.size + header.meta_len
            end = data_at + header.data_len
            at = data_at
            for head in decode_meta(raw[FRAME_HEADER.size : data_at], header.data_len):
                assert head.series == series
                block = decode_block(head, raw[at : at + head.nbytes])
                at += head.nbytes
                for time, fields in zip(block.times, block_rows(block), strict=True):
                    yield Row(series, int(time), as_text(fields))
            raw = raw[end:]


class Found(NamedTuple):
    """What a server has of an experiment: the rows of each series in its order, and the watermarks."""

    rows: Mapping[Series, list[Row]]
    watermarks: Mapping[str, int]
