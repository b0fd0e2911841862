"""Attempts: which starts belong together, whatever order their rows come in."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ml_dash.query.attempts import Opening, attempt_at, attempts_of, openings_of, superseded_from

SECOND = 10**9


def row(at: float, event: str, handle: int = 1, **more: Any) -> tuple[int, dict[str, Any]]:
    return int(at * SECOND), {"event": event, "status": "RUNNING", "handle": handle, **more}


def start(at: float, **more: Any) -> tuple[int, dict[str, Any]]:
    return row(at, "start", **more)


def opened(**writers: list[tuple[int, dict[str, Any]]]) -> list[Opening]:
    """The openings of several writers."""
    return [opening for name, rows in writers.items() for opening in openings_of(name, rows)]


def numbers(openings: list[Opening]) -> list[list[tuple[str, int]]]:
    """The openings of each attempt, by writer and number: the same for any order in which they are given."""
    found = {
        tuple(
            tuple(sorted((each.writer, each.at) for each in attempt.openings))
            for attempt in attempts_of(order)
        )
        for order in itertools.islice(itertools.permutations(openings), 120)
    }
    assert len(found) == 1
    return [list(attempt) for attempt in found.pop()]


def test_each_start_of_a_run_is_an_attempt() -> None:
    own = [start(1), row(2, "end"), start(3), row(4, "end")]
    assert numbers(opened(a=own, b=[start(5)])) == [[("a", 0)], [("a", 2)], [("b", 0)]]


def test_an_attempt_that_comes_late_gets_its_place() -> None:
    assert numbers(opened(a=[start(5)], b=[start(1), row(2, "end")])) == [[("b", 0)], [("a", 0)]]


def test_runs_that_go_on_at_the_same_time_are_one() -> None:
    """As their signs of life tell: those of a run that was killed ended before."""
    beside = [start(1), row(31, "heartbeat"), row(61, "heartbeat")]
    assert numbers(opened(a=beside, b=[start(2), row(3, "end")])) == [[("a", 0), ("b", 0)]]
    assert numbers(opened(a=beside, b=[start(62)])) == [[("a", 0)], [("b", 0)]]
    chain = opened(a=[start(1), row(9, "end")], b=[start(8), row(19, "end")], c=[start(18)])
    assert numbers(chain) == [[("a", 0), ("b", 0), ("c", 0)]]


def test_a_start_takes_part_in_the_attempt_that_it_names() -> None:
    """Though no sign of life has come of the others yet, and though others ran meanwhile."""
    openings = opened(a=[start(1, attempt="x")], b=[start(2, attempt="x")], c=[start(3, attempt="y")])
    assert numbers(openings) == [[("a", 0), ("b", 0)], [("c", 0)]]


def test_a_start_that_is_put_again_is_the_same_one_with_a_later_place() -> None:
    """Behind those of a machine whose clock is ahead, or of two that started at once."""
    again = [start(1, attempt="x"), start(9, attempt="x", again=True)]
    assert numbers(opened(a=again, b=[start(5), row(6, "end")])) == [[("b", 0)], [("a", 0)]]
    taken = [start(2, attempt="x"), start(3, attempt="y", again=True)]
    assert numbers(opened(a=taken, b=[start(1, attempt="y")])) == [[("a", 0), ("b", 0)]]
    assert numbers(opened(a=[start(5, again=True)])) == [[("a", 0)]], "the first may be lost"


def test_a_run_that_is_started_again_without_an_end_has_ended() -> None:
    first, second = openings_of("a", [start(1), start(5), row(6, "heartbeat")])
    assert (first.is_open, first.last_ns, second.is_open) == (False, SECOND, True)
    assert numbers([first, second]) == [[("a", 0)], [("a", 1)]]


def test_a_resumed_attempt_is_a_new_one_though_the_one_before_is_on_its_way_out() -> None:
    before = [start(1), row(31, "heartbeat"), row(70, "end")]
    ranks = {name: [start(60 + at, resume_from=100), row(99, "end")] for at, name in enumerate("bcd")}
    assert numbers(opened(a=before, **ranks)) == [[("a", 0)], [("b", 0), ("c", 0), ("d", 0)]]
    other = [start(65), row(99, "end")]
    assert numbers(opened(a=before, e=other, **ranks))[1:] == [[("b", 0), ("c", 0), ("d", 0), ("e", 0)]]


def test_rows_from_the_least_later_step_on_are_superseded() -> None:
    steps = [None, 100, 50, None, 80]
    openings = opened(**{f"w{at}": [start(at, resume_from=step)] for at, step in enumerate(steps)})
    assert superseded_from(attempts_of(openings)) == {1: 50, 2: 50, 3: 80, 4: 80}


def test_a_writer_that_opened_no_run_is_of_the_attempt_in_which_it_was_born() -> None:
    attempts = attempts_of(opened(a=[start(10), row(20, "end")], b=[start(30)]))
    for born, number in ((5, 1), (15, 1), (25, 1), (30, 2), (99, 2)):
        found = attempt_at(attempts, f"{born * SECOND:016x}-1f-89abcdef")
        assert found is not None
        assert found.number == number
    found = attempt_at(attempts, "foreign")
    assert found is not None
    assert found.number == 1
    assert attempt_at([], "foreign") is None


@pytest.mark.parametrize("nonsense", [None, True, "x", float("nan"), 2**63, [1], {}])
def test_what_is_no_step_and_no_name_is_none(nonsense: object) -> None:
    (opening,) = openings_of("a", [start(1, resume_from=nonsense, attempt=[nonsense])])
    assert (opening.resume_from, opening.name) == (None, None)


def test_an_end_whose_start_is_lost_is_of_the_attempt_before_it() -> None:
    """As where the start was damaged, or its journal moved away."""
    openings = opened(a=[start(1)], b=[start(5)], c=[row(9, "end")])
    assert numbers(openings) == [[("a", 0)], [("b", 0), ("c", 0)]]
    late = [row(9, "end"), row(20, "heartbeat")]
    assert numbers(opened(a=[start(1)], c=late, b=[start(12)])) == [[("a", 0), ("c", 0)], [("b", 0)]], (
        "joins none"
    )
    assert numbers(opened(c=late, b=[start(12)])) == [[("c", 0)], [("b", 0)]]
    (alone,) = attempts_of(opened(c=[row(9, "end")]))
    assert (alone.number, alone.start_ns) == (1, 9 * SECOND)
