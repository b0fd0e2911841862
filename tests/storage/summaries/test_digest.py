"""What a journal amounts to is what its readers say, read in whatever pieces, and in whatever state it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.disk import REAL_DISK
from ml_dash.query.journal_view import JournalView
from ml_dash.query.listing.summary import FieldSummary, Summaries, summarized
from ml_dash.query.runs import fold_runs
from ml_dash.series import Kind, Series
from ml_dash.storage.summaries.digest import Digest, digest
from tests.support.counting_disk import CountingDisk
from tests.support.small_runs import (
    BEGAN_NS,
    append,
    end,
    said,
    segment_of,
    start,
    values,
    write_run,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with nothing in it yet."""
    return tmp_path / "run"


def digested(run: Path, state: bytes | None = None) -> Digest:
    return digest(str(run / "journal"), REAL_DISK, state)


def read(run: Path) -> dict[str | None, Summaries]:
    """The summaries that come of the rows which readers are shown."""
    view = JournalView(str(run / "journal"), warns=False)
    with view.reading() as index:
        return {series.name: summarized(view.shown(series).blocks()) for series in index.series(Kind.METRIC)}


def rounded(metrics: dict[str | None, Summaries]) -> object:
    """Sums are taken in other pieces, and then differ in the last digits; NaN is as NaN."""
    return {
        name: {
            field: tuple(repr(round(each, 6)) if isinstance(each, float) else each for each in summary)
            for field, summary in found.items()
        }
        for name, found in metrics.items()
    }


def check(run: Path, found: Digest) -> None:
    """Compare with what readers say."""
    view = JournalView(str(run / "journal"), warns=False)
    assert rounded(found.metrics) == rounded(read(run))
    assert found.params == view.params()
    assert found.definitions == view.definitions()
    now = BEGAN_NS * 2
    told = fold_runs(found.runs.values(), now_ns=now, pid_alive=lambda *_: True)
    assert told == view.run(now_ns=now, pid_alive=lambda *_: True)
    with view.reading() as index:
        assert found.rows == sum(map(index.count, index.series(Kind.METRIC)))
        assert found.entries == sum(index.count(each) for kind in Kind for each in index.series(kind))
        assert found.size == sum(writer.bytes for writer in index.writers)


def test_a_run_with_rows_parameters_and_an_end(tmp_path: Path) -> None:
    run = write_run(tmp_path, "alice/p/a", [1.0, float("nan"), 0.25], params={"lr": 0.1, "m.a": [1, 2]})
    found = digested(run)
    check(run, found)
    assert found.metrics["train"]["loss"] == FieldSummary(3, 1, 1.0, 0.25, 0.25, 1.0, 1.25, 0, 2, 2, 0)
    assert found.params == {"lr": 0.1, "m.a": [1, 2]}


def test_what_has_grown_is_read_from_where_the_last_look_ended(run: Path) -> None:
    """Of a journal of a thousand frames, one more is read as fast as of one of ten."""
    append(run, [start()], *([values("train", 10 * at, loss=range(10))] for at in range(1000)))
    before = digested(run)
    assert before.rows_read == 10_001
    append(run, [values("train", 10_000, loss=[-1.0])], first=1002)
    disk = CountingDisk()
    found = digest(str(run / "journal"), disk, before.state)
    assert found.rows_read == 1
    assert disk.bytes_read < 4096
    check(run, found)
    again = digest(str(run / "journal"), disk, found.state)
    assert (again.rows_read, again.metrics) == (0, found.metrics)


def test_steps_that_were_not_logged_are_indices_among_all_writers(run: Path) -> None:
    """Those of a later writer move when an earlier one writes more, and steps that were logged do not."""
    append(run, [start(), values(None, loss=[3.0, 2.0]), values("s", 7, loss=[5.0])])
    append(run, [start(1), values(None, loss=[1.0, 9.0], number=1)], number=1)
    before = digested(run)
    assert before.metrics[None]["loss"].min_step == 2
    append(run, [values(None, loss=[4.0, 4.0])], first=2)
    found = digested(run, before.state)
    assert found.rows_read == 2
    assert (found.metrics[None]["loss"].min_step, found.metrics[None]["loss"].last) == (4, 9.0)
    assert found.metrics["s"]["loss"].min_step == 7
    check(run, found)


