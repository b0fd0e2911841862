"""`os.fork`: a child has an empty queue, a writer of its own, and no part in the parent's run.

Every child here ends itself with the stacks of its threads if it hangs; its exit status then tells the parent.
"""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.support.processes import Journal, Scripts, metric

FAMILY = """
    import faulthandler, os, signal, sys, threading, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
    from ml_dash import Experiment

    faulthandler.register(signal.SIGALRM, chain=True)
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False)

    def law():
        status = exp.status()
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
        return status

    def child_of(work):
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            work()
        return child

    def ended(child):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def log(name, count=100):
        for step in range(count):
            exp.metrics(name).log(step=step)
    """
"""What the scripts of this file begin with."""


def steps(journal: Journal, name: str) -> list[int]:
    """Return the steps of a metric's rows, in order."""
    return journal.values("step", metric(name))


@pytest.mark.sample(6)
@pytest.mark.parametrize(
    ("ending", "returncode"),
    [
        ("exp.flush(); os._exit(0)", 0),
        ("exp.flush(); os._exit(3)", 3),
        ("exp.run.complete(); os._exit(0)", 0),
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("raise SystemExit", 0),
    ],
)
def test_a_forked_child_keeps_its_rows_and_does_not_end_the_run(
    scripts: Scripts, ending: str, returncode: int
) -> None:
    """However the child ends: the parent goes on logging, and its end is the only one."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        log("child")
        {ending}

    exp.run.start()
    log("parent")
    assert ended(child_of(work)) == {returncode}
    log("parent2")
    assert law().logged == 200
    """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.writers == 2
    for name in ("parent", "child", "parent2"):
        assert steps(journal, name) == list(range(100))
    assert journal.ends() == ["COMPLETED"]


def test_a_child_that_dies_of_an_exception_does_not_fail_the_parents_run(scripts: Scripts) -> None:
    """Its rows are there, and its traceback is its own."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        log("child")
        raise ValueError("in the child")

    exp.run.start()
    assert ended(child_of(work)) == 1
    log("parent")
    """
    )
    assert finished.returncode == 0
    assert finished.stderr.count("Traceback") == 1
    assert finished.stderr.rstrip().endswith("ValueError: in the child")
    journal = scripts.journal()
    assert steps(journal, "child") == steps(journal, "parent") == list(range(100))
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
def test_what_waits_in_the_parents_queue_at_the_fork_is_written_once(scripts: Scripts) -> None:
    """The child inherits a copy of the queue, of the counters and of the series' numbers, and forgets the first two."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        assert law().logged == 0
        log("child", 7)
        log("parent", 1)
        assert law().logged == 8
        exp.flush()
        assert law().durable == 8
        os._exit(0)

    exp.run.start()
    for turn in range(20):
        log("parent", 500)
        children = [child_of(work)]
        log("parent", 500)
        assert law().logged == 1000 * (turn + 1)
        assert [ended(child) for child in children] == [0]
    """,
        env={"ML_DASH_LINGER": "0.2"},
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert Counter(steps(journal, "child")) == dict.fromkeys(range(7), 20)
    assert Counter(steps(journal, "parent")) == dict.fromkeys(range(500), 40) | {0: 40 + 20}


@pytest.mark.slow
def test_buffered_values_belong_to_the_process_that_buffered_them(scripts: Scripts) -> None:
    """Neither does the child summarise what the parent had buffered, nor the parent what the child has."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        assert exp.metrics.buffer.peek() == {{}}
        exp.metrics.buffer.log_summary("count")
        exp.metrics("train").buffer(loss=100.0)
        exp.metrics("train").buffer(loss=300.0)
        exp.metrics.buffer.log_summary("mean")
        sys.exit()

    exp.run.start()
    exp.metrics("train").buffer(loss=1.0)
    assert ended(child_of(work)) == 0
    exp.metrics("train").buffer(loss=3.0)
    exp.metrics.buffer.log_summary("mean", "count")
    """
    )
    assert finished == (0, "", "")
    rows = scripts.journal().rows()
    assert sorted(rows, key=str) == [{"loss.mean": 2.0, "loss.count": 2}, {"loss.mean": 200.0}]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["exp.run.complete(); os._exit(0)", "sys.exit()"])
