"""Hybrid mode with a server that is there: what is logged is in the journal and at the server, each row once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.support.processes import PREFIX, Journal, Scripts, expect_line, finish
from tests.support.seen import TOKEN, Seen, law, until

pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture
def exp(server: EmbeddedServer, tmp_path: Path) -> Experiment:
    """An experiment that is sent to the server, not started."""
    return Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash", echo=False)


def test_rows_of_every_kind_arrive(exp: Experiment, seen: Seen, tmp_path: Path) -> None:
    with exp.run:
        exp.params.set(lr=0.1, model={"layers": 3})
        exp.metrics("train").log(loss=float("nan"), step=0)
        exp.metrics("train").log(loss=float("inf"), step=1)
        exp.metrics.log(epoch=1, eval=dict(loss=0.6))
        exp.log("beginning", level="warn", lr=0.1)
        exp.tracks("robot/pose").append(x=1.0, _ts=1.5)
        result = exp.flush()
        assert result.durable == result.acknowledged == exp.status().logged
        assert (result.pending, result.dropped, result.online, result.reason) == (0, 0, True, None)
        law(exp)
    seen.equals(tmp_path / "dash")
    assert seen.get("params")["params"] == {"lr": 0.1, "model.layers": 3}
    assert seen.values("step") == [0, 1]
    assert [row["message"] for row in seen.get("logs")["data"]] == ["beginning"]
    assert seen.get("tracks")["data"] == [{"topic": "robot/pose", "count": 1}]
    assert seen.status == "COMPLETED"


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False], ids=["hybrid", "remote-only"])
def test_rows_that_come_as_columns_arrive_once_and_in_order(
    *, keeps: bool, server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash" if keeps else None, echo=False)
    with exp.run:
        exp.metrics("train").log(step=-1)
        exp.metrics("train").log_columns(step=range(100_000), loss=[0.5] * 100_000)
        exp.metrics("train").log(step=100_000)
        exp.flush()
        law(exp)
    assert (exp.status().logged, exp.status().acknowledged) == (100_002, 100_002)
    assert exp.metrics("train").to_numpy()["step"].tolist() == list(range(-1, 100_001))
    assert seen.get("metrics/stats", name="train")["count"] == 100_002


def test_the_server_knows_what_the_experiment_is(server: EmbeddedServer, seen: Seen, tmp_path: Path) -> None:
    about: dict[str, Any] = {"readme": "why", "tags": ["a", "b"], "bindrs": ["c"], "metadata": {"d": [1]}}
    exp = Experiment(PREFIX, **about, dash_url=server.url, dash_root=tmp_path / "dash")
    assert (exp.url, exp.id, exp.data) == (server.url, None, None)
    exp.run.start()
    record = seen.record
    assert exp.id == record["id"]
    assert exp.data is not None
    assert about.items() <= exp.data.items()
    assert about.items() <= record.items()
    exp.run.complete()
    assert exp.id == record["id"]


@pytest.mark.parametrize("keeps", [True, False], ids=["hybrid", "remote-only"])
def test_texts_arrive_with_lone_surrogates_as_they_were(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, keeps: bool
) -> None:
    """As everywhere where a text is taken: what is said of the experiment, and what it failed of."""
    odd = "caf\udce9 \ud800\0"
    about: dict[str, Any] = {"readme": odd, "tags": [odd], "bindrs": [odd], "metadata": {odd: [odd]}}
    root = tmp_path / "dash" if keeps else None
    exp = Experiment(PREFIX, **about, dash_url=server.url, dash_root=root, echo=False)

    @exp.run
    def train(experiment: Experiment) -> None:
        experiment.metrics("train").log(**{odd: odd})
        experiment.log(odd, metadata={odd: odd})
        experiment.params.set(**{odd: odd})
        raise RuntimeError(odd)

    with pytest.raises(RuntimeError) as caught:
        train()
    assert str(caught.value) == odd
    assert about.items() <= seen.record.items()
    assert (seen.record["status"], seen.record["error"]) == ("FAILED", f"RuntimeError: {odd}")
    assert exp.view.run().error == f"RuntimeError: {odd}"
    assert exp.params.get() == {odd: odd}
    assert exp.metrics("train").to_numpy()[odd].tolist() == [odd]
    assert [row["message"] for row in exp.logs.read()["data"]] == [odd]
    law(exp)


@pytest.mark.slow
def test_what_a_later_object_of_the_prefix_says_of_it_arrives_too(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    """Also where the process has sent to the server for an earlier object."""
    for readme in ("first", "second"):
        with Experiment(PREFIX, readme=readme, dash_url=server.url, dash_root=tmp_path / "dash").run as exp:
            exp.metrics("train").log(step=0)
    until(lambda: seen.record["readme"] == "second", "the second readme at the server")


@pytest.mark.sample(40)
@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("complete", "COMPLETED", None),
        ("fail", "FAILED", "out of memory"),
        ("cancel", "CANCELLED", None),
    ],
)
def test_the_end_of_a_run_is_its_status_at_the_server_when_the_call_returns(
    exp: Experiment, seen: Seen, end: str, status: str, error: str | None
) -> None:
    exp.run.start()
    exp.flush()
    assert seen.status == "RUNNING"
    getattr(exp.run, end)(*[error] if error else [])
    assert seen.status == status
    assert seen.get("run")["error"] == error


def test_an_exception_in_the_block_is_a_failed_run_at_the_server(exp: Experiment, seen: Seen) -> None:
    with pytest.raises(ValueError, match="diverged"), exp.run:
        raise ValueError("diverged")
    assert (seen.status, seen.get("run")["error"]) == ("FAILED", "ValueError: diverged")


async def test_aflush_waits_for_the_server(exp: Experiment, seen: Seen) -> None:
    async with exp.run:
        for step in range(100):
            exp.metrics("train").log(step=step)
        result = await exp.aflush()
        assert (result.acknowledged, result.pending, result.online, result.reason) == (100, 0, True, None)
        assert seen.values("step") == list(range(100))
    assert seen.status == "COMPLETED"


async def test_aflush_waits_for_the_server_also_where_it_is_called_at_once(
    exp: Experiment, seen: Seen, settings: pytest.MonkeyPatch, server: EmbeddedServer, tmp_path: Path
) -> None:
    """The start has waited for nothing, and the server has not been asked yet."""
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash")
    exp.run.start()
    exp.metrics("train").log(step=0)
    assert (await exp.aflush()).acknowledged == 1
    exp.run.complete()


def test_a_run_that_is_reopened_goes_on_at_the_server(exp: Experiment, seen: Seen, tmp_path: Path) -> None:
    for turn in range(5):
        with exp.run:
            exp.metrics("train").log(step=turn)
        law(exp)
    assert seen.values("step") == list(range(5))
    seen.equals(tmp_path / "dash")


@pytest.mark.slow
def test_objects_of_one_prefix_share_what_they_send(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    objects = [Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash") for _ in range(3)]
    for exp in objects:
        exp.run.start()
    for step in range(30):
        objects[step % 3].metrics("train").log(step=step)
    for exp in objects:
        assert exp.flush().pending == 0
        exp.run.complete()
        law(exp)
    assert seen.values("step") == list(range(30))
    seen.equals(tmp_path / "dash")


def test_experiments_at_once_are_sent_each_to_itself(server: EmbeddedServer, tmp_path: Path) -> None:
    prefixes = [f"alice/vision/net{number}" for number in range(8)]
    root = tmp_path / "dash"

    def train(prefix: str) -> None:
        with Experiment(prefix, dash_url=server.url, dash_root=root).run as exp:
            for step in range(200):
                exp.metrics("train").log(step=step, prefix=prefix)
        law(exp)

    threads = [threading.Thread(target=train, args=(prefix,)) for prefix in prefixes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for prefix in prefixes:
        seen = Seen(server, prefix)
        assert seen.values("step") == list(range(200))
        assert set(seen.values("prefix")) == {prefix}
        seen.equals(root)


def test_another_process_resumes_the_experiment(scripts: Scripts, seen: Seen, home: Path) -> None:
    """Each is a writer of its own; indices go on, and the last end is the status."""
    for step, end in enumerate(["complete", "fail", "cancel"]):
        finished = scripts.run(
            f"""
            from ml_dash import Experiment
            exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
            exp.metrics("train").log(step={step})
            exp.run.{end}()
            print(exp.id)
            """
        )
        assert finished == (0, f"{seen.record['id']}\n", "")
    assert seen.values("step") == [0, 1, 2]
    assert seen.status == "CANCELLED"
    assert seen.get("run")["writers"] == 3
    seen.equals(home)


@pytest.mark.slow
def test_two_processes_log_to_one_experiment_at_once(scripts: Scripts, seen: Seen, home: Path) -> None:
    text = """
        import sys
        from ml_dash import Experiment
        exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
        print("ready", flush=True)
        sys.stdin.readline()
        for step in range(500):
            exp.metrics(sys.argv[1]).log(step=step)
            if step % 100 == 0:
                exp.flush()
        """
    processes = [scripts.start(text, name) for name in ("one", "two")]
    for process in processes:
        expect_line(process)
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
    for process in processes:
        assert finish(process) == (0, "", "")
    assert seen.values("step", "one") == seen.values("step", "two") == list(range(500))
    assert seen.status == "COMPLETED"
    seen.equals(home)


def test_objects_of_one_prefix_send_to_the_server_that_each_was_given(
    exp: Experiment, seen: Seen, server: EmbeddedServer, tmp_path: Path
) -> None:
    """And a local one to none: what each logs is at its own server, and all of it is in the one journal."""
    with EmbeddedServer(data=tmp_path / "other", admin_token=TOKEN) as other_server:
        other = Experiment(PREFIX, dash_url=other_server.url, dash_root=tmp_path / "dash")
        local = Experiment(PREFIX, dash_root=tmp_path / "dash")
        with exp.run, other.run, local.run:
            for step in range(30):
                [exp, other, local][step % 3].metrics("train").log(step=step)
        for each in (exp, other, local):
            assert each.flush().pending == 0
            law(each)
        assert seen.values("step") == [*range(0, 30, 3)]
        assert Seen(other_server).values("step") == [*range(1, 30, 3)]
    assert sorted(Journal(tmp_path / "dash").values("step")) == list(range(30))


def test_rows_arrive_while_the_run_goes_on_without_a_flush(exp: Experiment, seen: Seen) -> None:
    exp.run.start()
    for step in range(50):
        exp.metrics("train").log(step=step)
        time.sleep(0.001)
    until(lambda: seen.has(50), "50 rows at the server")
    until(lambda: exp.status().pending == 0, "nothing pending")
    law(exp)
    exp.run.complete()


def test_a_flush_keeps_its_timeout_while_the_server_is_there(exp: Experiment) -> None:
    """A timeout of 0 waits for nothing, and says how far things are."""
    exp.run.start()
    exp.metrics("train").log(step=0)
    result = exp.flush(timeout=0)
    assert result.pending in (0, 1)
    assert (result.reason is None) == (result.pending == 0)
    exp.run.complete()
    law(exp)
