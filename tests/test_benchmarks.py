"""The benchmarks measure what they say; no figure of theirs is judged here."""

from __future__ import annotations

import importlib.util
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, device, drawing, listing
from benchmarks.contenders import BARE, BASELINE, CONTENDERS, OURS
from benchmarks.measure import PERCENTILES
from benchmarks.peers import level_db_records
from benchmarks.processes import child
from benchmarks.report import hot_path_tables, markdown
from benchmarks.summary import slowdown

RATE = {
    "loop_per_s": 9e5,
    "closed_per_s": 8e5,
    "cpu_us": 1.2,
    "bytes": 32.0,
    "rss_mb": 60.0,
    "rss_before_mb": 12.0,
}


def results(**ours: float) -> dict[str, Any]:
    """One round, in which the deque has the figures of `RATE` and ours differ."""
    return {
        "options": {"steps": 1000, "rounds": 1},
        "rate": {BASELINE: [RATE], OURS: [{**RATE, **ours}]},
    }


def blocks(bare: float, logging: float, noise: float = 0.0) -> dict[str, list[float]]:
    """Forty pairs of blocks of a paced loop, with so many seconds a step."""
    source = random.Random(1)
    times = {"bare_s": bare, "logging_s": logging, "bare_cpu_s": bare, "logging_cpu_s": logging}
    return {key: [value * (1 + noise * source.random()) for _ in range(40)] for key, value in times.items()}


@pytest.mark.sample(3)
@pytest.mark.parametrize("contender", [BASELINE, "msgpack", OURS])
def test_a_tight_loop_is_measured_in_a_process_of_its_own(tmp_path: Path, contender: str) -> None:
    """Rates, costs and percentiles of 500 steps come back, in ascending order where they have one."""
    directory = str(tmp_path)
    rate = child("benchmarks.measure", job="rate", contender=contender, directory=directory, steps=500)
    assert rate.keys() == RATE.keys()
    assert rate["loop_per_s"] >= rate["closed_per_s"] > 0
    assert (rate["bytes"] > 0) == (contender != BASELINE)
    latency = child("benchmarks.measure", job="latency", contender=BASELINE, directory=directory, steps=500)[
        "us"
    ]
    assert len(latency) == len(PERCENTILES)
    assert latency == sorted(latency)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["plain", "stalled", "threads"])
def test_a_paced_loop_logs_in_every_second_block(tmp_path: Path, scenario: str) -> None:
    """The rows that are stored afterwards are those of the logging blocks and of the steps that led them in."""
    found = child(
        "benchmarks.measure",
        job="paced",
        contender=OURS,
        directory=str(tmp_path),
        scenario=scenario,
        pairs=2,
        block=16,
        lead=8,
    )
    assert [len(times) for times in found.values()] == [2] * 4
    assert CONTENDERS[OURS].stored(str(tmp_path)) == 2 * (16 + 8)


def test_a_slowdown_is_found_with_its_interval() -> None:
    """Blocks that take a tenth longer give 1.1, and an interval around it that excludes the target."""
    found = slowdown(blocks(0.001, 0.0011, noise=0.02))
    assert found.low <= found.ratio <= found.high
    assert found.ratio == pytest.approx(1.1, rel=0.01)
    assert found.verdict is False


def test_equal_blocks_reach_the_target_unless_the_noise_is_larger_than_it() -> None:
    """Without noise nothing is slower; with much of it nothing is claimed."""
    assert slowdown(blocks(0.001, 0.001)).verdict is True
    assert slowdown(blocks(0.001, 0.001, noise=0.5)).verdict is None


def test_what_counts_is_the_ratio_to_the_deque() -> None:
    """640 000 of the deque's 800 000 calls/s miss the absolute target and reach the ratio of 0.65."""
    text = markdown(hot_path_tables(results(closed_per_s=640_000.0)))
    row = next(
        line for line in text.splitlines() if line.startswith("| calls/s until closed") and "≥" in line
    )
    assert "≥ 700 000 | not reached | 0.80 | 0.80 | ≥ 0.65 | reached" in row


def test_what_capturing_costs_is_told_in_one_table() -> None:
    """Calls, import and start with it and without it, of the same rounds, each against its target."""
    latency = [0.1, 0.2, 0.6, 0.7, 1.0, 2.0, 3.0, 4.0]
    dearer = [us * 1.1 for us in latency]
    found = {
        "options": {"steps": 1000, "rounds": 2},
        "latency": {BARE: [{"us": latency}] * 2, OURS: [{"us": dearer}] * 2},
        "start": {
            BARE: [{"import_s": 0.040, "start_s": 0.010}, {"import_s": 0.060, "start_s": 0.020}],
            OURS: [{"import_s": 0.050, "start_s": 0.015}, {"import_s": 0.040, "start_s": 0.019}],
        },
    }
    (table,) = [table for table in hot_path_tables(found) if table.title.startswith("Capturing")]
    rows = {row[0]: list(row[1:]) for row in table.rows}
    assert rows["p50 µs"] == ["0.60", "0.66", "1.10", "≤ 1.05 : 1", "not reached"]
    assert rows["import s"][-2:] == ["≤ 0.050", "reached"]
    assert rows["delay of the start by captures, ms"] == ["–", "2.0", "–", "≤ 20", "reached"]


