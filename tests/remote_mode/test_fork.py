"""Forks and other processes with a live upload in the parent: each sends its own, nothing is doubled, nobody hangs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import Scripts, metric
from tests.support.seen import Seen

METHODS = ["fork", "spawn", "forkserver"]

FAMILY = """
    import faulthandler, gc, multiprocessing, os, signal, sys, threading, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
    from ml_dash import Experiment

    faulthandler.register(signal.SIGALRM, chain=True)

    def law():
        status = exp.status()
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
        return status

    def child_of(work, *arguments):
        child = os.fork()
        if child == 0:
            signal.alarm(50)
            work(*arguments)
        return child

    def ended(child):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def log(name, count=100, exp=None):
        exp = exp or globals()["exp"]
        for step in range(count):
            exp.metrics(name).log(step=step)

    def sent():
        result = exp.flush(timeout=30)
        assert result.pending == 0 and result.online, result
        law()
    """
"""What the scripts of this file begin with. A child that hangs tells where, and dies of it."""

START = 'exp = Experiment("alice/vision/resnet", dash_url=True, echo=False).run.start()'


@pytest.mark.sample(8)
@pytest.mark.parametrize(
    ("ending", "returncode"),
    [
        ("sent(); os._exit(0)", 0),
        ("exp.run.complete(); os._exit(0)", 0),
        ("sys.exit(0)", 0),
        ("gc.collect(); sys.exit(3)", 3),
        ("sent(); sys.exit(0)", 0),
    ],
)
def test_a_forked_child_sends_its_rows_and_its_end_does_not_disturb_the_parent(
    scripts: Scripts, seen: Seen, home: Path, ending: str, returncode: int
) -> None:
    """However the child ends, and whatever it closes by that: the parent goes on sending."""
    finished = scripts.run(
        f"""{FAMILY}
    {START}

    def work():
        log("child")
        {ending}

    log("parent")
    sent()
    assert ended(child_of(work)) == {returncode}
    log("parent2")
    sent()
    """
    )
    assert finished == (0, "", "")
    for name in ("parent", "child", "parent2"):
        assert seen.values("step", name) == list(range(100))
    assert seen.status == "COMPLETED"
    seen.equals(home)


@pytest.mark.slow
def test_a_child_that_dies_of_an_exception_has_sent_its_rows(
    scripts: Scripts, seen: Seen, home: Path
) -> None:
    finished = scripts.run(
        f"""{FAMILY}
    {START}

    def work():
        log("child")
        raise ValueError("in the child")

    assert ended(child_of(work)) == 1
    log("parent")
    """
    )
    assert finished.returncode == 0
    assert finished.stderr.count("Traceback") == 1
    assert finished.stderr.rstrip().endswith("ValueError: in the child")
    assert seen.values("step", "child") == seen.values("step", "parent") == list(range(100))
    assert seen.status == "COMPLETED"
    seen.equals(home)


@pytest.mark.slow
def test_a_child_that_logs_nothing_costs_the_parent_nothing(scripts: Scripts, seen: Seen, home: Path) -> None:
    """As a data loader's: it may be collected, and end in any way, while requests of the parent are under way."""
    finished = scripts.run(
        f"""{FAMILY}
    {START}
    children = []
    for turn in range(20):
        log("parent", 50)
        children.append(child_of(lambda: (gc.collect(), sys.exit(0) if turn % 2 else os._exit(0))))
        time.sleep(0.005)
    assert [ended(child) for child in children] == [0] * 20
    sent()
    """
    )
    assert finished == (0, "", "")
    assert Counter(seen.values("step", "parent")) == Counter([*range(50)] * 20)
    seen.equals(home)


@pytest.mark.slow
def test_children_of_children_send_theirs(scripts: Scripts, seen: Seen, home: Path) -> None:
    finished = scripts.run(
        f"""{FAMILY}
    {START}

    def work(depth):
        log(f"depth{{depth}}")
        if depth < 3:
            assert ended(child_of(work, depth + 1)) == 0
        sys.exit(0)

    assert ended(child_of(work, 1)) == 0
    log("depth0")
    """
    )
    assert finished == (0, "", "")
    for depth in range(4):
        assert seen.values("step", f"depth{depth}") == list(range(100))
    seen.equals(home)


@pytest.mark.slow
def test_a_fork_while_the_worker_imports_aiohttp_hangs_nobody(
    scripts: Scripts, seen: Seen, home: Path
) -> None:
    """The start waits for no server, and the import is slow: most forks fall into it. Each child sends for itself."""
    finished = scripts.run(
        f"""{FAMILY}
    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "aiohttp.client":
                threading.Event().wait(0.3)

    import threading
    sys.meta_path.insert(0, Slow())
    {START}

    def work(number):
        exp.metrics("child").log(step=number)
        import aiohttp
        assert aiohttp.ClientSession
        sys.exit(0)

    children = []
    for number in range(10):
        children.append(child_of(work, number))
        time.sleep(0.01)
    exp.metrics("parent").log(step=0)
    assert [ended(child) for child in children] == [0] * 10
    """,
        env={"ML_DASH_START_TIMEOUT": "0", "ML_DASH_EXIT_TIMEOUT": "45", "ML_DASH_CAPTURE": "0"},
    )
    assert finished.returncode == 0
    assert "ml-dash sync /" not in finished.stderr
    assert "Traceback" not in finished.stderr
    assert sorted(seen.values("step", "child")) == list(range(10))
    assert seen.values("step", "parent") == [0]
    seen.equals(home)