def test_values_that_a_child_buffered_and_never_summarised_are_summarised_at_its_end(
    scripts: Scripts, ending: str
) -> None:
    """As in the process that started the run: what was accepted is not dropped."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        exp.metrics("train").buffer(loss=1.0)
        exp.metrics("train").buffer(loss=3.0)
        {ending}

    exp.run.start()
    assert ended(child_of(work)) == 0
    """
    )
    assert finished.returncode == 0
    assert scripts.journal().rows() == [{"loss.mean": 2.0}]


@pytest.mark.slow
def test_a_child_reads_what_the_parent_flushed_and_what_it_logged_itself(scripts: Scripts) -> None:
    """Reading works in the child from the first moment, on a view of its own."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        log("child", 10)
        assert exp.metrics("parent").read()["total"] == 100
        assert exp.metrics("child").read()["total"] == 10
        assert exp.params.get() == {{"lr": 0.1}}
        os._exit(0)

    exp.run.start()
    exp.params.set(lr=0.1)
    log("parent")
    assert exp.metrics("parent").read()["total"] == 100
    assert ended(child_of(work)) == 0
    assert exp.metrics("child").read()["total"] == 10
    """
    )
    assert finished == (0, "", "")


@pytest.mark.slow
def test_children_of_children_all_log_to_the_one_experiment(scripts: Scripts) -> None:
    """Five generations, each with a writer of its own."""
    finished = scripts.run(
        f"""{FAMILY}
    def generation(number):
        log(f"generation{{number}}", 10)
        if number < 4:
            assert ended(child_of(lambda: generation(number + 1))) == 0
        if number:
            sys.exit()

    exp.run.start()
    generation(0)
    """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.writers == 5
    for number in range(5):
        assert steps(journal, f"generation{number}") == list(range(10))
    assert journal.ends() == ["COMPLETED"]


def test_a_run_that_a_child_opens_itself_is_its_own_to_end(scripts: Scripts) -> None:
    """Another experiment, started in the child and left open: its exit completes it."""
    finished = scripts.run(
        f"""{FAMILY}
    def work():
        own = Experiment("alice/vision/child", dash_root=".dash").run.start()
        own.metrics("train").log(step=0)
        sys.exit()

    exp.run.start()
    assert ended(child_of(work)) == 0
    assert exp.status().status == "RUNNING"
    log("parent")
    """
    )
    assert finished == (0, "", "")
    assert scripts.journal("alice/vision/child").rows() == [{"step": 0}]
    assert scripts.journal("alice/vision/child").ends() == ["COMPLETED"]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.parametrize(("first", "writers"), [("parent", 2), ("child", 3)])
def test_a_child_that_reopens_a_run_ended_long_ago_writes_in_its_own_name(
    scripts: Scripts, first: str, writers: int
) -> None:
    """The parent no longer looks after that run's channel, and may reopen it as well: no clash.

    It goes on as the writer that it was; where the child has run meanwhile, as another one that comes behind it.
    """
    finished = scripts.run(
        f"""{FAMILY}
    import ml_dash.pipeline.runtime as runtime

    begun, begin = os.pipe()
    parent_is_first = {first == "parent"}

    def work():
        if parent_is_first:
            os.read(begun, 1)
        exp.run.start()
        log("child")
        exp.run.complete()
        os._exit(0)

    runtime._FORGET_AFTER = 0.0
    exp.run.start()
    log("before")
    exp.run.complete()
    Experiment("alice/vision/other", dash_root=".dash").run.start().run.complete()
    child = child_of(work)
    if not parent_is_first:
        assert ended(child) == 0
    exp.run.start()
    os.write(begin, b"!")
    log("after")
    exp.run.complete()
    if parent_is_first:
        assert ended(child) == 0
    """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.writers == writers
    for name in ("before", "after", "child"):
        assert steps(journal, name) == list(range(100))
    assert journal.ends() == ["COMPLETED"] * 3


@pytest.mark.slow
def test_a_thread_may_fork(scripts: Scripts) -> None:
    """In the child the thread that forked is the main one."""
    finished = scripts.run(
        f"""{FAMILY}
    codes = []

    def work():
        log("child")
        exp.flush()
        os._exit(0)

    def fork():
        log("thread")
        codes.append(ended(child_of(work)))

    exp.run.start()
    threads = [threading.Thread(target=fork) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 4
    """
    )
    assert finished == (0, "", "")
    for name in ("thread", "child"):
        assert Counter(steps(scripts.journal(), name)) == dict.fromkeys(range(100), 4)


SIGNALLED = f"""
    import os, signal
    at_fork = {{"before": None, "after_in_child": None, "after_in_parent": None}}
    def call(when):
        if at_fork[when]:
            at_fork[when]()
    # Before ours: these are the last ones before a fork, and the first ones after it.
    os.register_at_fork(**{{when: lambda when=when: call(when) for when in at_fork}})
    def die():
        os.kill(os.getpid(), signal.SIGTERM)
{FAMILY}"""
"""Scripts that are sent SIGTERM in the middle of a fork."""


@pytest.mark.sample(20)
@pytest.mark.parametrize("state", ["imported", "made", "open", "open in a thread", "ended"])
def test_a_child_dies_of_the_sigterm_of_its_first_moment(scripts: Scripts, state: str) -> None:
    """It has its parent's handler before it has forgotten its parent, and nobody sends the signal twice."""
    begin = {
        "imported": "",
        "made": "other = Experiment('alice/vision/other', dash_root='.dash')",
        "open": "exp.run.start(); log('parent')",
        "open in a thread": "thread = threading.Thread(target=exp.run.start); thread.start(); thread.join()",
        "ended": "exp.run.start(); log('parent'); exp.run.complete()",
    }[state]
    finished = scripts.run(
        f"""{SIGNALLED}
    {begin}
    at_fork["after_in_child"] = die
    for _ in range(10):
        assert ended(child_of(lambda: time.sleep(3600))) == -signal.SIGTERM
    at_fork["after_in_child"] = None
    for _ in range(3):
        assert ended(child_of(lambda: (die(), time.sleep(3600)))) == -signal.SIGTERM
    """
    )
    assert finished == (0, "", "")
    if state.startswith("open"):
        assert scripts.journal().ends() == ["COMPLETED"]
        assert scripts.journal().writers == 1


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "body",
    [
        "log('child')",
        "thread = threading.Thread(target=log, args=('child',)); thread.start(); thread.join()",
        "log_summary()",
        "other = Experiment('alice/vision/other', dash_root='.dash', echo=False).run.start(); log('child')",
    ],
    ids=["main thread", "another thread", "buffer", "run of its own"],
)
def test_a_child_that_has_logged_saves_it_from_sigterm(scripts: Scripts, body: str) -> None:
    """From the first row on, in whichever of its threads, the child has something to lose."""
    finished = scripts.run(
        f"""{SIGNALLED}
    def log_summary():
        for step in range(100):
            exp.metrics("child").buffer(step=step)
            if step % 2:
                exp.metrics("child").buffer.log_summary("last")

    def work():
        {body}
        os.write(pipe[1], b".")
        while True:
            time.sleep(0.05)

    pipe = os.pipe()
    exp.run.start()
    log("parent")
    child = child_of(work)
    os.read(pipe[0], 1)
    os.kill(child, signal.SIGTERM)
    assert ended(child) == -signal.SIGTERM
    assert exp.run.status == "RUNNING"
    """,
        env={"ML_DASH_LINGER": "3600", "ML_DASH_SIGTERM_TIMEOUT": "200"},
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    rows = journal.rows(metric("child"))
    assert [row.get("step", row.get("step.last")) for row in rows] == (
        [float(step) for step in range(1, 100, 2)] if body == "log_summary()" else list(range(100))
    )
    assert journal.ends() == ["COMPLETED"]
    if "other" in body:
        assert scripts.journal("alice/vision/other").ends() == ["CANCELLED"]


@pytest.mark.slow
def test_what_a_child_only_buffered_is_saved_from_sigterm_too(scripts: Scripts) -> None:
    """It is summarised, as at any end."""
    finished = scripts.run(
        f"""{SIGNALLED}
    def work():
        exp.metrics("child").buffer(loss=1.0)
        os.write(pipe[1], b".")
        while True:
            time.sleep(0.05)

    pipe = os.pipe()
    exp.run.start()
    child = child_of(work)
    os.read(pipe[0], 1)
    os.kill(child, signal.SIGTERM)
    assert ended(child) == -signal.SIGTERM
    """,
        env={"ML_DASH_SIGTERM_TIMEOUT": "200"},
    )
    assert finished.returncode == 0
    assert scripts.journal().rows(metric("child")) == [{"loss.mean": 1.0}]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after_in_parent"])
def test_a_parent_that_is_sent_sigterm_while_it_forks_dies_of_it_and_its_child_does_not(
    scripts: Scripts, when: str
) -> None:
    """The rows of both are there."""
    finished = scripts.run(
        f"""{SIGNALLED}
    def work():
        for step in range(100):
            exp.metrics("child").log(step=step)
        exp.flush()
        os.write(pipe[1], b".")
        os._exit(0)

    pipe = os.pipe()
    exp.run.start()
    log("parent")
    at_fork["{when}"] = die
    child = child_of(work)
    at_fork["{when}"] = None
    os.read(pipe[0], 1)
    time.sleep(3600)
    """,
        env={"ML_DASH_SIGTERM_TIMEOUT": "200"},
    )
    assert finished == (-signal.SIGTERM, "", "")
    journal = scripts.journal()
    assert steps(journal, "parent") == steps(journal, "child") == list(range(100))
    assert journal.ends() == ["CANCELLED"]


@pytest.mark.slow
def test_a_fork_leaves_the_signal_mask_as_it_was(scripts: Scripts) -> None:
    """In both processes, and whether the script lets SIGTERM wait or not; where a fork fails, too."""
    finished = scripts.run(
        f"""{FAMILY}
    def mask():
        return signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def check():
        assert mask() == expected, mask()
        os._exit(0)

    exp.run.start()
    for expected in (set(), {{signal.SIGTERM}}, {{signal.SIGUSR1}}):
        signal.pthread_sigmask(signal.SIG_SETMASK, expected)
        assert ended(child_of(check)) == 0
        assert mask() == expected
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if os.getuid():
        import resource
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        try:
            os.fork()
        except OSError:
            assert mask() == set()
    """
    )
    assert finished == (0, "", "")


@pytest.mark.slow
def test_pools_whose_workers_are_replaced_and_terminated_end(scripts: Scripts) -> None:
    """`multiprocessing` sends SIGTERM once, to children of any age, and waits for them."""
    finished = scripts.run(
        f"""{FAMILY}
    import multiprocessing
    context = multiprocessing.get_context("fork")

    def work(number):
        exp.metrics("child").log(number=number)
        return number

    exp.run.start()
    for turn in range(10):
        with context.Pool(3, maxtasksperchild=1) as pool:
            assert pool.map(work, range(6), chunksize=1) == list(range(6))
    for number in range(100):
        child = context.Process(target=time.sleep, args=(3600,), daemon=True)
        child.start()
        time.sleep(number % 10 * 0.0003)
        child.terminate()
        child.join(30)
        assert child.exitcode == -signal.SIGTERM, number
    """
    )
    assert finished == (0, "", "")
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_two_threads_may_fork_at_once(scripts: Scripts) -> None:
    """While a hook of the program's logs in the middle of each fork: the rows of all are there once."""
    finished = scripts.run(
        f"""{FAMILY}
    def log_in_fork(where, counts={{}}):
        counts[where] = counts.get(where, -1) + 1
        exp.metrics(where).log(step=counts[where])

    exp.run.start()
    os.register_at_fork(before=lambda: log_in_fork("before"), after_in_parent=lambda: log_in_fork("after"))
    codes = []

    def work(number):
        exp.metrics("child").log(step=number)
        exp.flush()
        os._exit(0)

    def fork(thread):
        for number in range(10):
            codes.append(ended(child_of(lambda: work(10 * thread + number))))
            exp.metrics(f"thread{{thread}}").log(step=number)

    threads = [threading.Thread(target=fork, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20, codes
    """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert sorted(steps(journal, "child")) == list(range(20))
    assert steps(journal, "thread0") == steps(journal, "thread1") == list(range(10))
    # of two threads at once each has numbers of its own
    assert sorted(steps(journal, "before")) == sorted(steps(journal, "after")) == list(range(20))


@pytest.mark.slow
def test_hundreds_of_forks_while_eight_threads_log_lose_and_double_nothing(scripts: Scripts) -> None:
    """Whatever lock is held at a fork, the child must not wait for it.

    Another thread is inside `flush()` all the time, one reads, and one keeps making new metrics. Each row of each
    process is there exactly once.
    """
    finished = scripts.run(
        f"""{FAMILY}
    going = True
    logged = [0] * 8

    def log_on(number):
        while going:
            exp.metrics(f"thread{{number}}").log(step=logged[number])
            logged[number] += 1
            time.sleep(0.0004)

    def disturb(work):
        while going:
            work()

    def read():
        exp.metrics("thread0").read(limit=10)
        time.sleep(0.05)

    made = []
    def make():
        made.append(f"made{{len(made)}}")
        exp.metrics(made[-1]).log(step=0)
        time.sleep(0.02)

    def work(number):
        assert law().logged == 0
        for step in range(5):
            exp.metrics("child").log(step=step, number=number)
            exp.metrics(f"child{{number}}").log(step=step)
        if number % 50 == 0:
            exp.params.set(**{{f"child{{number}}": number}})
        result = exp.flush()
        assert (result.durable, result.pending) == (law().logged, 0), result
        os._exit(0)

    exp.run.start()
    read()
    threads = [threading.Thread(target=log_on, args=(number,)) for number in range(8)]
    threads += [threading.Thread(target=disturb, args=(job,)) for job in (exp.flush, read, make)]
    for thread in threads:
        thread.start()
    codes = []
    children = []
    for number in range(300):
        children.append(child_of(lambda: work(number)))
        if len(children) == 4:
            codes += map(ended, children)
            children = []
    going = False
    for thread in threads:
        thread.join()
    assert codes == [0] * 300, codes
    assert law().logged == sum(logged) + len(made)
    exp.run.complete()
    assert law().durable == sum(logged) + len(made)
    print(*logged)
    """,
        env={"ML_DASH_LINGER": "0.005", "ML_DASH_CAPTURE": "0"},
        deadline=110,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    journal = scripts.journal()
    assert journal.writers == 301
    for number, count in enumerate(map(int, finished.stdout.split())):
        assert steps(journal, f"thread{number}") == list(range(count))
    rows = Counter((row["number"], row["step"]) for row in journal.rows(metric("child")))
    assert rows == {(number, step): 1 for number in range(300) for step in range(5)}
    for number in range(300):
        assert steps(journal, f"child{number}") == list(range(5))
    assert journal.view.params() == {f"child{number}": number for number in range(0, 300, 50)}
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_fork_right_after_the_start_does_not_cut_an_import_in_two(scripts: Scripts) -> None:
    """The worker imports what it needs while the script goes on.

    A fork in the middle of that would leave the child with half a module and its lock taken for ever: importing it
    there would hang.
    """
    finished = scripts.run(
        f"""{FAMILY}
    import random

    def grandchild():
        import anyio, anyio.to_thread, asyncio, numpy
        assert numpy.ones(3).sum() == 3
        log("grandchild", 2000)
        assert exp.flush().pending == 0
        os._exit(0)

    def child(pause):
        # This process has imported nothing yet, as a script that has just begun.
        assert not {{"anyio", "asyncio", "numpy"}} & set(sys.modules)
        exp.run.start()
        log("child", 2000)
        time.sleep(pause)
        code = ended(child_of(grandchild))
        exp.flush()
        os._exit(code)

    pauses = random.Random(1)
    codes = [ended(child_of(lambda: child(pauses.uniform(0, 0.15)))) for _ in range(20)]
    assert codes == [0] * 20, codes
    """,
        deadline=110,
    )
    assert finished == (0, "", "")
    for name in ("child", "grandchild"):
        assert Counter(steps(scripts.journal(), name)) == dict.fromkeys(range(2000), 20)
