"""One measurement of remote mode in one process: ``python -m benchmarks.measure_remote JOB``; see `benchmarks.remote`.

``serve`` and ``count`` are servers: they print where they listen as JSON, and end when their standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from benchmarks.measure import paced, peak_rss, rss

if TYPE_CHECKING:
    import aiohttp

__all__ = ["FRAME_ROWS", "PREFIX", "REQUEST_FRAMES", "TOKEN", "main"]

PREFIX = "bench/remote/run"
FRAME_ROWS = 8192
REQUEST_FRAMES = 16
"""Full batches: about 4 MiB a request."""
TOKEN = f"mld_{'0' * 43}"
"""One of the right form, for a server that is out of reach: a client without one would not even try."""
_SERIES = "train"


def serve(directory: str) -> None:
    """Serve, with SQLite and a directory of blobs."""
    from ml_dash.server.runner import EmbeddedServer

    with EmbeddedServer(data=directory, port=0) as server:
        _announce(url=server.url, token=server.admin_token)


def count() -> None:
    """Take requests and count their bytes: what HTTP costs in Python when nothing else is done."""
    asyncio.run(_count())


async def _count() -> None:
    from aiohttp import web

    async def taken(request: web.Request) -> web.Response:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        return web.json_response({"bytes": size})

    application = web.Application()
    application.router.add_post("/", taken)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    await asyncio.to_thread(_announce, url=f"http://{host}:{port}/")
    await runner.cleanup()


def _announce(**where: Any) -> None:
    """Say where the server is, and wait until whoever started it has had enough."""
    print(json.dumps(where), flush=True)
    sys.stdin.read()


def write(directory: str, megabytes: int) -> dict[str, Any]:
    """Log rows through the whole pipeline until the journal has about this size."""
    from ml_dash import Experiment

    rows = megabytes * 1_000_000 // 32
    with Experiment(PREFIX, dash_root=directory, echo=False).run as experiment:
        log = experiment.metrics(_SERIES).log
        for step in range(rows):
            loss = step * 1e-5
            log(loss=loss, acc=1.0 - loss, lr=0.001)
    return {"rows": rows, "bytes": sum(map(os.path.getsize, _segments(directory)))}


def replay(directory: str, url: str, token: str) -> dict[str, Any]:
    """Send the journal to a server that has nothing of it, as the uploader and ``ml-dash sync`` do."""
    return asyncio.run(_replay(directory, url, token))


async def _replay(directory: str, url: str, token: str) -> dict[str, Any]:
    before = rss()
    from ml_dash.client.api import Client
    from ml_dash.client.http import AiohttpTransport, close_session
    from ml_dash.tokens.token import Token
    from ml_dash.upload.sender import Sender
    from ml_dash.upload.task import Target

    paths = _segments(directory)
    writer = os.path.basename(paths[0]).rpartition("-")[0]
    client = Client(AiohttpTransport(url, lambda: Token(token)))
    said: list[str] = []
    cpu = time.process_time()
    target = Target(os.path.join(directory, PREFIX), PREFIX, client, asyncio.to_thread)
    sender = Sender(target, lambda _, text: said.append(text))
    began = time.perf_counter()
    await sender.connect()
    while await sender.send(writer):
        pass
    took = time.perf_counter() - began
    sender.close()
    await close_session()
    size = sum(map(os.path.getsize, paths))
    return {
        "mb_per_s": size / took / 1e6,
        "cpu_s_per_gb": (time.process_time() - cpu) / size * 1e9,
        "rss_growth_mb": peak_rss() - before,
        "rows": sender.ledgers[writer].rows,
        "said": said,
    }


def runs(directory: str, count: int) -> dict[str, Any]:
    """Log small runs, as of a sweep: a parameter and twenty rows each."""
    from ml_dash import Experiment

    for number in range(count):
        with Experiment(f"bench/sweep/run{number:05}", dash_root=directory, echo=False).run as experiment:
            experiment.params.set(lr=number)
            for step in range(20):
                experiment.metrics(_SERIES).log(step=step, loss=1 / (step + 1))
    return {"runs": count}


def sync(directory: str, url: str, token: str, at_once: int) -> dict[str, Any]:
    """Send all runs below a directory, so many at once."""
    return asyncio.run(_sync(directory, url, token, at_once))


async def _sync(directory: str, url: str, token: str, at_once: int) -> dict[str, Any]:
    from ml_dash.client.api import Client
    from ml_dash.client.http import AiohttpTransport, close_session
    from ml_dash.storage.manifest import Manifest
    from ml_dash.storage.survey import survey
    from ml_dash.tokens.token import Token
    from ml_dash.upload.sync import SyncProgress, SyncReport, report_unasked, sync_experiment
    from ml_dash.upload.sync_many import sync_many

    client = Client(AiohttpTransport(url, lambda: Token(token)))

    class Job:
        size = 4096

        def __init__(self, directory: str) -> None:
            self.url, self.line = url, directory

        async def send(self, on_progress: Callable[[SyncProgress], None]) -> SyncReport:
            return await sync_experiment(self.line, client, asyncio.to_thread, on_progress=on_progress)

        async def pass_over(self, reason: str) -> SyncReport:
            return await report_unasked(Manifest(self.line), url, asyncio.to_thread, reason)

    began, cpu = time.perf_counter(), time.process_time()
    jobs = [Job(each.directory) for each in survey(directory).experiments]
    reports = await sync_many(jobs, at_once=at_once)
    await close_session()
    return {
        "s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "rows": sum(report.sent_rows for report in reports),
        "left_behind": sum(report.left_behind is not None for report in reports),
    }


def post(directory: str, url: str) -> dict[str, float]:
    """Post the journal's bytes to a server that only counts them."""
    sizes: list[int] = []

    async def send(session: aiohttp.ClientSession) -> None:
        for piece in _pieces(directory):
            async with session.post(url, data=piece) as answer:
                sizes.append((await answer.json())["bytes"])

    before = rss()
    import aiohttp  # noqa: F401 - its import is memory, and no work

    cpu = time.process_time()
    took = _timed_requests(send)
    return {
        "mb_per_s": sum(sizes) / took / 1e6,
        "cpu_s_per_gb": (time.process_time() - cpu) / sum(sizes) * 1e9,
        "rss_growth_mb": peak_rss() - before,
    }


