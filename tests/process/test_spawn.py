"""`multiprocessing` and `concurrent.futures`: processes that log to one experiment, however they were started."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.processes import RUNS, Scripts, metric

METHODS = ["fork", "spawn", "forkserver"]

SCRIPT = """
    import faulthandler, multiprocessing, os, signal, sys, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
    from concurrent.futures import ProcessPoolExecutor
    from ml_dash import Experiment

    METHOD = sys.argv[1]

    def beware():
        # A child that hangs tells where, and then dies of it.
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(50)

    def work(exp, name, count=50):
        beware()
        exp.run.start()
        for step in range(count):
            exp.metrics(name).log(step=step)

    def work_in_block(exp, name):
        beware()
        with exp.run:
            work(exp, name)

    def fail(exp, name):
        work(exp, name)
        raise ValueError("in the child")

    def task(exp, number):
        exp.run.start()
        exp.metrics("pool").log(step=number)
        return os.getpid()
    """
"""What the scripts of this file begin with; they are told the start method."""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_processes_of_every_kind_log_to_one_experiment_at_once(scripts: Scripts, method: str) -> None:
    """The parent's experiment is handed to four children; all five log together, each row is there once."""
    finished = scripts.run(
        f"""{SCRIPT}
    if __name__ == "__main__":
        context = multiprocessing.get_context(METHOD)
        exp = Experiment("alice/vision/resnet", dash_root=".dash")
        with exp.run:
            children = [context.Process(target=work, args=(exp, f"child{{n}}")) for n in range(4)]
            for child in children:
                child.start()
            work(exp, "parent")
            for child in children:
                child.join()
            assert [child.exitcode for child in children] == [0] * 4
            status = exp.status()
            assert (status.logged, status.status) == (50, "RUNNING")
            work(exp, "parent2")
    """,
        method,
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.writers == 5
    for name in ("parent", "parent2", *(f"child{number}" for number in range(4))):
        assert journal.values("step", metric(name)) == list(range(50))
    assert journal.status == "COMPLETED"
    assert set(journal.ends()) == {"COMPLETED"}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_tasks_of_a_process_pool_log_to_one_experiment(scripts: Scripts, method: str) -> None:
    """The experiment is pickled with every task; each process of the pool starts it once and is one writer."""
    finished = scripts.run(
        f"""{SCRIPT}
    if __name__ == "__main__":
        context = multiprocessing.get_context(METHOD)
        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            exp.metrics("pool").log(step=-1)
            with ProcessPoolExecutor(2, mp_context=context, initializer=beware) as pool:
                pids = set(pool.map(task, [exp] * 100, range(100)))
            assert 1 <= len(pids) <= 2
            assert os.getpid() not in pids
            print(len(pids))
    """,
        method,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    journal = scripts.journal()
    assert Counter(journal.values("step", metric("pool"))) == dict.fromkeys(range(-1, 100), 1)
    assert journal.writers == 1 + int(finished.stdout)
    assert journal.status == "COMPLETED"


@pytest.mark.sample(3)
@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_multiprocessing_loses_nothing(scripts: Scripts, method: str) -> None:
    """`Pool.map`, and an orderly close."""
    finished = scripts.run(
        f"""{SCRIPT}
    exp = Experiment("alice/vision/resnet", dash_root=".dash")

    def log(number):
        exp.run.start().metrics("pool").log(step=number)

    if __name__ == "__main__":
        pool = multiprocessing.get_context(METHOD).Pool(2, initializer=beware)
        pool.map(log, range(50))
        pool.close()
        pool.join()
    """,
        method,
    )
    assert finished == (0, "", "")
    assert sorted(scripts.journal().values("step", metric("pool"))) == list(range(50))


@pytest.mark.sample(6)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("target", "code", "status"),
    [("work", 0, "COMPLETED"), ("work_in_block", 0, "COMPLETED"), ("fail", 1, "FAILED")],
)
def test_a_run_that_a_child_process_opens_ends_with_it(
    scripts: Scripts, method: str, target: str, code: int, status: str
) -> None:
    """Left open it is ended at the child's exit, as any script's is.

    That is so although a forked child of `multiprocessing` runs no exit handlers.
    """
    finished = scripts.run(
        f"""{SCRIPT}
    if __name__ == "__main__":
        exp = Experiment("alice/vision/resnet", dash_root=".dash")
        child = multiprocessing.get_context(METHOD).Process(target={target}, args=(exp, "child"))
        child.start()
        child.join()
        assert child.exitcode == {code}
        assert exp.run.status is None
    """,
        method,
    )
    assert finished.returncode == 0
    assert finished.stdout == ""
    assert finished.stderr == "" or target == "fail"
    journal = scripts.journal()
    assert journal.values("step", metric("child")) == list(range(50))
    assert journal.ends() == [status]
    assert [row["event"] for row in journal.rows(RUNS)] == ["start", "end"]


@pytest.mark.sample(3)
@pytest.mark.parametrize("method", METHODS)
def test_a_terminated_child_leaves_its_rows(scripts: Scripts, method: str) -> None:
    """`Process.terminate` sends SIGTERM: the child drains its writer, and the parent's run goes on."""
    finished = scripts.run(
        f"""{SCRIPT}
    def log_on(exp, ready):
        work(exp, "child")
        ready.set()
        time.sleep(3600)

    if __name__ == "__main__":
        context = multiprocessing.get_context(METHOD)
        ready = context.Event()
        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            child = context.Process(target=log_on, args=(exp, ready))
            child.start()
            ready.wait()
            child.terminate()
            child.join()
            assert child.exitcode == -signal.SIGTERM
            work(exp, "parent")
    """,
        method,
        env={"ML_DASH_LINGER": "3600"},
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.values("step", metric("child")) == list(range(50))
    assert journal.values("step", metric("parent")) == list(range(50))
    assert journal.status == "COMPLETED"


def test_a_pickled_experiment_is_the_same_one_not_started(scripts: Scripts) -> None:
    """All arguments travel; an absent prefix is settled once, so that both sides mean the same experiment."""
    finished = scripts.run(
        """
        import os, pickle
        from ml_dash import Experiment

        exp = Experiment(
            "alice/vision/resnet", dash_root=".dash", readme="why", tags=["a"], bindrs=["b"], metadata={"c": 1},
            overflow="drop", echo=False,
        )
        with exp.run:
            exp.metrics("train").log(step=0)
            copy = pickle.loads(pickle.dumps(exp))
            assert copy.run.status is None and not copy.run.is_open
            assert copy.status().logged == 0
        for name in ("prefix", "directory", "readme", "tags", "bindrs", "metadata"):
            assert getattr(copy, name) == getattr(exp, name), name
        with copy.run:
            copy.log("quiet")
            copy.metrics("train").log(step=1)
        assert copy.metrics("train").read()["total"] == 2

        unnamed = Experiment(dash_root=".dash")
        assert pickle.loads(pickle.dumps(unnamed)).directory == unnamed.directory
        os.chdir("/")
        assert pickle.loads(pickle.dumps(exp)).directory == exp.directory
        """
    )
    assert finished == (0, "", "")
    assert scripts.journal().values("step") == [0, 1]


@pytest.mark.slow
def test_a_copied_experiment_is_not_started(scripts: Scripts) -> None:
    """`copy.deepcopy`, as configuration libraries do it, gives what pickling gives."""
    finished = scripts.run(
        """
        import copy
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            other = copy.deepcopy({"exp": exp})["exp"]
            assert other is not exp and other.prefix == exp.prefix
            assert not other.run.is_open
        """
    )
    assert finished == (0, "", "")