def test_rows_that_a_later_attempt_repeats_are_left_out_from_then_on(run: Path) -> None:
    append(run, [start(), values("train", 0, loss=[5.0, 4.0, -3.0, 2.0])], [end(status="FAILED")])
    before = digested(run)
    assert before.metrics["train"]["loss"].min == -3.0
    append(run, [start(1, resume_from=2), values("train", 2, loss=[1.0])], number=1)
    found = digested(run, before.state)
    check(run, found)
    assert found.metrics["train"]["loss"][:3] == (3, 0, 5.0)
    assert (found.metrics["train"]["loss"].min, found.metrics["train"]["loss"].last) == (1.0, 1.0)
    # and then nothing is read twice
    append(run, [values("train", 3, loss=[0.5], number=1)], number=1, first=2)
    newer = digested(run, found.state)
    assert newer.rows_read == 1
    check(run, newer)


def test_settings_that_come_late_are_put_in_their_place(run: Path) -> None:
    """One writer's clock may be behind another's: parameters are in order of time, whoever wrote them when."""
    append(run, [start(), said(Kind.PARAMS, BEGAN_NS + 500, set={"lr": 2})])
    append(run, [start(1)], number=1)
    before = digested(run)
    append(run, [said(Kind.PARAMS, BEGAN_NS + 400, set={"lr": 1, "seed": 3})], number=1, first=2)
    found = digested(run, before.state)
    assert found.params == {"lr": 2, "seed": 3}
    check(run, found)


def test_the_best_value_is_as_it_was_defined_last(run: Path) -> None:
    append(run, [start(), said(Kind.PARAMS, set={}, define=[["val", "acc", "max"], [None, "loss", "min"]])])
    before = digested(run)
    check(run, before)
    append(run, [said(Kind.PARAMS, BEGAN_NS + 9, set={}, define=[["val", "acc", "last"]])], first=2)
    found = digested(run, before.state)
    check(run, found)
    assert found.definitions == {("val", "acc"): "last", (None, "loss"): "min"}


def test_a_long_journal_is_read_in_slices(run: Path) -> None:
    """Others have their turn between two; whoever goes on begins where the last one stopped."""
    append(run, [start()], *([values("train", 10 * at, loss=range(10))] for at in range(30)))
    append(run, [start(1, resume_from=150), values("train", 150, loss=[-1.0])], number=1)
    state: bytes | None = None
    slices = 0
    while True:
        found = digest(str(run / "journal"), REAL_DISK, state, iter([False] * 6 + [True]).__next__)
        slices += 1
        if found.is_whole:
            break
        assert found.metrics == {}
        state = found.state
    # twice the way: that rows are repeated is said at its end
    assert slices > 8
    check(run, found)


def test_heartbeats_do_not_pile_up(run: Path) -> None:
    """A run of weeks has tens of thousands; what is kept of them is the newest."""
    beats = [
        [said(Kind.RUN, BEGAN_NS + at * 30_000_000_000, event="heartbeat", handle=0)] for at in range(1000)
    ]
    append(run, [start()], *beats)
    found = digested(run)
    check(run, found)
    assert sum(len(each.rows) for each in found.runs.values()) == 2


def test_a_wide_run_is_read_as_one_table(run: Path) -> None:
    """Thousands of metrics with a row a frame: no block of it is decoded by itself, and the answer is the same."""
    names = [f"layer{at}/norm" for at in range(40)]

    def frame(step: int) -> list[Block]:
        return [
            Block(
                Series(Kind.METRIC, name),
                [BEGAN_NS + step],
                [
                    Column("v", "f", None, [step * at / 7]),
                    Column("step", "i", None, [step]),
                    Column("ok", "b", None, [step % 2 == 0]),
                ],
            )
            for at, name in enumerate(names)
        ]

    append(run, [start()], *map(frame, range(20)))
    before = digested(run)
    check(run, before)
    append(run, *map(frame, range(20, 25)), first=22)
    found = digested(run, before.state)
    check(run, found)
    assert found.rows_read == 5 * len(names)


