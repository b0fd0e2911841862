"""Journals that somebody damaged, or made to hurt: readers tell what is wrong, and give out everything else.

The first tests know what was written, so that they can say what must be read and what must be told as lost. The others
ask everything of journals of which nobody knows what they hold.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer, unused_port
from yarl import URL

from ml_dash.errors import MLDashError
from ml_dash.journal.frame import encode_frame, segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.verify import repair, verify
from ml_dash.query.files import FileQuery
from ml_dash.query.journal_view import JournalView
from ml_dash.series import CONTROL, Kind, Series
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.local.app import build_local_app
from ml_dash.server.local.library import LocalLibrary
from ml_dash.server.local.sessions import OneTimeSessions
from tests.fuzz.asking import FORGIVEN, READING, question
from tests.fuzz.grammar import any_block, any_frames
from tests.fuzz.mutations import mutated, mutated_frames
from tests.fuzz.seeds import CORPUS, corpus, seeds
from tests.support.journals import WRITER, MemoryDisk, disk_with, opened, read_everything, segment
from tests.support.serving import API
from tests.support.shell import invoke

KNOWN = corpus("journals")


def rows_of(frame: bytes) -> dict[Series, Counter[str]]:
    """The rows of one sound frame."""
    found = read_everything(opened(disk_with(segment(frame))))
    return {series: Counter(f"{time} {row}" for time, row in rows) for series, rows in found.items()}


class Written:
    """The segments of one writer, with frames that are all sound, and what each frame holds."""

    def __init__(self, rng: random.Random) -> None:
        self.frames = [
            encode_frame(seq, [any_block(rng) for _ in range(rng.randrange(1, 3))])
            for seq in range(1, rng.randrange(4, 9))
        ]
        cut = rng.randrange(1, len(self.frames))
        self.segments = [
            segment(*self.frames[:cut]),
            segment(*self.frames[cut:], number=2, first_seq=cut + 1),
        ]
        self.rows = [rows_of(each) for each in self.frames]

    def left(self, segments: list[bytes]) -> list[int]:
        """Return which of the frames are still there, byte by byte."""
        raw = b"\n".join(segments)
        return [at for at, each in enumerate(self.frames) if each in raw]


def counted(index: JournalIndex) -> Counter[tuple[Series, str]]:
    return Counter(
        (series, f"{time} {row}") for series, rows in read_everything(index).items() for time, row in rows
    )


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds(5))
def test_no_sound_frame_is_lost_and_what_is_lost_is_counted(seed: int) -> None:
    rng = random.Random(seed)
    written = Written(rng)
    hit = rng.randrange(2)
    segments = list(written.segments)
    segments[hit] = mutated(rng, segments[hit], segments)
    index = opened(disk_with(*segments))
    read = counted(index)

    whole = Counter(
        (series, row) for rows in written.rows for series, found in rows.items() for row in found.elements()
    )
    assert not read - whole, "nothing is read that was not written"
    kept = written.left(segments)
    for at in kept:
        for series, rows in written.rows[at].items():
            assert all(read[series, row] >= 1 for row in rows), f"frame {at + 1} is sound and was not read"

    # what comes behind the last frame that was found is torn, and nobody can know how much it was
    highest = max((catalogue.next_seq for catalogue in index.catalogues.values()), default=1) - 1
    lost = [at for at in range(highest) if at not in kept]
    assert sum(each.frames for each in index.damage) == len(lost), "each frame that is lost is told once"
    report = verify("j", disk=disk_with(*segments))
    assert report.rows == sum(count for (series, _), count in read.items() if series.kind == Kind.METRIC)
    assert report.events == sum(count for (series, _), count in read.items() if series.kind not in CONTROL)
    assert Counter(each.events for each in report.damage if each.events) <= Counter(
        sum(found.total() for series, found in written.rows[at].items() if series.kind not in CONTROL)
        for at in lost
    ), "where the number of lost events is told, it is right"


def nested(rng: random.Random) -> bytes:
    """A segment of frames that are sound, or nearly: what is in them is anything."""
    frames = any_frames(rng, 1, rng.randrange(1, 8))
    if rng.random() < 0.7:
        frames = mutated_frames(rng, frames)
    raw = segment(*frames)
    return mutated(rng, raw, list(KNOWN.values())) if rng.random() < 0.3 else raw


def questions(view: JournalView) -> Iterator[Callable[[], Any]]:
    """Everything that a view can be asked."""
    yield from (view.run, lambda: view.run(space="s"), view.params, view.logs, view.metrics, view.files)
    yield from (view.environments, view.console, view.alerts, view.definitions, view.attempts)
    yield lambda: view.console("stderr", "a", 1, 2)
    yield lambda: view.logs("info", "a", 1, 2, 0.0, 2e9)
    yield lambda: view.files(FileQuery(path="/a", pattern="**", tags=("t",), versions=True, deleted=True))
    yield lambda: view.file("f1")
    for series in [*view.index.series(Kind.METRIC), Series(Kind.METRIC, "none")]:
        yield lambda series=series: view.read(series, 1, 3)  # type: ignore[misc]
        yield lambda series=series: (view.stats(series), view.to_numpy(series))  # type: ignore[misc]
        yield lambda series=series: view.to_pandas(series)  # type: ignore[misc]
    for series in view.index.series(Kind.TRACK):
        for form in ("json", "jsonl", "parquet"):
            yield lambda name=series.name, form=form: view.track(name or "", format=form)  # type: ignore[misc]
        yield lambda name=series.name: view.track(name or "", 0.0, 2e9, ["x", "nested.a.b", "."])  # type: ignore[misc]
        yield lambda name=series.name: view.find_by_time(name or "", 1.7e9)  # type: ignore[misc]


def ask_all(disk: MemoryDisk) -> None:
    view = JournalView("j", disk=disk, warns=False)
    try:
        view.refresh()
    except MLDashError:
        return  # a later version's
    for ask in questions(view):
        with contextlib.suppress(MLDashError):
            ask()
    try:
        verify("j", disk=disk)
        repair("j", disk=disk, live=lambda _: False)
        # that it keeps what could be read is held elsewhere, of journals in which no number is given twice
        assert repair("j", disk=disk, live=lambda _: False).repaired == ()
    except MLDashError:
        pass


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds(5))
def test_whatever_a_journal_holds_readers_answer_or_raise_our_own_errors(seed: int) -> None:
    rng = random.Random(seed)
    ask_all(disk_with(*(nested(rng) for _ in range(rng.randrange(1, 3)))))


@pytest.mark.sample(3)
@pytest.mark.fuzz
@pytest.mark.parametrize("name", KNOWN)
def test_journals_that_found_something_find_nothing_more(name: str, tmp_path: Path) -> None:
    ask_all(disk_with(KNOWN[name]))
    place(tmp_path, [KNOWN[name]])
    command_everything(tmp_path)


def place(root: Path, segments: list[bytes], record: bytes | None = None) -> Path:
    """Put a journal below a root, as somebody who sends it does."""
    directory = root / "alice" / "p" / "x"
    (directory / "journal").mkdir(parents=True)
    for number, raw in enumerate(segments, 1):
        (directory / "journal" / segment_name(WRITER, number)).write_bytes(raw)
    if record is not None:
        (directory / "experiment.json").write_bytes(record)
    return directory


def command_everything(root: Path) -> None:
    directory = root / "alice" / "p" / "x"
    for arguments in (
        ("ls", root),
        ("ls", root, "--json"),
        ("show", directory),
        ("files", directory),
        ("verify", directory),
        ("tail", directory),
        ("export", directory, "--format", "jsonl"),
        ("export", directory, "--format", "csv"),
        ("export", directory, "--tracks", "--format", "jsonl"),
        ("export", directory, "--logs"),
        ("export", directory, "--format", "parquet", "-o", root / "out.parquet"),
        ("download", directory, "--dest", root / "got"),
    ):
        done = invoke(*arguments)
        assert done.code in {0, 1, 2}
        assert not any(letter in done.err for letter in "\x1b\ud800"), "nothing reaches the terminal raw"


async def page_everything(root: Path, rng: random.Random) -> None:
    """Ask `ml-dash ui` everything that pages ask."""
    port = unused_port()
    library = LocalLibrary(str(root), 90.0)
    sessions = OneTimeSessions(port, lambda _token: None, str(root))
    app = build_local_app(library, sessions, port)
    try:
        async with TestClient(TestServer(app, port=port), cookie_jar=CookieJar(unsafe=True)) as client:
            headers = {BY_PAGE: "1"}
            signed = await client.post(f"{API}/session", json={"token": sessions.token}, headers=headers)
            assert signed.status == 200
            listed = await (await client.get(f"{API}/experiments")).json()
            for record in listed["data"]:
                for route in READING:
                    url = question(rng, route, record["id"])
                    answer = await client.get(URL(url, encoded=True))
                    assert answer.status < 500 or answer.status in FORGIVEN, (url, await answer.text())
    finally:
        library.close()


RECORD = {
    "prefix": "alice/p/x",
    "url": None,
    "owner": "alice",
    "status": "RUNNING",
    "tags": ["a"],
    "updatedAt": "x",
}


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds(0.5))
async def test_whatever_a_root_holds_commands_and_pages_show_the_rest(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    record = mutated(rng, json.dumps(RECORD).encode()) if rng.random() < 0.5 else None
    directory = place(tmp_path, [nested(rng)], record)
    for suffix in (".cursor", ".identity"):
        if rng.random() < 0.3:
            (directory / f"{WRITER}{suffix}").write_bytes(
                mutated(rng, b'{"http://x": {"seq": 1, "experimentId": "e"}}')
            )
    command_everything(tmp_path)
    await page_everything(tmp_path, rng)


def test_the_corpus_is_small() -> None:
    """Whoever clones the repository pays for it."""
    sizes = [path.stat().st_size for path in CORPUS.rglob("*.bin")]
    assert len(sizes) > 10
    assert sum(sizes) < 300_000
