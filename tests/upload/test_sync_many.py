"""Many experiments sent at once: bounded, in order where order counts, each row once, whatever ends it half-way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens.token import Token
from ml_dash.upload.sync import SyncProgress, SyncReport, sync_experiment
from ml_dash.upload.sync_many import Progress, sync_many
from tests.support.answering import closed_port
from tests.support.seen import TOKEN
from tests.support.shell import invoke

RUNS = 30


@dataclass
class Story:
    """What jobs have done, as it went on."""

    running: list[str] = field(default_factory=list)
    most: int = 0
    most_bytes: int = 0
    events: list[str] = field(default_factory=list)


@dataclass
class Job:
    """A job that takes some turns of the loop."""

    name: str
    story: Story
    line: str = ""
    size: int = 10
    url: str = "http://a"
    turns: int = 3
    ends: Callable[[], SyncReport] | None = None

    def __post_init__(self) -> None:
        self.line = self.line or self.name

    async def send(self, on_progress: Callable[[SyncProgress], None]) -> SyncReport:
        story = self.story
        story.events.append(f"begin {self.name}")
        story.running.append(self.name)
        story.most = max(story.most, len(story.running))
        try:
            for turn in range(self.turns):
                await asyncio.sleep(0)
                on_progress(SyncProgress(self.name, self.size * turn // self.turns, self.size))
            if self.ends is not None:
                return self.ends()
            on_progress(SyncProgress(self.name, self.size, self.size))
        finally:
            story.running.remove(self.name)
            story.events.append(f"end {self.name}")
        return SyncReport(self.name, self.name, self.url)

    async def pass_over(self, reason: str) -> SyncReport:
        self.story.events.append(f"pass over {self.name}")
        return SyncReport(self.name, self.name, self.url, left_behind=reason, away=True)


async def test_so_many_at_once_and_reports_in_the_order_of_the_jobs() -> None:
    story = Story()
    jobs = [Job(f"{number}", story, turns=1 + number * 7 % 5) for number in range(40)]
    reports = await sync_many(jobs, at_once=8)
    assert [report.directory for report in reports] == [job.name for job in jobs]
    assert story.most == 8
    begun = [event.removeprefix("begin ") for event in story.events if event.startswith("begin")]
    assert begun == [job.name for job in jobs]


async def test_large_journals_are_not_all_under_way_at_once_and_one_that_is_larger_goes_alone() -> None:
    story = Story()
    sizes = [40, 40, 40, 500, 1, 1]
    jobs = [Job(f"{number}", story, size=size) for number, size in enumerate(sizes)]
    assert len(await sync_many(jobs, at_once=8, bytes_at_once=100)) == 6
    alone = story.events.index("begin 3")
    assert story.events[alone + 1] == "end 3"
    begun = [event for event in story.events if event.startswith("begin")]
    assert begun == [f"begin {number}" for number in range(6)], "none overtakes a larger one"


async def test_of_one_experiment_jobs_come_one_after_the_other_and_hold_up_no_other() -> None:
    story = Story()
    jobs = [
        Job("a1", story, line="a", turns=9),
        Job("a2", story, line="a"),
        Job("b", story, turns=1),
        Job("a3", story, line="a"),
    ]
    await sync_many(jobs)
    of_a = [event for event in story.events if event.split()[1].startswith("a")]
    assert of_a == [f"{what} a{number}" for number in (1, 2, 3) for what in ("begin", "end")]
    assert story.events.index("end b") < story.events.index("end a1")


async def test_a_server_is_met_by_one_job_and_if_it_is_away_asked_once() -> None:
    story = Story()

    def away() -> SyncReport:
        return SyncReport("0", "0", "http://gone", left_behind="refused", away=True)

    gone = [Job(f"{number}", story, url="http://gone", turns=0, ends=away) for number in range(5)]
    there = [Job(f"t{number}", story) for number in range(5)]
    reports = await sync_many([*gone, *there])
    assert story.events[0] == "begin 0"
    assert sum(event.startswith("begin") and "t" not in event for event in story.events) == 1
    assert sum(event.startswith("pass over") for event in story.events) == 4
    assert [report.left_behind for report in reports] == ["refused"] * 5 + [None] * 5


async def test_a_first_job_that_fails_for_its_own_disk_does_not_stand_for_the_server() -> None:
    story = Story()

    def unread() -> SyncReport:
        return SyncReport("0", None, "http://a", left_behind="cannot be read")

    jobs = [Job("0", story, turns=0, ends=unread), *(Job(f"{number}", story) for number in range(1, 4))]
    reports = await sync_many(jobs)
    assert [report.left_behind for report in reports] == ["cannot be read", None, None, None]
    assert story.events[:3] == ["begin 0", "end 0", "begin 1"]


async def test_progress_is_the_sum_of_all_and_ends_where_all_is_done() -> None:
    story = Story()
    told: list[Progress] = []
    jobs = [Job(f"{number}", story, size=number) for number in range(1, 21)]
    await sync_many(jobs, told.append, at_once=4)
    assert told[-1] == Progress(20, 20, sum(range(1, 21)), sum(range(1, 21)))
    assert all(before.finished <= after.finished for before, after in itertools.pairwise(told))
    assert all(0 <= each.done <= each.total for each in told)


async def test_an_error_of_ours_ends_the_others_and_is_raised() -> None:
    story = Story()

    def broken() -> SyncReport:
        raise ZeroDivisionError

    jobs = [Job("a", story, turns=1), Job("b", story, turns=2, ends=broken), Job("c", story, turns=10_000)]
    with pytest.raises(ZeroDivisionError):
        await sync_many(jobs)
    assert story.running == []


# --- against a server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    with EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many small runs, each of a number of rows of its own."""
    root = tmp_path_factory.mktemp("runs")
    for number in range(RUNS):
        with Experiment(f"alice/sweep/run{number:02}", dash_root=root, echo=False).run as exp:
            for step in range(number + 1):
                exp.metrics("train").log(step=step, loss=number)
    return root


