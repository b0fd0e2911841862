"""`resume=` and numbers with a server: it says what there is, and gives each number once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError, RemoteError, ResumeError, ServerUnavailableError
from ml_dash.server.runner import EmbeddedServer
from tests.support.processes import PREFIX
from tests.support.seen import Seen

pytestmark = pytest.mark.usefixtures("settings")


def experiment(server: EmbeddedServer, root: Path | None, prefix: str = PREFIX, **more: object) -> Experiment:
    return Experiment(prefix, dash_url=server.url, dash_root=root, **more)  # type: ignore[arg-type]


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False])
def test_a_server_that_has_an_experiment_counts(
    server: EmbeddedServer, tmp_path: Path, *, keeps: bool
) -> None:
    """As where another machine has sent it; what it was asked for is written nowhere then."""
    first, second = (tmp_path / "first", tmp_path / "second") if keeps else (None, None)
    with pytest.raises(ResumeError, match="to go on with"):
        experiment(server, first, resume="must").run.start()
    with experiment(server, first, resume="never").run as exp:
        exp.metrics("train").log(step=1)
    with pytest.raises(ResumeError, match="'never'"):
        experiment(server, tmp_path / "third" if keeps else None, resume="never").run.start()
    assert not [path for path in tmp_path.rglob("*") if "third" in path.parts and path.name != "third"]
    with experiment(server, second, resume="must").run:
        pass


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False])
def test_ranks_on_several_machines_begin_one_new_experiment(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    """They share a server and no disk; the experiment is there since their launcher began, and not before."""
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        with experiment(server, tmp_path / rank if keeps else None, resume="never").run as exp:
            exp.metrics("train").log(rank=rank)
    monkeypatch.setattr("ml_dash.sdk.starting.resuming.is_recent", lambda _: False)
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(ResumeError, match="'never'"):
        experiment(server, tmp_path / "2" if keeps else None, resume="never").run.start()


def test_what_goes_on_is_told_of_the_server_where_nothing_is_kept(
    server: EmbeddedServer, seen: Seen, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ML_DASH_QUIET")
    for step in range(2):
        with experiment(server, None).run as exp:
            exp.metrics("train").log(step=step)
            exp.log("hello")
    assert f"goes on with {PREFIX}: 1 earlier attempt, 1 row; " in capsys.readouterr().err
    assert (seen.record["attempts"], seen.record["rows"], seen.status) == (2, 2, "COMPLETED")


@pytest.mark.slow
def test_rows_of_attempts_are_shown_alike_here_and_at_the_server(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    for resume_from, steps in ((None, range(5)), (3, range(3, 8)), (None, range(2))):
        exp = experiment(server, tmp_path)
        exp.run.start(resume_from=resume_from)
        for step in steps:
            exp.metrics("train").log(step=step)
        exp.run.complete()
    there = experiment(server, None)
    choices: list[Any] = [None, 1, 2, 3, "all"]
    for choice in choices:
        ways = [
            (metric.read(attempt=choice), metric.stats(attempt=choice), metric.to_numpy(attempt=choice))
            for metric in (exp.metrics("train"), there.metrics("train"))
        ]
        (rows, stats, arrays), (rows_there, stats_there, arrays_there) = ways
        assert (rows, stats) == (rows_there, stats_there)
        assert {name: array.tolist() for name, array in arrays.items()} == {
            name: array.tolist() for name, array in arrays_there.items()
        }
    assert exp.metrics("train").read()["superseded"] == 2
    assert exp.view.attempts() == there.view.attempts()
    with pytest.raises((InvalidArgumentError, RemoteError), match="attempt=4"):
        there.metrics("train").read(attempt=4)


@pytest.mark.parametrize("keeps", [True, False])
def test_each_gets_the_next_number_that_the_server_has_free(
    server: EmbeddedServer, tmp_path: Path, *, keeps: bool
) -> None:
    def make(at: int) -> str:
        root = tmp_path / str(at % 2) if keeps else None
        return experiment(server, root, "alice/p/{n}/eval").prefix.split("/")[2]

    with ThreadPoolExecutor(4) as pool:
        assert sorted(map(int, pool.map(make, range(8)))) == list(range(1, 9))


def test_without_its_server_a_number_is_that_of_the_root_or_none_is_given(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    server.stop()
    with pytest.warns(UserWarning, match="cannot be asked for its own"):
        assert experiment(server, tmp_path, "alice/p/r-{n}").name == "r-1"
    with pytest.raises(ServerUnavailableError):
        experiment(server, None, "alice/p/r-{n}")
    for resume in ("must", "never"):
        with pytest.raises(ServerUnavailableError):
            experiment(server, None, resume=resume).run.start()