def _pieces(directory: str) -> Iterator[bytes]:
    for path in _segments(directory):
        with open(path, "rb") as file:
            while piece := file.read(REQUEST_FRAMES * FRAME_ROWS * 32):
                yield piece


def ingest(url: str, token: str, rows: int, writers: int) -> dict[str, float]:
    """Send full batches, from several writers at once; the requests are made before the clock starts."""
    each = -(-rows // (writers * FRAME_ROWS * REQUEST_FRAMES))
    bodies = {f"writer-{number}": [_body(at) for at in range(each)] for number in range(writers)}

    async def send(session: aiohttp.ClientSession) -> None:
        experiment = await _experiment(session, url, f"{PREFIX}-{time.time_ns()}")
        await asyncio.gather(
            *(_send_all(session, url, experiment, name, mine) for name, mine in bodies.items())
        )

    took = _timed_requests(send, token)
    return {"per_s": each * writers * FRAME_ROWS * REQUEST_FRAMES / took}


def requests(url: str, token: str, seconds: float, writers: int) -> dict[str, float]:
    """Send one row a request, each of the writers as fast as it gets its answers."""
    from ml_dash.journal.frame import encode_frame

    answered = 0

    async def send(session: aiohttp.ClientSession) -> None:
        experiment = await _experiment(session, url, f"{PREFIX}-{time.time_ns()}")
        until = time.perf_counter() + seconds

        async def write_on(writer: str) -> None:
            nonlocal answered
            seq = 0
            while time.perf_counter() < until:
                seq += 1
                await _send(session, url, experiment, writer, encode_frame(seq, [_block(seq, 1)]))
                answered += 1

        await asyncio.gather(*(write_on(f"writer-{number}") for number in range(writers)))

    took = _timed_requests(send, token)
    return {"per_s": answered / took}


def sqlite(directory: str, rows: int, commits: int) -> dict[str, float]:
    """Write the same frames with bare sqlite3, durably: full batches, and a commit for each row."""
    from ml_dash.journal.frame import encode_frame

    batches = [_frames(at) for at in range(-(-rows // (FRAME_ROWS * REQUEST_FRAMES)))]
    singles = [[encode_frame(seq, [_block(seq, 1)])] for seq in range(1, commits + 1)]
    full, one = (
        _sqlite_seconds(os.path.join(directory, f"{time.time_ns()}"), work) for work in (batches, singles)
    )
    return {"rows_per_s": len(batches) * FRAME_ROWS * REQUEST_FRAMES / full, "commits_per_s": commits / one}


def _sqlite_seconds(path: str, transactions: Sequence[Sequence[bytes]]) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE frames (seq INTEGER PRIMARY KEY, data BLOB)")
        began = time.perf_counter()
        for frames in transactions:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO frames (data) VALUES (?)", [(frame,) for frame in frames])
            connection.execute("COMMIT")
        return time.perf_counter() - began


def chart(url: str, token: str, rows: int, width: int, rounds: int) -> dict[str, Any]:
    """Draw a long series at the server, all of it and a hundredth, and all of it by numpy in memory."""
    import msgpack
    import numpy as np

    found: dict[str, Any] = {"all": [], "a hundredth": [], "over time": []}
    bodies = range(-(-rows // (FRAME_ROWS * REQUEST_FRAMES)))
    total = len(bodies) * FRAME_ROWS * REQUEST_FRAMES

    async def draw(session: aiohttp.ClientSession, experiment: str, **asked: Any) -> tuple[float, Any]:
        path = f"{url}/api/v1/experiments/{experiment}/metrics/series"
        query = {"name": _SERIES, "field": "loss", "width": width, **asked}
        began = time.perf_counter()
        async with session.get(path, params=query, headers={"Accept": "application/msgpack"}) as answer:
            body = await answer.read()
            answer.raise_for_status()
        return (time.perf_counter() - began) * 1e3, msgpack.unpackb(body)

    async def measure(session: aiohttp.ClientSession) -> None:
        experiment = await _experiment(session, url, f"{PREFIX}-{time.time_ns()}")
        for at in bodies:
            await _send(session, url, experiment, "writer", _body(at))
        for _ in range(rounds):
            took, drawn = await draw(session, experiment, x="index")
            assert drawn["points"] == total
            found["all"].append(took)
            took, _ = await draw(session, experiment, x="time")
            found["over time"].append(took)
            start = total // 3
            took, drawn = await draw(session, experiment, x="index", start=start, stop=start + total // 100)
            assert drawn["points"] == total // 100
            found["a hundredth"].append(took)

    _timed_requests(measure, token)
    values = np.arange(total) * 1e-5
    edges = np.linspace(0, total, width, endpoint=False).astype(np.int64)
    found["numpy"] = []
    for _ in range(rounds):
        began = time.perf_counter()
        np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
        found["numpy"].append((time.perf_counter() - began) * 1e3)
    return found


def paced_remote(directory: str, url: str | None, pairs: int) -> dict[str, Any]:
    """Run the paced loop with a server out of reach, or in local mode where `url` is None."""
    from benchmarks.contenders import CONTENDERS, Contender, Sink

    def opened(directory: str) -> Sink:
        import numpy as np  # a training script has it

        from ml_dash import Experiment

        del np
        os.environ["ML_DASH_TOKEN"] = TOKEN
        experiment = Experiment(PREFIX, dash_url=url, dash_root=directory, echo=False).run.start()
        call = 'experiment.metrics("train").log(loss=loss, acc=acc, lr=lr)'
        return Sink(call, {"experiment": experiment}, experiment.run.complete)

    CONTENDERS["remote"] = Contender("remote", "", "", opened, lambda _: 0)
    times = paced("remote", directory, "plain", pairs, block=200, lead=60)
    return {**times, "rss_mb": peak_rss()}


def stored(directory: str) -> dict[str, int]:
    """Count the rows that are in the local journal."""
    from ml_dash import Experiment

    return {"rows": Experiment(PREFIX, dash_root=directory).metrics(_SERIES).read(limit=1)["total"]}


def _timed_requests(
    work: Callable[[aiohttp.ClientSession], Awaitable[None]], token: str | None = None
) -> float:
    """Return the seconds that some work with a session takes."""

    async def run() -> float:
        import aiohttp

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            began = time.perf_counter()
            await work(session)
            return time.perf_counter() - began

    return asyncio.run(run())


async def _experiment(session: aiohttp.ClientSession, url: str, prefix: str) -> str:
    async with session.post(f"{url}/api/v1/experiments", json={"prefix": prefix}) as answer:
        answer.raise_for_status()
        found: str = (await answer.json())["id"]
        return found


async def _send_all(
    session: aiohttp.ClientSession, url: str, experiment: str, writer: str, bodies: Sequence[bytes]
) -> None:
    for body in bodies:
        await _send(session, url, experiment, writer, body)


async def _send(session: aiohttp.ClientSession, url: str, experiment: str, writer: str, body: bytes) -> None:
    from ml_dash.protocol import FRAMES, frames_path

    headers = {"Content-Type": FRAMES}
    async with session.post(f"{url}{frames_path(experiment, writer)}", data=body, headers=headers) as answer:
        await answer.read()
        answer.raise_for_status()


def _body(number: int) -> bytes:
    """Return the body of a writer's request with full batches; the first one is number 0."""
    return b"".join(_frames(number))


def _frames(number: int) -> list[bytes]:
    from ml_dash.journal.frame import encode_frame

    first = number * REQUEST_FRAMES
    return [
        encode_frame(at + 1, [_block(at * FRAME_ROWS, FRAME_ROWS)])
        for at in range(first, first + REQUEST_FRAMES)
    ]


def _block(start: int, count: int) -> Any:
    import numpy as np

    from ml_dash.journal.blocks import Block, Column
    from ml_dash.series import Kind, Series

    steps = np.arange(start, start + count)
    loss = steps * 1e-5
    columns = {"loss": loss, "acc": 1.0 - loss, "lr": np.full(count, 0.001)}
    times = 1_700_000_000_000_000_000 + steps * 1_000_000
    return Block(
        Series(Kind.METRIC, _SERIES),
        times,
        [Column(name, "f", None, values) for name, values in columns.items()],
    )


def _segments(directory: str) -> list[str]:
    journal = os.path.join(directory, PREFIX, "journal")
    return [os.path.join(journal, name) for name in sorted(os.listdir(journal)) if name.endswith(".mldj")]


_JOBS: dict[str, Callable[..., Any]] = {
    "serve": serve,
    "count": count,
    "write": write,
    "replay": replay,
    "runs": runs,
    "sync": sync,
    "post": post,
    "ingest": ingest,
    "requests": requests,
    "sqlite": sqlite,
    "chart": chart,
    "paced": paced_remote,
    "stored": stored,
}


def main() -> None:
    """Do the job that the command line describes."""
    job = json.loads(sys.argv[1])
    found = _JOBS[job.pop("job")](**job)
    if found is not None:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
