"""Threads that log, flush, read, start and end at once: nothing is lost or doubled, each thread's order is kept."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment, ExperimentStatus, NotStartedError
from ml_dash.pipeline.runtime import RUNTIME
from tests.support.processes import LOGS, Journal, metric

PREFIX = "alice/vision/threads"


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Let threads change as often as can be, so that every place between two instructions gets its turn."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """An experiment that is open, and quiet."""
    with Experiment(PREFIX, dash_root=tmp_path, echo=False).run as exp:
        yield exp


def together(works: list[Callable[[], None]]) -> None:
    """Run all at once, each in a thread; the first error of any fails the test."""
    errors: list[BaseException] = []
    begin = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        begin.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def assert_law(status: ExperimentStatus) -> None:
    """Every row is acknowledged, pending or dropped, and none is two of these."""
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status


def test_sixteen_threads_that_do_everything_at_once_lose_and_double_nothing(
    experiment: Experiment, tmp_path: Path, eager_switches: None
) -> None:
    """Metrics of their own and shared ones, messages, parameters, tracks, flushes, reads and status."""
    rows = 300

    def work(number: int) -> None:
        own, shared = f"own{number}", experiment.metrics("shared")
        for step in range(rows):
            experiment.metrics(own).log(step=step, value=step * 0.5)
            shared.log(number=number, step=step)
            if step % 10 == 0:
                experiment.log(f"{number}: {step}")
                experiment.params.set(**{f"thread{number}.step": step})
                experiment.tracks("arm").append(number=number, step=step)
            if step % 50 == number:
                experiment.flush()
                assert experiment.metrics(own).read(step)["data"][0]["data"]["step"] == step
                assert_law(experiment.status())

    together([lambda number=number: work(number) for number in range(16)])  # type: ignore[misc]
    experiment.run.complete()
    status = experiment.status()
    assert_law(status)
    assert status.logged == status.durable == 16 * (2 * rows + 3 * rows // 10)
    journal = Journal(tmp_path, PREFIX)
    for number in range(16):
        own_rows = journal.rows(metric(f"own{number}"))
        assert own_rows == [{"step": step, "value": step * 0.5} for step in range(rows)]
    shared_rows = [(row["number"], row["step"]) for row in journal.rows(metric("shared"))]
    assert Counter(shared_rows) == {(number, step): 1 for number in range(16) for step in range(rows)}
    for number in range(16):
        assert [step for who, step in shared_rows if who == number] == list(range(rows))
    assert Counter(journal.values("message", LOGS)) == {
        f"{number}: {step}": 1 for number in range(16) for step in range(0, rows, 10)
    }
    assert journal.view.params() == {f"thread{number}.step": rows - 10 for number in range(16)}


@pytest.mark.slow
def test_a_flush_vouches_for_every_row_that_its_thread_logged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager_switches: None
) -> None:
    """While the worker moves rows by itself: what it has taken and not yet written is waited for, too."""
    monkeypatch.setenv("ML_DASH_LINGER", "0")
    with Experiment(PREFIX, dash_root=tmp_path, echo=False).run as exp:
        for count in range(1, 2001):
            exp.metrics("train").log(step=count)
            result = exp.flush()
            assert (result.durable, result.pending) == (count, 0)


@pytest.mark.slow
def test_a_read_sees_every_row_that_its_thread_logged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager_switches: None
) -> None:
    """The same for reading, which waits for no fsync."""
    monkeypatch.setenv("ML_DASH_LINGER", "0")
    with Experiment(PREFIX, dash_root=tmp_path, echo=False).run as exp:
        for count in range(1, 2001):
            exp.metrics("train").log(step=count)
            assert exp.metrics("train").read(count - 1)["total"] == count


@pytest.mark.slow
def test_a_row_is_refused_or_it_is_there_while_the_run_starts_and_ends_again_and_again(
    tmp_path: Path, eager_switches: None
) -> None:
    """A call that returns has been recorded, whichever run it fell into; a call that raises has not."""
    exp = Experiment(PREFIX, dash_root=tmp_path, echo=False)
    logged = [0] * 6
    over = threading.Event()

    def log(number: int) -> None:
        while not over.is_set():
            try:
                exp.metrics(f"thread{number}").log(step=logged[number])
            except NotStartedError:
                continue
            logged[number] += 1

    def restart() -> None:
        try:
            for _ in range(25):
                exp.run.start()
                exp.run.complete()
        finally:
            over.set()

    together([restart, *(lambda number=number: log(number) for number in range(6))])
    exp.flush()
    status = exp.status()
    assert_law(status)
    assert (status.logged, status.pending) == (sum(logged), 0)
    journal = Journal(tmp_path, PREFIX)
    for number in range(6):
        assert journal.values("step", metric(f"thread{number}")) == list(range(logged[number]))
    assert journal.ends() == ["COMPLETED"] * 25


@pytest.mark.slow
def test_threads_that_start_and_end_one_run_at_once_agree(tmp_path: Path, eager_switches: None) -> None:
    """The first of them starts it and the first ends it, and the others are harmless."""
    exp = Experiment(PREFIX, dash_root=tmp_path, echo=False)
    for _ in range(20):
        together([lambda: None if exp.run.start() is exp else pytest.fail("another")] * 8)
        together([exp.run.complete, exp.run.fail, exp.run.cancel] * 3)
    journal = Journal(tmp_path, PREFIX)
    assert len(journal.ends()) == 20
    assert journal.writers == 1


def test_experiments_of_one_prefix_share_their_journal_in_one_process(
    tmp_path: Path, eager_switches: None
) -> None:
    """Two handles, each with its own status; rows of both, each once."""
    first = Experiment(PREFIX, dash_root=tmp_path, echo=False)
    second = Experiment(PREFIX, dash_root=tmp_path, echo=False)

    def work(exp: Experiment, name: str) -> None:
        with exp.run:
            for step in range(2000):
                exp.metrics(name).log(step=step)

    together([lambda: work(first, "first"), lambda: work(second, "second")])
    journal = Journal(tmp_path, PREFIX)
    for name in ("first", "second"):
        assert journal.values("step", metric(name)) == list(range(2000))
    assert journal.writers == 1
    assert journal.ends() == ["COMPLETED"] * 2


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(1, 10))])
def test_runs_of_one_experiment_that_begin_and_end_in_many_threads_lose_nothing(
    tmp_path: Path, eager_switches: None, turn: int
) -> None:
    """What one run leaves at its end, its shared memory and its file, another one may just have begun to use."""
    logged: dict[str, int] = {}

    def work(name: str) -> None:
        chance = random.Random(f"{turn} {name}")
        logged[name] = 0
        for _ in range(8):
            exp = Experiment(PREFIX, dash_root=tmp_path, echo=False)
            with exp.run:
                for _ in range(chance.randrange(1, 30)):
                    exp.metrics(name).log(step=logged[name])
                    logged[name] += 1
            assert_law(exp.status())

    together([lambda name=name: work(name) for name in "abc"])  # type: ignore[misc]
    journal = Journal(tmp_path, PREFIX)
    assert {name: journal.values("step", metric(name)) for name in "abc"} == {
        name: list(range(count)) for name, count in logged.items()
    }
    assert journal.ends() == ["COMPLETED"] * 24


def test_who_looks_through_all_runs_is_not_stopped_by_one_that_begins(
    tmp_path: Path, eager_switches: None
) -> None:
    """As an exit, SIGTERM and a fork do: what comes behind an error there would not be done."""
    over = threading.Event()

    def begin() -> None:
        try:
            for number in range(40):
                with Experiment(f"{PREFIX}{number}", dash_root=tmp_path, echo=False).run as exp:
                    exp.metrics("train").log(step=number)
        finally:
            over.set()

    def look() -> None:
        while not over.is_set():
            RUNTIME.runs()
            RUNTIME.senders_own("http://127.0.0.1:9")

    together([begin, look, look])


def test_a_full_queue_blocks_many_threads_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager_switches: None
) -> None:
    """Sixteen threads against a queue of a hundred events: they wait, and all rows arrive."""
    monkeypatch.setenv("ML_DASH_QUEUE_EVENTS", "100")
    monkeypatch.setenv("ML_DASH_CRASH_PROOF", "0")
    with Experiment(PREFIX, dash_root=tmp_path, echo=False).run as exp:

        def work(number: int) -> None:
            for step in range(500):
                exp.metrics(str(number)).log(step=step)

        together([lambda number=number: work(number) for number in range(16)])  # type: ignore[misc]
    status = exp.status()
    assert_law(status)
    assert (status.durable, status.dropped) == (16 * 500, {})
    journal = Journal(tmp_path, PREFIX)
    for number in range(16):
        assert journal.values("step", metric(str(number))) == list(range(500))


def test_a_full_queue_that_drops_counts_every_row_it_drops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager_switches: None
) -> None:
    """With ``overflow="drop"`` nobody waits: what is in the journal and what was counted make up all calls."""
    monkeypatch.setenv("ML_DASH_QUEUE_EVENTS", "50")
    monkeypatch.setenv("ML_DASH_CRASH_PROOF", "0")
    with Experiment(PREFIX, dash_root=tmp_path, echo=False, overflow="drop").run as exp:

        def work(number: int) -> None:
            for step in range(3000):
                exp.metrics(str(number)).log(step=step)

        together([lambda number=number: work(number) for number in range(8)])  # type: ignore[misc]
    status = exp.status()
    assert_law(status)
    assert status.logged == 8 * 3000
    journal = Journal(tmp_path, PREFIX)
    stored = [journal.values("step", metric(str(number))) for number in range(8)]
    assert sum(map(len, stored)) == status.durable == 8 * 3000 - sum(status.dropped.values())
    assert set(status.dropped) <= {"overflow"}
    for steps in stored:
        assert steps == sorted(set(steps))
