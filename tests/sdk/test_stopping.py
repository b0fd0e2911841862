"""`exp.should_stop`: asked for in either place, learnt in the background, seen by the script, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, StopError
from ml_dash.errors import InvalidArgumentError
from ml_dash.pipeline.stopping import Stopping
from ml_dash.sdk.run import should_stop
from tests.support.serving import until
from tests.support.two_places import TestPlace, place

__all__ = ["place"]

PREFIX = "alice/p/a"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are looked for all the time, instead of once a second."""
    monkeypatch.setattr("ml_dash.pipeline.stopping._LOOK_SECONDS", 0.02)


def opened(place: TestPlace, prefix: str = PREFIX) -> Experiment:
    return ml_dash.open(prefix, place.where)


def stop_of(place: TestPlace) -> Any:
    """What the place says of the request: of a root, what its file says."""
    if place.server is not None:
        return (opened(place)._session.server_view().record() or {})["stop"]
    from ml_dash.journal.disk import REAL_DISK
    from ml_dash.storage.stopping import read_stop

    found = read_stop(opened(place).directory, REAL_DISK)
    return None if found is None else found.shown()


def stopping_of(exp: Experiment) -> Stopping:
    found = exp._session.stopping
    assert found is not None
    return found


def busy(exp: Experiment, condition: Callable[[], bool], what: str) -> None:
    """Wait while the run logs."""

    def look() -> bool:
        exp.metrics("busy").log(x=1)
        return condition()

    until(look, what)


def test_a_run_that_is_asked_to_stop_sees_it_and_is_cancelled(place: TestPlace) -> None:
    with place.experiment(PREFIX).run as exp:
        exp.metrics("train").log(step=0)
        exp.flush()
        opened(place).stop("the loss is NaN")
        stop = stop_of(place)
        assert (stop["reason"], stop["seenAt"]) == ("the loss is NaN", None)
        steps = 1
        end = time.monotonic() + 60
        while not exp.should_stop:
            assert time.monotonic() < end
            exp.metrics("train").log(step=steps)
            steps += 1
            time.sleep(0.005)
    assert exp.run.status == "CANCELLED"
    assert opened(place).status().status == "CANCELLED"
    assert [
        row["data"]["step"] for row in opened(place).metrics("train").read(0, steps + 10)["data"]
    ] == list(range(steps))
    assert stop_of(place)["seenAt"] is not None
    with pytest.raises(StopError, match="no run of 'alice/p/a' goes on"):
        opened(place).stop()


@pytest.mark.slow
def test_an_idle_run_learns_it_too(place: TestPlace) -> None:
    with place.experiment(PREFIX).run as exp:
        exp.flush()
        opened(place).stop()
        until(lambda: exp.should_stop, "an idle run sees that it is asked to stop")
        # and the place learns that it was seen, though nothing is logged
        until(lambda: stop_of(place)["seenAt"] is not None, "it is told that it was seen")
        with pytest.raises(StopError, match="has seen"):
            opened(place).stop(cancel=True)


def test_a_request_that_was_not_seen_is_taken_back(place: TestPlace) -> None:
    with place.experiment(PREFIX).run as exp:
        exp.flush()
        opened(place).stop()
        busy(exp, lambda: stopping_of(exp).asked is not None, "the background thread knows")
        opened(place).stop(cancel=True)
        busy(exp, lambda: stopping_of(exp).asked is None, "and that it was taken back")
        assert exp.should_stop is False
        opened(place).stop(cancel=True)
    assert exp.run.status == "COMPLETED"


def test_a_run_that_does_not_look_goes_on_and_completes(place: TestPlace) -> None:
    with place.experiment(PREFIX).run as exp:
        exp.flush()
        opened(place).stop()
        busy(exp, lambda: stopping_of(exp).asked is not None, "the background thread knows")
    assert exp.run.status == "COMPLETED"


def test_a_failure_stays_one(place: TestPlace) -> None:
    exp = place.experiment(PREFIX).run.start()
    exp.flush()
    opened(place).stop()
    busy(exp, lambda: exp.should_stop, "it sees that it is asked to stop")
    exp.run.fail("of something else")
    assert opened(place).status().status == "FAILED"


def test_the_next_attempt_is_not_meant(place: TestPlace) -> None:
    exp = place.experiment(PREFIX)
    exp.run.start()
    exp.flush()
    opened(place).stop()
    busy(exp, lambda: stopping_of(exp).asked is not None, "the background thread knows")
    exp.run.complete()
    exp.run.start()
    try:
        exp.metrics("train").log(step=0)
        exp.flush()
        stopping_of(exp)._looked_at = float("-inf")
        exp._run.look()
        assert not exp.should_stop
        assert place.kind == "root" or stop_of(place) is None
        opened(place).stop()
        busy(exp, lambda: exp.should_stop, "this one is")
    finally:
        exp.run.complete()
    assert exp.run.status == "CANCELLED"


def test_every_object_of_the_run_sees_it_and_each_says_how_it_ended(place: TestPlace) -> None:
    first, second = place.experiment(PREFIX), place.experiment(PREFIX)
    with first.run, second.run:
        first.flush()
        opened(place).stop()
        busy(first, lambda: first.should_stop and second.should_stop, "both see it")
    assert (first.run.status, second.run.status) == ("CANCELLED", "CANCELLED")


def test_it_is_false_where_no_run_is_open(tmp_path: Path) -> None:
    exp = Experiment(PREFIX, dash_root=str(tmp_path))
    assert exp.should_stop is False
    with exp.run:
        assert exp.should_stop is False
    assert exp.should_stop is False
    assert opened_here(tmp_path).should_stop is False


def opened_here(root: Path) -> Experiment:
    return ml_dash.open(PREFIX, str(root))


def test_to_look_takes_no_lock_and_asks_no_disk(tmp_path: Path) -> None:
    """It is what a training loop does at each step: an attribute, whatever the background thread does just then."""
    with Experiment(PREFIX, dash_root=str(tmp_path), echo=False).run:
        names = set(should_stop.__code__.co_names) | set(Stopping.see.__code__.co_names)
        assert names <= {"_session", "stopping", "see", "asked", "is_seen"}


@pytest.mark.sample(7)
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"atNs": -1}', '{"atNs": 1, "attempts": 7}', "\x00"]
)
def test_a_file_that_says_no_request_asks_for_nothing(tmp_path: Path, text: str) -> None:
    with Experiment(PREFIX, dash_root=str(tmp_path), echo=False).run as exp:
        (Path(exp.directory) / "stop.json").write_text(text)
        stopping_of(exp)._looked_at = float("-inf")
        exp._run.look()
        assert exp.should_stop is False
        opened_here(tmp_path).stop("r")
        busy(exp, lambda: exp.should_stop, "what is written over it does")


def test_a_reason_that_is_too_long_is_refused_at_once(place: TestPlace) -> None:
    with place.experiment(PREFIX).run as exp:
        exp.flush()
        with pytest.raises(InvalidArgumentError, match="1,001 characters"):
            opened(place).stop("x" * 1001)
        assert exp.should_stop is False
