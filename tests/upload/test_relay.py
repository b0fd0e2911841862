"""The relay: live runs followed, each row once, whatever is killed in between; and what a look costs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.client.api import Client as ApiClient
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.marks import mark_changed
from ml_dash.tokens.token import Token
from ml_dash.upload.relay import Event, Relay, relay_lock
from ml_dash.upload.relay_watch import IN_TURN, RootWatch
from ml_dash.upload.relayed import Relayed
from tests.support.project import PROJECT
from tests.support.seen import TOKEN
from tests.support.serving import Client, until

PREFIX = "alice/p/live"
LIVE = """
import sys, time
from ml_dash import Experiment
root, prefix, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Experiment(prefix, dash_root=root, echo=False).run as exp:
    print("begun", flush=True)
    for step in range(most):
        if exp.should_stop:
            break
        exp.metrics("train").log(step=step)
        if step % 50 == 0:
            exp.files("notes").save_text(f"at {step}", to=f"{step}.txt")
        time.sleep(0.01)
    print(step, flush=True)
"""


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a relay waits for between two looks is no part of what is tested."""
    monkeypatch.setattr("ml_dash.upload.relay.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("ml_dash.upload.relay.TOUCH_SECONDS", 0.5)
    monkeypatch.setattr("ml_dash.upload.sender._TOUCH_SECONDS", 0.2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "runs"
    found.mkdir()
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN) as found:
        yield found


class Following:
    """A relay in a thread of its own."""

    def __init__(self, root: Path, url: str, token: str = TOKEN, **how: Any) -> None:
        self.events: list[Event] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._relay = Relay(
            [str(root)],
            lambda server: ApiClient(AiohttpTransport(server, lambda: Token(token))),
            asyncio.to_thread,
            self.events.append,
            **{"to": url, **how},
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        async def follow() -> None:
            try:
                await self._relay.run(self._stop)
            finally:
                await close_session()

        try:
            self._loop.run_until_complete(follow())
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self._failure = error
        finally:
            self._loop.close()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure


@contextmanager
def following(root: Path, url: str, **how: Any) -> Iterator[Following]:
    found = Following(root, url, **how)
    try:
        yield found
    finally:
        found.stop()


def id_of(client: Client, prefix: str = PREFIX) -> str | None:
    records = client.get("/experiments", prefix=prefix)["data"]
    return next((each["id"] for each in records if each["prefix"] == prefix), None)


def steps(client: Client, prefix: str = PREFIX) -> list[int]:
    id_ = id_of(client, prefix)
    return [] if id_ is None else [fields["step"] for _, fields in client.rows(id_)]


def logged(exp: Experiment, first: int, count: int) -> None:
    for step in range(first, first + count):
        exp.metrics("train").log(step=step)
    exp.flush()


def ended(client: Client, prefix: str = PREFIX) -> Callable[[], bool]:
    def has() -> bool:
        id_ = id_of(client, prefix)
        return id_ is not None and client.get(f"/experiments/{id_}")["status"] == "COMPLETED"

    return has


def test_a_run_is_followed_while_it_goes_on_and_completed_there(root: Path, server: EmbeddedServer) -> None:
    client = Client(server.url, TOKEN)
    with following(root, server.url) as relay:
        with Experiment(PREFIX, dash_root=str(root), tags=["a"], echo=False).run as exp:
            logged(exp, 0, 10)
            until(lambda: steps(client) == list(range(10)), "what is written is sent")
            logged(exp, 10, 10)
            exp.files.save_text("hello", to="a.txt")
            exp.tags = ["a", "b"]
            until(lambda: steps(client) == list(range(20)), "and what is written later")
            until(lambda: files(client) == ["a.txt"], "and what is in its files")
        until(ended(client), "and how it has ended")
        until(lambda: "ended" in relay.kinds(), "which is told")
    assert client.get(f"/experiments/{id_of(client)}")["tags"] == ["a", "b"]
    assert [kind for kind in relay.kinds() if kind != "summary"] == ["following", "found", "ended", "stopped"]
    assert relay.events[-1].fields["left"] == []


def files(client: Client, prefix: str = PREFIX) -> list[str]:
    """The files whose blobs are there as well."""
    found = client.get(f"/experiments/{id_of(client, prefix)}/files")["data"]
    return sorted(each["filename"] for each in found if each["available"])


def test_what_lies_there_already_is_sent_and_what_was_sent_is_left_alone(
    root: Path, server: EmbeddedServer
) -> None:
    client = Client(server.url, TOKEN)
    for name in "ab":
        with Experiment(f"alice/p/{name}", dash_root=str(root), echo=False).run as exp:
            logged(exp, 0, 3)
    with following(root, server.url) as relay:
        until(lambda: relay.kinds().count("ended") == 2, "both are sent")
    rows = steps(client, "alice/p/a"), steps(client, "alice/p/b")
    server.stop()
    with following(root, server.url) as relay:
        until(lambda: "following" in relay.kinds(), "it has looked")
    assert "away" not in relay.kinds(), "the server was not asked for what is known to be there"
    summary = next(event for event in relay.events if event.kind == "summary")
    assert (summary.fields["ended"], summary.fields["events"], summary.fields["live"]) == (2, 0, 0)
    assert rows == ([0, 1, 2], [0, 1, 2])


def test_a_run_that_goes_on_in_what_had_ended_is_found(root: Path, server: EmbeddedServer) -> None:
    client = Client(server.url, TOKEN)
    with following(root, server.url) as relay:
        for turn in range(2):
            with Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
                logged(exp, turn * 3, 3)
            until(lambda turn=turn: relay.kinds().count("ended") == turn + 1, "it is sent")  # type: ignore[misc]
    assert steps(client) == list(range(6))


@pytest.mark.slow
def test_an_outage_is_told_once_and_over(tmp_path: Path, root: Path) -> None:
    first = EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN).start()
    port = int(first.url.rsplit(":", 1)[1])
    with following(root, first.url) as relay, Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
        logged(exp, 0, 5)
        until(lambda: "found" in relay.kinds(), "it is followed")
        first.stop()
        logged(exp, 5, 5)
        until(lambda: "away" in relay.kinds(), "the outage is noticed")
        with EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN, port=port) as second:
            client = Client(second.url, TOKEN)
            logged(exp, 10, 5)
            until(lambda: "back" in relay.kinds(), "its end is noticed")
            until(lambda: steps(client) == list(range(15)), "all of it is sent")
            exp.run.complete()
            until(ended(client), "and the end")
            told = [kind for kind in relay.kinds() if kind in {"away", "back"}]
    # once for each outage: a server that is about to stop may answer in between
    assert told == ["away", "back"] * (len(told) // 2)
    assert 1 <= len(told) // 2 <= 2


def test_a_token_that_is_refused_is_told_once(root: Path, server: EmbeddedServer) -> None:
    with Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
        logged(exp, 0, 1)
    with following(root, server.url, token="mld_" + "x" * 43) as relay:
        until(lambda: "away" in relay.kinds(), "it is told")
    assert "ml-dash login" in relay.events[relay.kinds().index("away")].message
    assert relay.kinds().count("away") == 1
    assert relay.events[-1].fields["left"] == [PREFIX]


@pytest.mark.slow
def test_what_was_deleted_at_the_server_is_told_and_holds_up_no_other(
    root: Path, server: EmbeddedServer
) -> None:
    client = Client(server.url, TOKEN)
    for name in ("gone", "live"):
        with Experiment(f"alice/p/{name}", dash_root=str(root), echo=False).run as exp:
            logged(exp, 0, 3)
    with following(root, server.url) as relay:
        until(lambda: relay.kinds().count("ended") == 2, "both are sent")
    client.ask("DELETE", f"/experiments/{id_of(client, 'alice/p/gone')}")
    for cursor in root.glob("alice/p/gone/*.cursor"):
        cursor.unlink()
    with following(root, server.url) as relay, Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
        until(lambda: "trouble" in relay.kinds(), "it is told")
        logged(exp, 3, 3)
        until(lambda: steps(client) == list(range(6)), "the other is sent")
    assert "--recreate" in relay.events[relay.kinds().index("trouble")].message


def test_runs_of_local_mode_are_told_of_and_not_sent(root: Path, server: EmbeddedServer) -> None:
    with Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
        logged(exp, 0, 1)
    with following(root, server.url, to=None) as relay:
        until(lambda: "local" in relay.kinds(), "it is told")
    assert "--to" in relay.events[relay.kinds().index("local")].message
    assert id_of(Client(server.url, TOKEN)) is None


@pytest.mark.parametrize("given", [True, False])
def test_a_run_that_has_no_writer_yet_is_not_taken_for_one_of_local_mode(
    root: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, *, given: bool
) -> None:
    """What it is called is said before its journal's first file is there."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    other = root.with_name("other")
    with Experiment(
        PREFIX, dash_url=None if given else server.url, dash_root=str(other), echo=False
    ).run as exp:
        logged(exp, 0, 1)
    target = root / PREFIX
    target.mkdir(parents=True)
    (target / "journal").mkdir()
    shutil.copy2(other / PREFIX / "experiment.json", target)

    async def steps_of(relayed: Relayed) -> None:
        await relayed.step(may_be_over=False)
        assert (relayed.prefix, relayed.urls, relayed.is_local) == (PREFIX, (), False)
        shutil.copytree(other / PREFIX / "journal", target / "journal", dirs_exist_ok=True)
        await relayed.step(may_be_over=True)
        assert (relayed.urls, relayed.is_local) == ((server.url,), False)
        relayed.close()
        await close_session()

    client = ApiClient(AiohttpTransport(server.url, lambda: Token(TOKEN)))
    to = server.url if given else None
    asyncio.run(steps_of(Relayed(str(target), lambda _: client, asyncio.to_thread, to=to)))
    assert steps(Client(server.url, TOKEN)) == [0]


def test_a_run_is_sent_to_the_server_that_it_was_meant_for(
    tmp_path: Path, root: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a compute node without a network: it cannot reach the server that it has."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_START_TIMEOUT", "0")
    monkeypatch.setenv("ML_DASH_EXIT_TIMEOUT", "0")
    run = Experiment(PREFIX, dash_url=server.url, dash_root=str(root), echo=False).run
    with run as exp:  # no token: it is refused, and keeps all
        logged(exp, 0, 4)
    assert steps(Client(server.url, TOKEN)) == []
    with following(root, server.url, to=None) as relay:
        until(lambda: "ended" in relay.kinds(), "it is sent")
    assert steps(Client(server.url, TOKEN)) == list(range(4))


def test_two_relays_at_once_send_each_row_once(root: Path, server: EmbeddedServer) -> None:
    client = Client(server.url, TOKEN)
    with following(root, server.url) as one, following(root, server.url) as other:
        with Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
            for turn in range(5):
                logged(exp, turn * 10, 10)
                until(lambda turn=turn: len(steps(client)) == turn * 10 + 10, "it is sent")  # type: ignore[misc]
            exp.files.save_text("hello", to="a.txt")
        until(ended(client), "its end as well")
        until(lambda: "ended" in one.kinds() and "ended" in other.kinds(), "both know")
    assert steps(client) == list(range(50))
    assert files(client) == ["a.txt"]
    assert "trouble" not in one.kinds() + other.kinds()


def test_who_comes_second_is_told_who_has_the_root(root: Path) -> None:
    with relay_lock(str(root)) as first:
        assert first is None
        with relay_lock(str(root)) as second:
            assert second is not None
            assert f"process {os.getpid()} on" in second
    with relay_lock(str(root)) as again:
        assert again is None


@pytest.mark.slow
def test_a_request_to_stop_goes_through_the_relay_to_a_run_without_a_network(
    root: Path, server: EmbeddedServer
) -> None:
    client = Client(server.url, TOKEN)
    with following(root, server.url), Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
        logged(exp, 0, 1)
        until(lambda: steps(client) == [0], "it is there")
        path = f"/experiments/{id_of(client)}"
        client.post(f"{path}/stop", {"reason": "a"})
        there = Path(exp.directory) / "stop.json"
        until(there.exists, "it lies beside the journal")
        client.post(f"{path}/stop", {"cancel": True})
        until(lambda: not there.exists(), "and is taken away")
        stopping = exp._session.stopping
        until(lambda: stopping is not None and stopping.asked is None, "the run knows nothing of it any more")
        assert not exp.should_stop
        ml_dash.open(PREFIX, str(root)).stop("here")
        until(lambda: exp.should_stop, "what is asked here is seen")
        until(lambda: client.get(path)["stop"] is not None, "and known there")
        stop = client.get(path)["stop"]
        assert (stop["reason"], stop["seenAt"] is not None) == ("here", True)


# --- killed, in between


def relay_process(root: Path, url: str, tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    env = {
        **os.environ,
        "ML_DASH_TOKEN": TOKEN,
        "ML_DASH_API_URL": url,
        "ML_DASH_CONFIG_DIR": str(tmp_path / "c"),
    }
    command = [sys.executable, "-m", "ml_dash", "sync", "--watch", "--to", url, str(root), *more]
    return subprocess.Popen(
        command, env=env, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def live(root: Path, most: int, prefix: str = PREFIX) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LIVE, str(root), prefix, str(most)]
    run = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "begun\n"
    return run


@pytest.mark.slow
def test_a_relay_that_is_killed_again_and_again_sends_each_row_once(
    tmp_path: Path, root: Path, server: EmbeddedServer
) -> None:
    client = Client(server.url, TOKEN)
    run = live(root, 1200)
    seen = 0
    for _ in range(4):
        relay = relay_process(root, server.url, tmp_path)
        try:
            until(lambda: len(steps(client)) > seen, "it sends")  # noqa: B023 - called here
            seen = len(steps(client))
        finally:
            relay.send_signal(signal.SIGKILL)
            relay.communicate()
    last = int(run.communicate()[0])
    with following(root, server.url):
        until(ended(client), "the rest is sent")
    assert steps(client) == list(range(last + 1))
    assert files(client) == sorted(f"{step}.txt" for step in range(0, last + 1, 50))


@pytest.mark.slow
def test_a_run_that_is_killed_has_its_rows_at_the_server(root: Path, server: EmbeddedServer) -> None:
    client = Client(server.url, TOKEN)
    with following(root, server.url):
        run = live(root, 10**6)
        until(lambda: len(steps(client)) > 20, "it is followed")
        run.send_signal(signal.SIGKILL)
        run.communicate()
        there = [
            row["data"]["step"]
            for row in ml_dash.open(PREFIX, str(root)).metrics("train").read(0, 10**6)["data"]
        ]
        until(lambda: len(steps(client)) >= len(there), "all that it has logged is sent")
    assert steps(client) == there == list(range(len(there)))


@pytest.mark.slow
def test_sigterm_sends_what_is_written_and_says_so(
    tmp_path: Path, root: Path, server: EmbeddedServer
) -> None:
    client = Client(server.url, TOKEN)
    relay = relay_process(root, server.url, tmp_path, "--json")
    assert relay.stdout is not None
    assert json.loads(relay.stdout.readline())["event"] == "following"
    second = relay_process(root, server.url, tmp_path)
    assert f"is followed already, by process {relay.pid} on" in second.communicate()[0]
    assert second.returncode != 0
    with Experiment(PREFIX, dash_root=str(root), echo=False).run as exp:
        logged(exp, 0, 7)
        relay.send_signal(signal.SIGTERM)
        told = [json.loads(line) for line in relay.communicate(timeout=60)[0].splitlines()]
    assert relay.returncode == 0
    assert told[-1]["event"] == "stopped"
    assert told[-1]["left"] == []
    assert steps(client) == list(range(7))


# --- what a look costs


def made(root: Path, count: int, first: int = 0) -> None:
    """Experiments that ended long ago, as they lie on the disk."""
    for number in range(first, first + count):
        journal = root / "alice" / f"p{number % 10}" / f"run-{number}" / "journal"
        journal.mkdir(parents=True)
        (journal / "0123456789abcdef-1f-00000000-000001.mldj").touch()


class Opened:
    """How many files and directories are opened or listed, while it counts."""

    def __init__(self) -> None:
        self.count: int | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _: Any) -> None:
        if self.count is not None and event in {"open", "os.scandir", "os.listdir"}:
            self.count += 1

    def during(self, work: Callable[[], Any]) -> int:
        self.count = 0
        try:
            work()
            return self.count
        finally:
            self.count = None


OPENED = Opened()


def settled(watch: RootWatch) -> RootWatch:
    """A watch whose experiments have all ended, and whose directories are old."""
    old = time.time() - 3600
    for above, names, _ in os.walk(watch.root):
        for name in names:
            os.utime(os.path.join(above, name), (old, old))
        os.utime(above, (old, old))
    watch.look()
    watch.live.clear()
    return watch


@pytest.mark.slow
def test_a_look_costs_what_goes_on_and_not_what_has_ended(tmp_path: Path) -> None:
    costs = {}
    for count in (300, 1500):
        root = tmp_path / str(count)
        made(root, count)
        watch = settled(RootWatch(str(root)))
        assert watch.experiments == count
        costs[count] = max(OPENED.during(watch.look) for _ in range(8))
        assert watch.looked <= IN_TURN
    assert costs[1500] <= costs[300] + 20, costs


def test_a_look_finds_what_is_new_what_has_grown_and_what_a_mark_names(root: Path) -> None:
    made(root, 200)
    watch = settled(RootWatch(str(root)))
    assert watch.look() == []
    made(root, 1, first=1000)
    assert watch.look() == ["alice/p0/run-1000"]
    assert watch.look() == []
    segment = root / "alice/p0/run-1000/journal/0123456789abcdef-1f-00000000-000001.mldj"
    segment.write_bytes(b"x")
    assert watch.look() == ["alice/p0/run-1000"], "it goes on, and is looked at each time"
    quiet = root / "alice/p7/run-7"
    (quiet / "journal" / "fedcba9876543210-1f-00000000-000001.mldj").write_bytes(b"x")
    mark_changed(str(quiet))
    assert watch.look() == ["alice/p7/run-7"]


def test_what_makes_no_mark_has_its_turn(root: Path) -> None:
    made(root, 3 * IN_TURN)
    watch = settled(RootWatch(str(root)))
    (root / "alice/p7/run-7/journal/fedcba9876543210-1f-00000000-000001.mldj").write_bytes(b"x")
    found = [path for _ in range(6) for path in watch.look()]
    assert found == ["alice/p7/run-7"]


def test_what_is_moved_away_is_forgotten_and_found_under_its_new_name(root: Path) -> None:
    made(root, 3)
    watch = settled(RootWatch(str(root)))
    os.rename(root / "alice/p1", root / "alice/q1")
    assert watch.look() == ["alice/q1/run-1"]
    assert watch.experiments == 3