@pytest.mark.slow
def test_forks_in_an_outage_leave_complete_journals_and_wait_for_nothing(
    scripts: Scripts, server_down: None
) -> None:
    finished = scripts.run(
        f"""{FAMILY}
    {START}

    def work(number):
        log(f"child{{number}}")
        assert exp.flush().pending == 100
        sys.exit(0)

    assert [ended(child_of(work, number)) for number in range(3)] == [0, 0, 0]
    log("parent")
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "3600", "ML_DASH_FLUSH_TIMEOUT": "3600"},
        deadline=20,
    )
    assert finished.returncode == 0
    assert "Traceback" not in finished.stderr
    for name in ("child0", "child1", "child2", "parent"):
        assert scripts.journal().values("step", metric(name)) == list(range(100))


@pytest.mark.slow
def test_a_child_may_start_an_experiment_of_its_own(scripts: Scripts, seen: Seen, home: Path) -> None:
    finished = scripts.run(
        f"""{FAMILY}
    {START}

    def work():
        with Experiment("alice/vision/child", dash_url=True).run as own:
            log("own", 100, own)
        assert own.status().pending == 0
        log("child")
        sys.exit(0)

    assert ended(child_of(work)) == 0
    """
    )
    assert finished == (0, "", "")
    assert seen.values("step", "child") == list(range(100))
    own = Seen(seen.server, "alice/vision/child")
    assert own.values("step", "own") == list(range(100))
    assert own.status == "COMPLETED"
    own.equals(home)
    seen.equals(home)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_processes_of_every_kind_send_what_they_log(
    scripts: Scripts, seen: Seen, home: Path, method: str
) -> None:
    """The parent's experiment is handed to four children, and all five log to it at once."""
    finished = scripts.run(
        f"""{FAMILY}
    def work(exp, name):
        signal.alarm(50)
        exp.run.start()
        log(name, 50, exp)

    if __name__ == "__main__":
        {START}
        context = multiprocessing.get_context(sys.argv[1])
        children = [context.Process(target=work, args=(exp, f"child{{n}}")) for n in range(4)]
        for child in children:
            child.start()
        log("parent")
        for child in children:
            child.join()
            assert child.exitcode == 0
        sent()
    """,
        method,
    )
    assert finished == (0, "", "")
    assert seen.values("step", "parent") == list(range(100))
    for number in range(4):
        assert seen.values("step", f"child{number}") == list(range(50))
    assert seen.status == "COMPLETED"
    seen.equals(home)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_child_alone_sends_all_before_it_is_gone(
    scripts: Scripts, seen: Seen, home: Path, method: str
) -> None:
    """Its short life is all the time that there is: a forked child of `multiprocessing` runs no exit handlers."""
    finished = scripts.run(
        f"""{FAMILY}
    def work(exp):
        signal.alarm(50)
        exp.run.start()
        log("child", 100, exp)

    if __name__ == "__main__":
        exp = Experiment("alice/vision/resnet", dash_url=True)
        child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(exp,))
        child.start()
        child.join()
        assert child.exitcode == 0
    """,
        method,
    )
    assert finished == (0, "", "")
    assert seen.values("step", "child") == list(range(100))
    assert seen.status == "COMPLETED"
    seen.equals(home)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_data_loader_that_live_as_long_as_the_run_do_not_hold_it_up(
    scripts: Scripts, seen: Seen, home: Path, method: str
) -> None:
    """They log now and then, and are daemons, killed in the end."""
    finished = scripts.run(
        f"""{FAMILY}
    def load(exp, items, batches):
        exp.run.start()
        for item in iter(items.get, None):
            exp.metrics("loader").log(item=item)
            exp.flush()
            batches.put(item)
        while True:
            time.sleep(1)

    if __name__ == "__main__":
        {START}
        context = multiprocessing.get_context(sys.argv[1])
        items, batches = context.Queue(), context.Queue()
        for _ in range(3):
            context.Process(target=load, args=(exp, items, batches), daemon=True).start()
        for item in range(60):
            items.put(item)
        for step in range(60):
            exp.metrics("train").log(step=step, item=batches.get())
        sent()
    """,
        method,
    )
    assert finished == (0, "", "")
    # The loaders are ended by SIGTERM: that they were is in their journals, and may not have been sent any more.
    assert scripts.run("import sys; from ml_dash.cli import main; sys.exit(main(['sync']))").returncode == 0
    assert seen.values("step") == list(range(60))
    assert sorted(seen.values("item", "loader")) == list(range(60))
    assert sorted(seen.values("item")) == list(range(60))
    seen.equals(home)