def check_all_once(server: EmbeddedServer) -> None:
    for number in range(RUNS):
        far = Experiment(f"alice/sweep/run{number:02}", dash_url=server.url, dash_root=None)
        rows = far.metrics("train").read(0, 1000)
        assert [row["data"]["step"] for row in rows["data"]] == list(range(number + 1))


@pytest.mark.slow
def test_many_small_runs_are_there_once_and_told_in_their_order(server: EmbeddedServer, root: Path) -> None:
    done = invoke("sync", root, "--to", server.url)
    assert (done.code, done.err) == (0, "")
    told = [line.partition(" -> ")[0] for line in done.out.splitlines()]
    assert told == [f"alice/sweep/run{number:02}" for number in range(RUNS)]
    check_all_once(server)
    again = invoke("sync", root, "--to", server.url)
    assert again.code == 0
    assert [line for line in again.out.splitlines() if " 0 events sent" not in line] == []
    check_all_once(server)


@pytest.mark.sample(3)
@pytest.mark.parametrize("after", [0, 1, RUNS // 2])
async def test_interrupted_and_repeated_everything_is_there_once(
    server: EmbeddedServer, root: Path, after: int
) -> None:
    """As by Ctrl-C: what was under way is cut off, wherever it was."""
    client = Client(AiohttpTransport(server.url, lambda: Token(TOKEN)))

    class Real:
        url = server.url
        size = 1000

        def __init__(self, directory: Path) -> None:
            self.line = str(directory)

        async def send(self, on_progress: Callable[[SyncProgress], None]) -> SyncReport:
            return await sync_experiment(self.line, client, asyncio.to_thread, on_progress=on_progress)

        async def pass_over(self, reason: str) -> SyncReport:
            raise AssertionError(reason)

    directories = sorted((root / "alice" / "sweep").iterdir())
    interrupted = asyncio.Event()

    def look(at: Progress) -> None:
        if at.finished >= after:
            interrupted.set()

    task = asyncio.ensure_future(sync_many([Real(each) for each in directories], look))
    await interrupted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await close_session()
    done = await asyncio.to_thread(invoke, "sync", root, "--to", server.url)
    assert done.code == 0
    await asyncio.to_thread(check_all_once, server)


@pytest.mark.slow
def test_a_server_that_is_away_is_told_for_each_run_and_nothing_is_lost(
    server: EmbeddedServer, root: Path
) -> None:
    done = invoke("sync", root, "--to", closed_port(), "--patience", "0")
    assert done.code == 1
    assert done.err.count("not all of it was sent") == RUNS
    assert invoke("sync", root, "--to", server.url).code == 0
    check_all_once(server)
