"""The store answers as the journal does: whatever rows were logged, in whatever frames, from however many writers."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from ml_dash.identity import parse_prefix
from ml_dash.journal.blocks import Block
from ml_dash.journal.frame import encode_frame
from ml_dash.query.journal_view import JournalView
from ml_dash.query.runs import RunInfo
from ml_dash.query.tracks import TrackQuery
from ml_dash.series import Kind, Series
from ml_dash.server.catalogue.records import Introduction
from ml_dash.server.ingest.append import Appended, append
from ml_dash.server.ingest.compaction import Compactor
from ml_dash.server.ingest.frames import parse_frames
from ml_dash.server.ingest.prepare import prepare
from ml_dash.server.rows.view import StoreView
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.support.examples import many
from tests.support.postgres import new_database
from tests.support.serving import LOGS, NOON, PARAMS, RUN, SECOND
from tests.support.view_journals import block_of, write

TRAIN = Series(Kind.METRIC, "train")
UNNAMED = Series(Kind.METRIC, None)
POSE = Series(Kind.TRACK, "pose")
_NAMES = itertools.count()

values = st.one_of(
    st.floats(),
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.none(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b.c"]), st.one_of(st.floats(), st.integers(-5, 5)), max_size=2),
)
times = st.one_of(st.integers(NOON, NOON + 20 * SECOND), st.integers(-(2**63), 2**63 - 1))
metric_row = st.dictionaries(st.sampled_from(["loss", "step", "x", "_ts", "n.m"]), values, max_size=4)
log_row = st.fixed_dictionaries(
    {
        "level": st.sampled_from(["debug", "info", "warn", "error", "fatal"]),
        "message": st.text("aBcß", max_size=4),
        "metadata": st.none() | st.dictionaries(st.text(max_size=2), values, max_size=1),
    }
)
set_row = st.fixed_dictionaries(
    {"set": st.dictionaries(st.sampled_from(["a", "a.b", "a.b.c", "d"]), st.integers(0, 9), max_size=3)}
)
run_row = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["start", "end", "heartbeat"]),
        "handle": st.sampled_from(["h", "i"]),
        "status": st.sampled_from(["RUNNING", "COMPLETED", "FAILED"]),
        "host": st.sampled_from(["node1", "node2"]),
        "pid": st.integers(1, 9),
    },
    optional={
        "error": st.text(max_size=3),
        "attempt": st.sampled_from("xyz"),
        "again": st.booleans(),
    },
)


def blocks_of(series: Series, row: Any) -> Any:
    return st.lists(st.tuples(times, row), min_size=1, max_size=6).map(lambda rows: block_of(series, rows))


frame_of_blocks = st.lists(
    st.one_of(
        blocks_of(TRAIN, metric_row),
        blocks_of(UNNAMED, metric_row),
        blocks_of(POSE, metric_row),
        blocks_of(LOGS, log_row),
        blocks_of(PARAMS, set_row),
        blocks_of(RUN, run_row),
    ),
    min_size=1,
    max_size=3,
)
writers = st.lists(st.lists(frame_of_blocks, min_size=1, max_size=5), min_size=1, max_size=3)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store for all examples, on each database: each takes an experiment of its own."""
    database = None
    if request.param == "postgresql":
        database = new_database(request.getfixturevalue("postgres"))
    store = Store.open(
        ServerSettings(data=str(tmp_path_factory.mktemp("store")), database=database, compact_rows=1)
    )
    yield store
    store.close()


def fill(store: Store, written: list[list[list[Block]]], *, object_bytes: int, per_request: int) -> str:
    """Store the frames of each writer, and return the experiment's id."""
    identity = parse_prefix(f"alice/p/n{next(_NAMES)}", user=str, now_ns=int)
    experiment = str(store.experiments.upsert(Introduction(identity))["id"])
    for number, its_frames in enumerate(written):
        encoded = [encode_frame(seq, blocks) for seq, blocks in enumerate(its_frames, 1)]
        for start in range(0, len(encoded), per_request):
            body = b"".join(encoded[start : start + per_request])
            parsed = parse_frames(body)
            assert parsed.problem is None
            rows = prepare(
                experiment,
                f"writer{number}",
                body,
                parsed.frames,
                objects=store.objects,
                object_bytes=object_bytes,
            )
            with store.database.write() as connection:
                outcome = append(connection, [rows], Noon().time_ns())  # when their times are past
            assert isinstance(outcome[0], Appended)
            assert outcome[0].stored
    return experiment


def text(value: Any) -> str:
    """A value in which NaN is equal to itself, and True is not to 1; dicts are equal in any order."""
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{key!r}: {text(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text, value)) + "]"
    return repr(value)


def paged(view: JournalView | StoreView, query: TrackQuery) -> list[dict[str, Any]]:
    """The entries of a track, read in pages of one or two."""
    found: list[dict[str, Any]] = []
    after: int | None = None
    while True:
        page = view.earliest("pose", query, after, 2, 100)
        found += [entry for _, entry in page.entries()]
        if page.ceiling is None:
            return found
        after = page.last_ns