def test_sparse_columns_keep_their_rows_in_a_table(run: Path) -> None:
    def frame(at: int) -> list[Block]:
        columns = [Column("a", "f", [1, 3], [float(at), float(-at)]), Column("b", "f", None, [1.0] * 4)]
        return [Block(Series(Kind.METRIC, "m"), [BEGAN_NS + at] * 4, columns)]

    append(run, *map(frame, range(9)))
    check(run, digested(run))


def damage_middle(run: Path) -> None:
    """Spoil the data of a frame in the middle."""
    path = segment_of(run)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def lose_a_frame(run: Path) -> None:
    """Begin another segment with a number that is not the next."""
    append(run, [values("train", 50, loss=[-7.0])], first=9)


def tear(run: Path) -> None:
    """Cut the last frame in two."""
    path = segment_of(run)
    path.write_bytes(path.read_bytes()[:-5])


def write_anew(run: Path) -> None:
    """Put another journal of the same writer in its place, which is longer."""
    segment_of(run).unlink()
    append(run, *([values("train", 10 * at, loss=[float(at)] * 30)] for at in range(9)))


def remove(run: Path) -> None:
    """Remove all that the writer has written."""
    segment_of(run).unlink()
    append(run, [start(1), values("train", 0, loss=[8.0])], number=1)


@pytest.mark.parametrize("change", [damage_middle, lose_a_frame, tear, write_anew, remove])
def test_a_journal_that_is_not_as_it_was_is_read_anew(run: Path, change: object) -> None:
    append(run, [start()], *([values("train", 10 * at, loss=[float(-at), at])] for at in range(6)))
    before = digested(run)
    change(run)  # type: ignore[operator]
    # bytes that were read, and spoilt since, are not read again: what was read of them holds
    for state in (None,) if change is damage_middle else (before.state, None):
        found = digested(run, state)
        check(run, found)
        if change in (damage_middle, lose_a_frame):
            view = JournalView(str(run / "journal"), warns=False)
            read(run)
            view.refresh()
            assert [each.path for each in found.damage] == [str(segment_of(run))]


@pytest.mark.parametrize(
    "state", [b"", b"\x00", b"\x95\x02\x90\x80\x00\x80", b"\x95\x01\x91\x01\x80\x00\x80"]
)
def test_a_state_that_is_none_is_as_no_state(tmp_path: Path, state: bytes) -> None:
    run = write_run(tmp_path, "alice/p/a")
    check(run, digested(run, state))


@pytest.mark.sample(3)
@pytest.mark.parametrize("seed", range(6))
def test_pieces_amount_to_the_whole(run: Path, seed: int) -> None:
    """Whatever several writers append, and whenever somebody looks: as if all were read at once."""
    rng = random.Random(seed)
    seqs = dict.fromkeys(range(3), 1)
    state: bytes | None = None
    for _ in range(30):
        number = rng.choice(list(seqs))
        blocks: list[Block] = []
        if seqs[number] == 1 or rng.random() < 0.1:
            step = rng.choice([None, None, rng.randrange(20)])
            blocks.append(start(number, **({} if step is None else {"resume_from": step})))
        for name in ("train", None):
            if rng.random() < 0.7:
                first = rng.choice([None, rng.randrange(30)])
                given = [
                    rng.choice([rng.uniform(-5, 5), float("nan"), float("inf"), 0.0])
                    for _ in range(rng.randrange(1, 40))
                ]
                blocks.append(values(name, first, number=number, loss=given))
        if rng.random() < 0.3:
            blocks.append(
                said(Kind.PARAMS, BEGAN_NS + rng.randrange(1000), set={rng.choice("ab"): rng.random()})
            )
        if rng.random() < 0.2:
            blocks.append(end(number))
        if blocks:
            append(run, blocks, number=number, first=seqs[number])
            seqs[number] += 1
        if rng.random() < 0.5:
            found = digested(run, state)
            state = found.state
            assert rounded(found.metrics) == rounded(read(run))
            assert found.params == JournalView(str(run / "journal"), warns=False).params()
