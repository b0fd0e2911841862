"""An experiment is moved at its server while its run goes on, or after it: what is sent lands in it, each row once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.identity import parse_prefix
from ml_dash.server.runner import EmbeddedServer
from tests.support.processes import PREFIX
from tests.support.seen import Seen, law, until
from tests.support.serving import TESTER

pytestmark = pytest.mark.usefixtures("settings")

AFTER = "alice/sweeps/2026/baseline"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the journals lie."""
    return tmp_path / "dash"


def log(exp: Experiment, start: int, stop: int) -> None:
    for step in range(start, stop):
        exp.metrics("train").log(step=step)


def arrived(exp: Experiment) -> bool:
    law(exp)
    return exp.status().pending == 0


def move(server: EmbeddedServer, exp: Experiment) -> None:
    to = parse_prefix(AFTER, user=str, now_ns=int)
    assert server.store is not None
    server.store.verbs.move(str(exp.id), TESTER, to)


def started(server: EmbeddedServer, root: Path | None) -> Experiment:
    return Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False).run.start()


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False], ids=["hybrid", "remote"])
def test_a_run_goes_on_in_the_experiment_that_was_moved_under_it(
    server: EmbeddedServer, seen: Seen, root: Path, caplog: pytest.LogCaptureFixture, *, keeps: bool
) -> None:
    """While it is connected, and when it introduces itself again after an outage; nothing has the old name."""
    moved = Seen(server, AFTER)
    exp = started(server, root if keeps else None)
    log(exp, 0, 10)
    until(lambda: arrived(exp), "the first rows at the server")
    id_ = exp.id
    move(server, exp)
    log(exp, 10, 20)
    until(lambda: arrived(exp), "those behind the move")
    server.stop()
    log(exp, 20, 30)
    until(lambda: exp.status().online is False, "the outage noticed")
    server.start()
    until(lambda: arrived(exp), "those of the outage")
    exp.readme = "why"
    exp.run.complete()

    assert (exp.id, moved.record["id"]) == (id_, id_)
    assert moved.values("step") == list(range(30))
    assert (moved.status, moved.record["readme"]) == ("COMPLETED", "why")
    assert not seen.known
    told = [message for message in caplog.messages if "is called" in message]
    assert len(told) == 1
    assert AFTER in told[0]


@pytest.mark.slow
def test_a_directory_goes_on_to_be_sent_to_its_experiment(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    """The next run there too, which the server has never heard of; one elsewhere under the name is another one."""
    moved = Seen(server, AFTER)
    first = started(server, root)
    log(first, 0, 10)
    first.run.complete()
    move(server, first)

    second = started(server, root)
    log(second, 10, 20)
    second.run.complete()
    assert moved.values("step") == list(range(20))
    assert not seen.known

    other = started(server, root.with_name("elsewhere"))
    log(other, 0, 5)
    other.run.complete()
    assert seen.values("step") == list(range(5))
    third = started(server, root)
    log(third, 20, 30)
    third.run.complete()
    assert moved.values("step") == list(range(30))
    assert seen.values("step") == list(range(5))