def answers(view: JournalView | StoreView) -> dict[str, str]:
    """What a view answers to everything."""
    found: dict[str, Any] = {"metrics": view.metrics(), "params": view.params()}
    for series in (TRAIN, UNNAMED, Series(Kind.METRIC, "missing")):
        found[f"stats {series.name}"] = view.stats(series)
        for start, limit in ((0, 100), (3, 2), (7, 0), (1000, 5)):
            found[f"rows {series.name} {start} {limit}"] = view.read(series, start, limit)
    for level, search in ((None, None), ("Warning", None), (None, "SS"), ("info", "b")):
        for start, limit in ((0, 100), (2, 1)):
            found[f"logs {level} {search} {start} {limit}"] = view.logs(level, search, start, limit)
    for start_time, end_time in ((None, None), (NOON / SECOND, NOON / SECOND + 9)):
        for columns in (None, ["loss", "n.m"]):
            found[f"track {start_time} {columns}"] = whole = view.track("pose", start_time, end_time, columns)
            assert text(paged(view, TrackQuery(start_time, end_time, columns))) == text(whole["entries"])
    return {question: text(answer) for question, answer in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("object_bytes", [1 << 30, 1], ids=["in rows", "in objects"])
@settings(max_examples=many(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=writers, per_request=st.integers(1, 6))
def test_the_store_answers_as_the_journal_does_and_so_it_does_compacted(
    open_store: Store, object_bytes: int, written: list[list[list[Block]]], per_request: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for number, its_frames in enumerate(written):
            write(Path(directory), its_frames, f"writer{number}")
        for path in Path(directory).iterdir():
            os.utime(path, ns=(Noon().time_ns(), Noon().time_ns()))  # written when the store has got them
        journal = JournalView(directory)
        by_journal = answers(journal)
        run = journal.run(now_ns=Noon().time_ns(), space="")
    experiment = fill(open_store, written, object_bytes=object_bytes, per_request=per_request)
    clock = Noon()

    def ask() -> StoreView:
        return StoreView(open_store.backend._replace(clock=clock), experiment)

    assert answers(ask()) == by_journal
    stored = ask().run()
    assert [getattr(stored, name) for name in SAME] == [getattr(run, name) for name in SAME]
    Compactor(open_store.backend._replace(clock=clock)).compact_all()
    assert answers(ask()) == by_journal


def test_an_end_without_its_start_is_of_the_attempt_before_it_though_that_comes_later(
    open_store: Store,
) -> None:
    """Until then it is of an earlier one; it does not make one of both."""
    frames = [
        [end("h", 20, 1), start("h", 1, 2)],
        [start("i", 19, 3)],
        [start("i", 10, 4)],
    ]
    run = both_say(open_store, frames)
    assert (run.status, run.pid) == ("COMPLETED", 1)


@pytest.mark.parametrize("few", [0, 200], ids=["many openings", "few openings"])
def test_an_end_without_its_start_makes_no_attempts_one_by_going_on_for_long(
    open_store: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Where clocks go back, it may have ended before the start before it."""
    monkeypatch.setattr("ml_dash.server.catalogue.run_status._FEW", few)
    ends = [[end("h", 15, 1)], [end("h", 19, 2)]]
    run = both_say(open_store, [[start("i", 18, 3)], [start("j", 1, 4)], [end("i", 2, 5)]], ends)
    assert (run.status, run.pid, run.attempts) == ("COMPLETED", 5, 2)
    run = both_say(open_store, [[start("i", 18, 3)]], [*ends, [start("i", 1, 4)], [end("j", 17, 5)]])
    assert (run.pid, run.attempts) == (3, 2)


def test_a_start_that_comes_late_may_take_the_others_of_its_name_along(open_store: Store) -> None:
    """Until then they are of the attempt that was going on when they began."""
    beside = [[start("h", 3, 1)], [start("i", 12, 2, attempt="z")], [end("j", 14, 3)]]
    run = both_say(open_store, beside, [[start("h", 1, 4, attempt="z")]])
    assert (run.pid, run.attempts) == (1, 2)
    resumed = [[start("h", 2, 5, attempt="y", resume_from=0)]]
    assert both_say(open_store, beside, resumed).attempts == 2


def test_a_start_that_is_put_again_by_a_clock_that_went_back_is_no_earlier_one(open_store: Store) -> None:
    run = both_say(open_store, [[start("h", 5, 1)], [start("h", 3, 2, again=True)]])
    assert (run.started_at, run.pid, run.attempts) == (NOON + 5 * SECOND, 2, 1)


def start(handle: str, second: int, pid: int, **more: Any) -> tuple[int, dict[str, Any]]:
    row = {"event": "start", "status": "RUNNING", "handle": handle, "pid": pid, **more}
    return NOON + second * SECOND, row


def end(handle: str, second: int, pid: int) -> tuple[int, dict[str, Any]]:
    return NOON + second * SECOND, {"event": "end", "status": "COMPLETED", "handle": handle, "pid": pid}


def both_say(open_store: Store, *writers: list[list[tuple[int, dict[str, Any]]]]) -> RunInfo:
    """How an experiment stands by its journal, as the store says too: of RUN rows of writers, by frames."""
    written = [[[block_of(RUN, rows)] for rows in frames] for frames in writers]
    clock = Noon()
    with tempfile.TemporaryDirectory() as directory:
        for number, frames in enumerate(written):
            write(Path(directory), frames, f"writer{number}")
        for path in Path(directory).iterdir():
            os.utime(path, ns=(clock.time_ns(), clock.time_ns()))
        run = JournalView(directory).run(now_ns=clock.time_ns(), space="")
    experiment = fill(open_store, written, object_bytes=1 << 30, per_request=1)
    stored = StoreView(open_store.backend._replace(clock=clock), experiment).run()
    assert [getattr(stored, name) for name in SAME] == [getattr(run, name) for name in SAME]
    return run


SAME = (
    "status",
    "started_at",
    "ended_at",
    "last_activity",
    "host",
    "pid",
    "stale",
    "writers",
    "error",
    "attempts",
)


class Noon:
    """A clock that stands still, a minute after noon."""

    def time_ns(self) -> int:
        return NOON + 60 * SECOND

    def monotonic(self) -> float:
        return 0.0
