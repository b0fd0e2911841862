"""What the server's tests have in common: a client of plain sockets, frames, and servers in processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import urlencode

from ml_dash.journal.blocks import Block, Column, block_rows, decode_block
from ml_dash.journal.frame import FRAME_HEADER, SYNC, data_crc, decode_meta, encode_frame, parse_frame_header
from ml_dash.journal.objects import from_msgpack
from ml_dash.protocol import FRAMES
from ml_dash.query.pages import Into
from ml_dash.series import Kind, Series
from ml_dash.server.accounts.grants import Principal
from tests.support.project import PROJECT

if TYPE_CHECKING:
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.server.rows.library import Library

API = "/api/v1"
WRITER = "0123456789abcdef-1f-89abcdef"
TOKEN = "mld_" + "t" * 43
TESTER = Principal("tok_0000000000000000", "a test", admin=True, grants={})
"""Who asks the store itself."""
TRAIN = Series(Kind.METRIC, "train")
LOGS = Series(Kind.LOG, None)
PARAMS = Series(Kind.PARAMS, None)
RUN = Series(Kind.RUN, None)
SECOND = 1_000_000_000
NOON = 1_700_000_000 * SECOND
DEADLINE = 60.0

Fields = dict[str, Any]


class Answer(NamedTuple):
    """An answer to a request; `body` is decoded where it is JSON or msgpack."""

    status: int
    body: Any
    headers: http.client.HTTPMessage

    @property
    def error(self) -> Any:
        """The error that the body tells."""
        assert self.status >= 400, self
        return self.body["error"]


class Client:
    """One connection to a server. Those that a test leaves open are closed after it."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, url: str, token: str | None) -> None:
        self.opened.append(self)
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE)
        self.token = token

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send a request; `path` follows ``/api/v1`` unless it begins with two slashes."""
        path = path[1:] if path.startswith("//") else API + path
        url = path + ("?" + urlencode(query) if query else "")
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self._connection.request(method, url, body, {**own, **(headers or {})})
        answer = self._connection.getresponse()
        return Answer(
            answer.status, _decoded(answer.headers.get_content_type(), answer.read()), answer.headers
        )

    def get(self, path: str, **query: Any) -> Any:
        """Ask for something that is there."""
        answer = self.ask("GET", path, **query)
        assert answer.status == 200, answer
        return answer.body

    def put(self, path: str, value: Any) -> Answer:
        """Put an object as JSON."""
        return self.ask("PUT", path, json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def post(self, path: str, value: Any, **headers: str) -> Answer:
        """Send an object as JSON."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask(
            "POST", path, json.dumps(value).encode(), headers={"Content-Type": "application/json", **given}
        )

    def create(self, prefix: str = "alice/vision/run", **described: Any) -> str:
        """Create an experiment and return its id."""
        answer = self.post("/experiments", {"prefix": prefix, **described})
        assert answer.status in {200, 201}, answer
        return str(answer.body["id"])

    def send(self, experiment: str, *frames: bytes, writer: str = WRITER, **headers: str) -> Answer:
        """Send frames."""
        given = {"Content-Type": FRAMES, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.ask(
            "POST", f"/experiments/{experiment}/writers/{writer}/frames", b"".join(frames), headers=given
        )

    def stored(self, experiment: str, *frames: bytes, writer: str = WRITER) -> int:
        """Send frames that must be stored, and return the watermark."""
        answer = self.send(experiment, *frames, writer=writer)
        assert answer.status == 200, answer
        return int(answer.body["watermark"])

    def rows(self, experiment: str, series: Series = TRAIN, **query: Any) -> list[tuple[int, Fields]]:
        """Return all rows of a series in full, with their times."""
        name = {} if series.name is None else {"name": series.name}
        raw = self.get(f"/experiments/{experiment}/blocks", kind=int(series.kind), **name, **query)
        return rows_in(raw)

    def counter(self, name: str) -> float:
        """Return one of the server's counters."""
        text = self.ask("GET", "///metrics"[1:]).body.decode()
        line = next(line for line in text.splitlines() if line.startswith(f"mldash_{name}_total "))
        return float(line.split()[1])

    def close(self) -> None:
        self._connection.close()


def _decoded(kind: str, raw: bytes) -> Any:
    if kind == "application/json":
        return json.loads(raw)
    return from_msgpack(raw) if kind == "application/msgpack" else raw


def rows_in(raw: bytes) -> list[tuple[int, Fields]]:
    """Return the rows of frames that lie back to back, and check that they are numbered from 1 on."""
    rows: list[tuple[int, Fields]] = []
    at, number = 0, 0
    while at < len(raw):
        header = parse_frame_header(raw[at:])
        assert header is not None
        number += 1
        assert header.seq == number
        start = at + FRAME_HEADER.size + header.meta_len
        heads = decode_meta(raw[at + FRAME_HEADER.size : start], header.data_len)
        for head in heads:
            block = decode_block(head, raw[start : start + head.nbytes])
            rows += zip(map(int, block.times), block_rows(block), strict=True)
            start += head.nbytes
        at = start
    return rows


def objects(series: Series, rows: Sequence[tuple[int, Fields]]) -> Block:
    """A block whose columns are all objects: good for rows of any kind."""
    names = dict.fromkeys(name for _, fields in rows for name in fields)
    columns = []
    for name in names:
        at = [position for position, (_, fields) in enumerate(rows) if name in fields]
        values = [rows[position][1][name] for position in at]
        columns.append(Column(name, "o", None if len(at) == len(rows) else at, values))
    return Block(series, [time_ns for time_ns, _ in rows], columns)


def numbers(first: int, count: int, series: Series = TRAIN) -> Block:
    """A block of rows a second apart, with a float and an int that say which they are."""
    return Block(
        series,
        [NOON + i * SECOND for i in range(first, first + count)],
        [
            Column("loss", "f", None, [i / 2 for i in range(first, first + count)]),
            Column("step", "i", None, list(range(first, first + count))),
        ],
    )


def expected(first: int, count: int) -> list[tuple[int, Fields]]:
    """The rows of `numbers`."""
    return [(NOON + i * SECOND, {"loss": i / 2, "step": i}) for i in range(first, first + count)]


def frame(seq: int, *blocks: Block) -> bytes:
    """A frame; without blocks, the empty one that stands for one that is lost."""
    return encode_frame(seq, blocks)


def frames(first: int, count: int, rows: int = 1, series: Series = TRAIN) -> list[bytes]:
    """Frames from number `first` on, each with the `rows` rows of `numbers` that are its turn."""
    return [frame(seq, numbers((seq - 1) * rows, rows, series)) for seq in range(first, first + count)]


def large_frame(seq: int, rows: int = 20_000) -> bytes:
    """A frame that goes to the blob store."""
    return frame(seq, numbers((seq - 1) * rows, rows))


def run_row(time_ns: int, event: str, **fields: Any) -> Block:
    """A block with one RUN row."""
    return objects(RUN, [(time_ns, {"event": event, "handle": "h", "host": "node1", "pid": 7, **fields})])


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that is sure to come about."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        time.sleep(0.005)


_SCRIPT = """
import asyncio, json, sys
from ml_dash.server.runner import serve
from ml_dash.server.settings import ServerSettings

settings = ServerSettings(**json.loads(sys.argv[1]))
asyncio.run(serve(settings, lambda server: print(server.url, flush=True)))
"""


class ServerProcess:
    """A server in a process of its own, which can be killed."""

    def __init__(self, data: Path, *, launcher: Sequence[str] = (), **settings: Any) -> None:
        given = {"data": str(data), "port": 0, "admin_token": TOKEN, **settings}
        self._process = subprocess.Popen(
            [*launcher, sys.executable, "-c", _SCRIPT, json.dumps(given)],
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        assert self.url.startswith("http://"), "the server did not start"
        self.pid = self._process.pid

    def client(self) -> Client:
        return Client(self.url, TOKEN)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@contextmanager
def running(data: Path, **settings: Any) -> Iterator[ServerProcess]:
    """A server process that is gone at the end."""
    server = ServerProcess(data, **settings)
    try:
        yield server
    finally:
        server.kill()


def frame_around(seq: int, meta: bytes, data: bytes = b"") -> bytes:
    """A frame with right checksums around any meta and data."""
    checked = FRAME_HEADER.pack(SYNC, len(meta), len(data), seq, data_crc(seq, data), 0)[:-4]
    return checked + zlib.crc32(meta, zlib.crc32(checked)).to_bytes(4, "little") + meta + data


def page_of(library: Library | Experiments, *asked: Any) -> dict[str, Any]:
    """A page of experiments, with what was listed in it."""
    data: list[Any] = []
    return {"data": data, **library.listing(Into(data), *asked)}
