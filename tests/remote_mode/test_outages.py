"""The server goes away, comes back, has forgotten or refuses: every row that it can have is there once in the end."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.remote_mode.silent import silent_server
from tests.support.hanging import hang_limit
from tests.support.processes import PREFIX, Journal, Scripts
from tests.support.seen import TOKEN, Seen, law, until

pytestmark = pytest.mark.usefixtures("settings")

SOON = 20.0
"""Seconds after which a call that returns at once counts as hanging."""
FOREVER = "3600"
"""For time-outs that must not be waited for: whoever does is found hanging, on the slowest of machines."""


@pytest.fixture
def endless_flush(settings: pytest.MonkeyPatch) -> None:
    """A flush that waits for the server waits for ever."""
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", FOREVER)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the journals lie."""
    return tmp_path / "dash"


def log(exp: Experiment, start: int, stop: int) -> None:
    """Log steps."""
    for step in range(start, stop):
        exp.metrics("train").log(step=step)


def arrived(exp: Experiment) -> bool:
    """Whether the server has all; the law holds in any case."""
    law(exp)
    return exp.status().pending == 0


@pytest.mark.usefixtures("endless_flush")
def test_a_run_that_starts_without_its_server_joins_it_later(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    server.stop()
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    log(exp, 0, 100)
    with hang_limit(SOON):
        result = exp.flush()
    assert (result.durable, result.acknowledged, result.pending, result.online) == (100, 0, 100, False)
    assert result.reason is not None
    assert server.url in result.reason
    status = exp.status()
    assert status.offline_since is not None
    assert status.last_error is not None
    until(lambda: exp.status().pending_frames > 0 and exp.status().pending_bytes > 0, "the backlog measured")
    law(exp)
    assert exp.id is None
    server.start()
    until(lambda: arrived(exp), "all rows at the server")
    status = exp.status()
    assert (status.online, status.offline_since, status.last_error) == (True, None, None)
    until(
        lambda: (exp.status().pending_frames, exp.status().pending_bytes) == (0, 0), "what it captured, too"
    )
    assert exp.id == seen.record["id"]
    exp.run.complete()
    assert seen.values("step") == list(range(100))
    assert seen.status == "COMPLETED"
    seen.equals(root)


@pytest.mark.usefixtures("endless_flush")
async def test_aflush_returns_at_once_while_the_server_is_away(server: EmbeddedServer, root: Path) -> None:
    server.stop()
    async with Experiment(PREFIX, dash_url=server.url, dash_root=root).run as exp:
        log(exp, 0, 10)
        result = await asyncio.wait_for(exp.aflush(), SOON)
        assert (result.durable, result.pending, result.online) == (10, 10, False)
        assert result.reason is not None
        law(exp)


@pytest.mark.slow
def test_start_waits_for_a_silent_server_no_longer_than_its_timeout(
    settings: pytest.MonkeyPatch, root: Path
) -> None:
    settings.setenv("ML_DASH_START_TIMEOUT", "0.5")
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        exp = Experiment(PREFIX, dash_url=url, dash_root=root)
        with hang_limit(0.5 + 5.0):
            exp.run.start()
        connection, _ = listener.accept()
        stack.enter_context(connection)
        connection.setblocking(False)
        assert connection.recv(1 << 16)
        with pytest.raises(BlockingIOError):  # had it waited for the transport's time-out, this were closed
            connection.recv(1)
        log(exp, 0, 10)
        assert exp.flush(timeout=0.5).pending == 10
        law(exp)
    exp.run.complete()
    assert Journal(root).values("step") == list(range(10))


@pytest.mark.slow
def test_flush_does_not_wait_for_a_server_that_start_has_waited_for_in_vain(
    settings: pytest.MonkeyPatch, root: Path
) -> None:
    """An epoch's end must not hang in an outage, of whatever kind."""
    settings.setenv("ML_DASH_START_TIMEOUT", "3")
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", FOREVER)
    with silent_server() as url:
        exp = Experiment(PREFIX, dash_url=url, dash_root=root).run.start()
        log(exp, 0, 10)
        with hang_limit(SOON):
            result = exp.flush()
        assert (result.durable, result.pending) == (10, 10)
        assert result.reason is not None
    exp.run.complete()


@pytest.mark.slow
def test_flush_waits_for_a_silent_server_no_longer_than_its_timeout(
    settings: pytest.MonkeyPatch, server: EmbeddedServer, root: Path
) -> None:
    """Be it the setting's or the argument's."""
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", "0.5")
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    with silent_server() as url:
        exp = Experiment(PREFIX, dash_url=url, dash_root=root).run.start()
        log(exp, 0, 10)
        for timeout in (None, 0.5, 0.0):
            with hang_limit(5.0):
                assert exp.flush(timeout).pending == 10
        with hang_limit(5.0):
            exp.run.complete()
        law(exp)


def test_rows_arrive_when_something_silent_gives_way_to_the_server(
    settings: pytest.MonkeyPatch, tmp_path: Path, root: Path
) -> None:
    settings.setenv("ML_DASH_START_TIMEOUT", "0.2")
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", "0.2")
    with silent_server() as url:
        exp = Experiment(PREFIX, dash_url=url, dash_root=root).run.start()
        log(exp, 0, 10)
        exp.flush()
    port = int(url.rpartition(":")[2])
    with EmbeddedServer(data=tmp_path / "server", port=port, admin_token=TOKEN) as server:
        until(lambda: arrived(exp), "all rows at the server")
        exp.run.complete()
        seen = Seen(server)
        until(lambda: seen.status == "COMPLETED", "the end at the server")
        seen.equals(root)


@pytest.mark.usefixtures("endless_flush")
def test_an_outage_in_the_middle_costs_no_row_and_doubles_none(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    """Three of them, with four threads that log all the time."""
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    over = threading.Event()
    counts = dict.fromkeys("abcd", 0)

    def train(name: str) -> None:
        while not over.is_set():
            exp.metrics(name).log(step=counts[name])
            counts[name] += 1
            time.sleep(0.001)

    threads = [threading.Thread(target=train, args=(name,)) for name in counts]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = counts["a"]
        until(lambda before=before: counts["a"] > before + 100, "rows logged while it is there")  # type: ignore[misc]
        server.stop()
        until(lambda: not exp.status().online, "the outage noticed")
        with hang_limit(SOON):
            exp.flush()
        law(exp)
        server.start()
        until(lambda: exp.status().online, "the server found again")
    over.set()
    for thread in threads:
        thread.join()
    until(lambda: arrived(exp), "all rows at the server")
    exp.run.complete()
    for name, count in counts.items():
        assert seen.values("step", name) == list(range(count))
    seen.equals(root)


def test_a_server_restored_from_a_backup_is_sent_the_rest_again(
    server: EmbeddedServer, seen: Seen, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    log(exp, 0, 100)
    assert exp.flush().pending == 0
    server.stop()
    shutil.copytree(tmp_path / "server", tmp_path / "backup")
    server.start()
    log(exp, 100, 200)
    until(lambda: exp.flush().pending == 0, "the second hundred at the server")
    server.stop()
    shutil.rmtree(tmp_path / "server")
    shutil.copytree(tmp_path / "backup", tmp_path / "server")
    server.start()
    assert seen.count() == 100
    log(exp, 200, 300)
    until(lambda: seen.count() == 300, "all rows at the restored server")
    until(lambda: arrived(exp), "nothing pending")
    exp.run.complete()
    assert seen.values("step") == list(range(300))
    seen.equals(root)
    assert sum("restored from a backup" in message for message in caplog.messages) == 1


def test_a_server_that_has_lost_everything_is_sent_everything(
    server: EmbeddedServer, seen: Seen, root: Path, tmp_path: Path
) -> None:
    exp = Experiment(PREFIX, readme="why", dash_url=server.url, dash_root=root).run.start()
    log(exp, 0, 100)
    assert exp.flush().pending == 0
    old = exp.id
    server.stop()
    shutil.rmtree(tmp_path / "server")
    server.start()
    log(exp, 100, 200)
    until(lambda: seen.has(200), "all rows at the new server")
    until(lambda: arrived(exp), "nothing pending")
    exp.run.complete()
    assert exp.id == seen.record["id"] != old
    assert seen.record["readme"] == "why"
    seen.equals(root)


@pytest.mark.usefixtures("endless_flush")
def test_an_experiment_deleted_at_the_server_is_kept_in_the_journal_and_told_once(
    server: EmbeddedServer, seen: Seen, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    log(exp, 0, 10)
    assert exp.flush().pending == 0
    status, _ = seen.api.request("DELETE", f"/experiments/{exp.id}")
    assert status == 200
    with hang_limit(SOON):
        for start in range(10, 100, 10):
            log(exp, start, start + 10)
            exp.flush()
            law(exp)
        assert exp.status().pending == 90
        result = exp.flush()
        assert result.reason is not None
        assert "deleted" in result.reason
        exp.run.complete()
    told = [message for message in caplog.messages if "deleted" in message]
    assert len(told) == 1
    assert f"ml-dash sync --recreate {exp.directory}" in told[0]
    assert Journal(root).values("step") == list(range(100))
    assert Journal(root).ends() == ["COMPLETED"]


def test_rows_that_the_server_refuses_are_set_aside_and_counted(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A frame larger than the server takes: those before and after it arrive."""
    with EmbeddedServer(data=tmp_path / "small", admin_token=TOKEN, request_bytes=64 << 10) as server:
        seen = Seen(server)
        exp = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False).run.start()
        log(exp, 0, 10)
        exp.flush()
        exp.log("x" * (200 << 10))
        exp.flush()
        log(exp, 10, 20)
        until(lambda: arrived(exp), "nothing pending")
        assert exp.status().dropped == {"rejected": 1}
        assert exp.status().acknowledged == 20
        exp.run.complete()
        assert seen.values("step") == list(range(20))
        assert seen.get("logs")["data"] == []
        assert seen.status == "COMPLETED"
    assert len(Journal(root).messages()) == 1
    assert [*(root / PREFIX / "rejected").rglob("*")]
    assert sum("dropped['rejected']" in message for message in caplog.messages) == 1


@pytest.mark.slow
def test_each_kind_of_trouble_and_its_end_are_told_once(
    server: EmbeddedServer, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    server.stop()
    for step in range(20):
        log(exp, step, step + 1)
        exp.flush()
        time.sleep(0.1)
    until(lambda: exp.status().last_error, "the outage noticed")
    server.start()
    until(lambda: arrived(exp), "all rows at the server")
    exp.run.complete()
    # of other servers a run that another test has left open may tell
    outage, end = [message for message in caplog.messages if server.url in message]
    assert "stay in the journal" in outage
    assert "in touch with" in end


def delete(exp: Experiment, seen: Seen) -> None:
    """Delete an experiment at the server."""
    assert seen.api.request("DELETE", f"/experiments/{exp.id}")[0] == 200


@pytest.mark.sample(4)
@pytest.mark.parametrize("knows", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("keeps", [True, False], ids=["hybrid", "remote"])
def test_a_run_that_begins_after_its_experiment_was_deleted_is_another_experiment(
    server: EmbeddedServer, seen: Seen, root: Path, *, keeps: bool, knows: bool
) -> None:
    """In the same process; what was deleted does not come back, and what was logged since is there."""
    exp = Experiment(PREFIX, readme="why", dash_url=server.url, dash_root=root if keeps else None).run.start()
    log(exp, 0, 10)
    until(lambda: arrived(exp), "the first rows at the server")
    old = exp.id
    delete(exp, seen)
    if knows:
        log(exp, 10, 15)
        until(lambda: "deleted" in (exp.status().last_error or ""), "the run told that it was deleted")
        law(exp)
    exp.run.complete()

    exp.run.start()
    log(exp, 20, 30)
    until(lambda: arrived(exp), "all rows at the server")
    assert exp.id == seen.record["id"] != old
    assert seen.values("step") == [*range(10, 15 if knows else 10), *range(20, 30)]
    assert seen.record["readme"] == "why"
    exp.run.complete()
    assert seen.status == "COMPLETED"


@pytest.mark.slow
@pytest.mark.parametrize("removes", [True, False], ids=["journal removed", "journal kept"])
def test_a_deleted_experiment_that_is_run_again_elsewhere_is_another_one(
    server: EmbeddedServer, seen: Seen, scripts: Scripts, home: Path, *, removes: bool
) -> None:
    """Online; offline, and sent by `ml-dash sync`; and the deleted rows stay deleted, whoever has them still."""
    script = """
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_url=True, dash_root=".dash", echo=False).run as exp:
            for step in range({start}, {start} + 10):
                exp.metrics("train").log(step=step)
        """
    assert scripts.run(script.format(start=0)).returncode == 0
    assert seen.count() == 10
    for start in (100, 200):
        seen.api.request("DELETE", f"/experiments/{seen.record['id']}")
        if removes:
            shutil.rmtree(home)
        if start == 200:
            server.stop()
        assert scripts.run(script.format(start=start)).returncode == 0
        if start == 200:
            server.start()
            synced = scripts.run("from ml_dash.cli import main; raise SystemExit(main(['sync']))")
            assert synced.returncode == 0, synced.stderr
        assert seen.values("step") == list(range(start, start + 10))
        assert seen.status == "COMPLETED"


def refused_for_the_next(
    server: EmbeddedServer, seen: Seen, root: Path, tmp_path: Path
) -> tuple[Experiment, Experiment]:
    """Return a run with ten rows left that was told, after an outage, of its deletion; and the next of its name."""
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False).run.start()
    log(exp, 0, 10)
    until(lambda: arrived(exp), "the first rows at the server")
    delete(exp, seen)
    other = Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "other", echo=False).run.start()
    log(other, 100, 110)
    until(lambda: arrived(other), "the other run's rows at the server")
    server.stop()
    log(exp, 10, 20)
    until(lambda: exp.status().last_error, "the outage noticed")
    server.start()
    # by the next experiment of the name; or by the deleted one, where a sign of life was sent before the outage
    until(lambda: "deleted" in (exp.status().last_error or ""), "the run told")
    return exp, other


@pytest.mark.slow
def test_a_run_that_goes_on_behind_a_deletion_logs_nothing_into_the_next_one_of_its_name(
    server: EmbeddedServer,
    seen: Seen,
    root: Path,
    tmp_path: Path,
    scripts: Scripts,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may hear of both only when it asks again by its name, after an outage."""
    exp, other = refused_for_the_next(server, seen, root, tmp_path)
    log(exp, 20, 30)
    law(exp)
    assert exp.status().pending == 20
    log(other, 110, 120)
    until(lambda: arrived(other), "all rows of the other run at the server")
    with hang_limit(SOON):
        exp.run.complete()
    other.run.complete()
    assert seen.values("step") == list(range(100, 120))
    assert Journal(root).values("step") == list(range(30))
    assert len([message for message in caplog.messages if "deleted" in message]) == 1

    # nor does anybody else send it there: neither the next run of its directory, nor a sync
    script = f"""
        from ml_dash import Experiment

        with Experiment({PREFIX!r}, dash_url={server.url!r}, dash_root={str(root)!r}, echo=False).run as exp:
            for step in range(200, 210):
                exp.metrics("train").log(step=step)
        """
    assert scripts.run(script).returncode == 0
    synced = scripts.run(
        f"from ml_dash.cli import main; raise SystemExit(main(['sync', {str(root)!r}, '--to', {server.url!r}]))"
    )
    assert synced.returncode == 1
    assert "another experiment of this name" in synced.stdout + synced.stderr
    assert seen.values("step") == [*range(100, 120), *range(200, 210)]


@pytest.mark.slow
def test_a_run_that_begins_in_a_process_that_was_refused_goes_on_in_the_new_experiment(
    server: EmbeddedServer, seen: Seen, root: Path, tmp_path: Path
) -> None:
    exp, other = refused_for_the_next(server, seen, root, tmp_path)
    exp.run.complete()

    exp.run.start()
    log(exp, 200, 210)
    until(lambda: arrived(exp), "the next run's rows at the server")
    assert exp.id == other.id
    # what it had logged in between goes with them
    assert sorted(seen.values("step")) == [*range(10, 20), *range(100, 110), *range(200, 210)]
    for each in (exp, other):
        each.run.complete()
