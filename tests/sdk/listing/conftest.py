"""A place of each kind: with a sweep in it that tests only read, and one that is each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.two_places import KINDS, TestPlace, new_place, place

__all__ = ["place"]

RUNS = 6


@pytest.fixture(scope="module", params=KINDS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlace]:
    """The place of `sweep`."""
    found = new_place(request.param, tmp_path_factory.mktemp(request.param))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ML_DASH_QUIET", "1")
        found.settings(monkeypatch)
        for number in range(RUNS):
            _log(found, number)
    yield found
    if found.server is not None:
        found.server.stop()


def _log(place: TestPlace, number: int) -> None:
    tags = ["sweep", f"n{number}"] if number % 2 else ["other"]
    exp = place.experiment(
        f"alice/vision/sweep/run-{number}", tags=tags, readme="Why not?", metadata={"gpu": "H100"}
    )
    exp.run.start()
    exp.params.set(
        lr=10.0**-number, opt="adam" if number else "SGD", layers=[64, 64], model={"depth": number}
    )
    exp.metrics.define("val/acc", best="max")
    for step in range(5):
        exp.metrics("val").log(step=step * 10, acc=(step * 7 % 5) / 10 + number / 100)
        exp.metrics("train").log(loss=1 / (step + 1))
    if number == 3:
        exp.metrics("only/here").log(score=1)
        exp.run.fail("it broke")
    else:
        exp.run.complete()


@pytest.fixture
def sweep(written: TestPlace, monkeypatch: pytest.MonkeyPatch) -> TestPlace:
    """Six runs: run-0 to run-5, the last one the newest, of which run-3 has failed. Nobody changes them."""
    written.settings(monkeypatch)
    return written