@pytest.mark.slow
def test_what_a_tracker_has_stored_is_counted_and_read_by_its_own_reader(tmp_path: Path) -> None:
    job = {"contender": OURS, "directory": str(tmp_path)}
    life = child("benchmarks.measure", job="life", **job, steps=10)
    assert life.keys() == {"import_s", "start_s", "finish_s"}
    assert min(life.values()) > 0
    assert child("benchmarks.measure", job="stored", **job) == {"rows": 10}
    assert child("benchmarks.measure", job="read_back", **job)["rows"] == 10


def test_a_tracker_that_fails_is_told_and_leaves_the_others_their_figures() -> None:
    measured = {
        "steps": 1000,
        "rate": RATE,
        "latency": {"us": [1.0] * len(PERCENTILES)},
        "paced": blocks(1e-3, 1e-3),
        "life": {"import_s": 0.1, "start_s": 0.1, "finish_s": 0.1},
        "read_back": {"rows": 1000, "s": 0.002},
        "lost": [0.0, 0.0],
        "failed": [],
    }
    failed = {"steps": 1000, "lost": [float("nan")] * 2, "failed": ["rate: it said no"]}
    results = {"peers": {OURS: [measured], "wandb": [failed]}, "versions": {OURS: "1", "wandb": "2"}}
    calls, kept, ratios = compare.tables(results)
    assert [row[0] for row in calls.rows] == ["ml-dash 1", "wandb (offline) 2"]
    assert calls.rows[0][5] == "800 000"
    assert set(calls.rows[1][2:]) == {"–"}
    assert kept.rows[0][4] == "2.0"
    assert kept.note == "wandb: rate: it said no"
    assert set(ratios.rows[0][1:]) == {"–"}


def test_the_records_of_a_file_of_wandb_are_found_across_its_blocks() -> None:
    """LevelDB's log: blocks of 32 KiB behind a head of 7 bytes, records in parts where they do not fit."""
    messages = [bytes([number]) * (number * 997) for number in range(1, 60)]
    data = b"".join(_level_db_log(messages))
    assert list(level_db_records(data, 7)) == messages
    assert list(level_db_records(data[:-1], 7)) == messages[:-1]


def _level_db_log(messages: list[bytes]) -> Iterator[bytes]:
    at = 7
    for message in messages:
        rest, is_first = message, True
        while rest or is_first:
            left = 32 * 1024 - at % (32 * 1024)
            if left < 7:
                yield bytes(left)
                at += left
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if is_first else (4 if not rest else 3)
            yield struct.pack("<IHB", 0, len(part), kind) + part
            at += 7 + len(part)
            is_first = False


@pytest.mark.parametrize(
    ("ours", "read", "judged"), [(101.0, 103.0, "reached"), (100.5, 100.2, "not reached")]
)
def test_tensors_may_cost_a_hundredth_and_no_more_than_to_wait_for_them(
    ours: float, read: float, judged: str
) -> None:
    def loop(step_us: float) -> dict[str, float]:
        return {"step_us": step_us, "call_p50_us": 1.0, "call_p99_us": 2.0}

    rounds = [
        {"silent": loop(100.0), "tensors to ml-dash": loop(ours), "ml-dash, by .item()": loop(read)}
    ] * 3
    found = device.tables({"environment": {"device": "none"}, "small": rounds, "large": rounds})
    for table in found:
        assert [row[0] for row in table.rows if row[-1]] == ["tensors to ml-dash"]
        assert [row[-1] for row in table.rows if row[-1]] == [judged]


def test_a_benchmark_of_a_device_says_where_there_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    """And measures nothing."""
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("torch is installed, and may find a device")
    with pytest.raises(SystemExit, match="Nothing was measured"):
        device._torch()


@pytest.mark.slow
def test_lists_are_measured_by_every_question(tmp_path: Path) -> None:
    found = listing.measure(str(tmp_path), None, runs=200, rounds=1)
    assert found.keys() == {*listing.QUESTIONS, listing.OF_AN_OWNER}
    assert all(len(took.wall) == 1 and took.wall[0] > 0 and took.cpu > 0 for took in found.values())


@pytest.mark.slow
def test_charts_are_measured_by_every_question(tmp_path: Path) -> None:
    found = drawing.measure(str(tmp_path), None, members=5, runs=2, rows=3000, rounds=1)
    assert len(found) == 6
    assert all(len(times) == 1 and min(times[0]) > 0 for times in found.values())
