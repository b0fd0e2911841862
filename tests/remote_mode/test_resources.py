"""What remote mode costs: no memory for an outage, no thread for an experiment, and nothing at all in local mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.remote_mode.silent import silent_server
from tests.support.processes import Scripts, expect_line, finish
from tests.support.seen import Seen

BEGIN = """
    import gc, os, sys, threading, time
    from ml_dash import Experiment

    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def law(exp):
        status = exp.status()
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
        return status

    def tasks():
        import asyncio
        from ml_dash.pipeline.runtime import RUNTIME
        return len(asyncio.all_tasks(RUNTIME._worker._loop))
    """

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures by Linux's /proc")

OUTAGE = f"""{BEGIN}
    exp = Experiment("alice/vision/resnet", dash_url=True, echo=False).run.start()

    def log(count):
        for step in range(count):
            exp.metrics("train").log(loss=0.1 * step, accuracy=0.5, text="x" * 100)
        exp.flush()
        assert law(exp).pending == exp.status().logged

    log(50_000)
    before = resident()
    for turn in range(6):
        log(100_000)
    print(resident() - before, flush=True)
    os._exit(0)
    """


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["down", "silent"])
def test_memory_stays_flat_over_an_outage(scripts: Scripts, server: EmbeddedServer, kind: str) -> None:
    """The journal is the queue: 600 000 rows of 130 bytes, which would be a hundred MiB as Python objects."""
    server.stop()
    with silent_server() as silent:
        url = silent if kind == "silent" else server.url
        env = {"ML_DASH_API_URL": url, "ML_DASH_START_TIMEOUT": "0.5", "ML_DASH_FLUSH_TIMEOUT": "0.1"}
        finished = scripts.run(OUTAGE, env=env, deadline=100)
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 40.0


@needs_proc
@pytest.mark.slow
def test_memory_stays_flat_while_the_backlog_of_an_outage_is_sent(
    scripts: Scripts, server: EmbeddedServer, seen: Seen, home: Path
) -> None:
    process = scripts.start(
        f"""{BEGIN}
    exp = Experiment("alice/vision/resnet", dash_url=True, echo=False).run.start()
    exp.metrics("train").log(step=-1, text="")
    assert exp.flush().pending == 0
    print("ready", flush=True)
    sys.stdin.readline()
    for step in range(300_000):
        exp.metrics("train").log(step=step, text="x" * 100)
    exp.flush()
    before = resident()
    print("logged", flush=True)
    most = before
    while exp.status().pending:
        most = max(most, resident())
        time.sleep(0.05)
    law(exp)
    print(most - before)
    """
    )
    assert expect_line(process) == "ready"
    server.stop()
    assert process.stdin
    process.stdin.write(b"go\n")
    assert expect_line(process) == "logged"
    server.start()
    finished = finish(process, deadline=100)
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 60.0
    assert seen.count() == 300_001
    seen.equals(home)


@pytest.mark.slow
@pytest.mark.parametrize("up", [True, False])
def test_a_hundred_experiments_one_after_the_other_leave_no_thread_and_no_task_each(
    scripts: Scripts, server: EmbeddedServer, up: bool
) -> None:
    """What an ended experiment needs is let go of a while after its end; with no server, it has no thread at least."""
    if not up:
        server.stop()
    finished = scripts.run(
        f"""{BEGIN}
    import ml_dash.pipeline.runtime as runtime
    runtime._FORGET_AFTER = 0.0
    def run(number):
        with Experiment(f"alice/vision/net{{number}}", dash_url=True, echo=False).run as exp:
            exp.metrics("train").log(step=number)
        law(exp)

    run(0)
    threads = threading.active_count()
    for number in range(1, 100):
        run(number)
        assert threading.active_count() <= threads + 1, threading.enumerate()
    if {up}:
        deadline = time.monotonic() + 30
        while tasks() > 20 and time.monotonic() < deadline:
            time.sleep(1.1)
            run(100)
        print(tasks() <= 20, len(runtime.RUNTIME._channels) <= 20)
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "5"},
        deadline=100,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ("True True\n" if up else "")
    if up:
        assert finished.stderr == ""
        assert all(Seen(server, f"alice/vision/net{n}").status == "COMPLETED" for n in range(100))


def test_local_mode_loads_nothing_of_remote_mode_and_has_no_thread_more(scripts: Scripts) -> None:
    finished = scripts.run(
        f"""{BEGIN}
    with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
        exp.metrics("train").log(step=0)
        result = exp.flush()
        assert (result.acknowledged, result.online, exp.id, exp.data, exp.url) == (1, False, None, None, None)
        deadline = time.monotonic() + 30  # for what is done once, when the first run begins
        while threading.active_count() > 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        print(sorted(thread.name for thread in threading.enumerate()))
        law(exp)
    print(sorted(
        name for name in sys.modules
        if name.partition(".")[0] in {{"aiohttp", "cryptography", "yarl", "sqlalchemy"}}
        or name.startswith(("ml_dash.client.", "ml_dash.upload.", "ml_dash.tokens", "ml_dash.server"))
    ))
    """
    )
    light = ["ml_dash.client.destination"]
    assert finished == (0, f"['MainThread', 'ml-dash', 'ml-dash-disk']\n{light}\n", "")


@pytest.mark.slow
def test_one_experiment_in_remote_mode_costs_two_threads_more(scripts: Scripts) -> None:
    finished = scripts.run(
        f"""{BEGIN}
    with Experiment("alice/vision/resnet", dash_url=True).run as exp:
        exp.metrics("train").log(step=0)
        exp.flush()
        print(sorted(thread.name for thread in threading.enumerate()))
    """
    )
    # on a slow machine standard error has that the last events are being sent
    assert finished[:2] == (
        0,
        "['MainThread', 'ml-dash', 'ml-dash-disk', 'ml-dash-names', 'ml-dash-upload']\n",
    )


def test_logging_waits_for_no_server(scripts: Scripts) -> None:
    """Ten thousand rows while the server is silent: a single wait of its time-outs would be found hanging."""
    with silent_server() as url:
        finished = scripts.run(
            f"""{BEGIN}
    exp = Experiment("alice/vision/resnet", dash_url="{url}").run.start()
    for step in range(10_000):
        exp.metrics("train").log(step=step)
    os._exit(0)
    """,
            env={"ML_DASH_START_TIMEOUT": "0.2"},
            deadline=10,
        )
    assert finished == (0, "", "")
