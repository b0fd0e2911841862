"""The demo's checks: what is read back is held against what the witness saw."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from docs.examples.digits_network import Config, steps_per_epoch
from docs.examples.digits_witness import Attempt, Call
from ml_dash import Experiment
from ml_dash.query.runs import RunInfo
from ml_dash.settings import LINGER, Settings

GRACE = 1.0
"""Seconds beyond the linger that a row may be old which a kill costs: on a busy machine threads wait for their turn."""


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class CheckError(DemoError):
    """What was read back is not what was logged."""


def check(condition: bool, message: str) -> None:
    """Raise `CheckError` with this message unless the condition holds."""
    if not condition:
        raise CheckError(message)


class Kill(NamedTuple):
    """The end of the first training: when, in seconds since the epoch, and which process it was."""

    time: float
    pid: int


@dataclass(frozen=True)
class Outage:
    """When the server was away; seconds since the epoch."""

    began: float
    ended: float

    def covers(self, time: float) -> bool:
        """Say whether a time lies in it."""
        return self.began <= time <= self.ended


@dataclass(frozen=True)
class Found:
    """What was found in one place.

    Attributes:
        rows: Of all metrics.
        messages: How many there are.
        metrics: How many there are.
        lost: The steps of the first attempt that the kill cost.
        repeated: How many steps were logged by both attempts.
        accuracy: Of the trained network.
        status: Of the run.
    """

    rows: int
    messages: int
    metrics: int
    lost: list[int]
    repeated: int
    accuracy: float
    status: str


def check_place(
    place: str, exp: Experiment, config: Config, attempts: tuple[Attempt, Attempt], kill: Kill
) -> Found:
    """Read everything back from one place, the journal or the server, and hold it against what was logged."""
    try:
        return check_everything(exp, config, attempts, kill)
    except CheckError as error:
        raise CheckError(f"{place}: {error}") from None


def check_everything(exp: Experiment, config: Config, attempts: tuple[Attempt, Attempt], kill: Kill) -> Found:
    """Read everything back and hold it against what was logged."""
    total = config.epochs * steps_per_epoch(config)
    first, second = attempts
    rows = exp.metrics("train").to_numpy()
    lost = check_attempt(rows, 1, first)
    check_age(first, lost, kill)
    check(
        not check_attempt(rows, 2, second), "the second attempt ended normally, and steps of it are missing"
    )
    check(
        second.first <= first.flushed_steps,
        f"the second attempt began at step {second.first}, but only {first.flushed_steps} were flushed",
    )
    check_complete(rows, "step", total)
    for name in ("seen", "unseen"):
        check_complete(exp.metrics(name).to_numpy(), "epoch", config.epochs)
    accuracy = exp.metrics("unseen").stats()["fields"]["accuracy"]["last"]
    check(accuracy > 0.95, f"the final accuracy should be above 0.95, and is {accuracy:.4f}")
    rate = exp.params.get()["training.learning_rate"]
    check(
        rate == config.learning_rate, f"the learning rate should be {config.learning_rate}, and is {rate!r}"
    )
    run = exp.view.run()
    check_status(run, kill, sees_processes=exp.url is None)

    metrics = exp.metrics.list()
    return Found(
        rows=sum(metric["count"] for metric in metrics),
        messages=exp.logs.read()["total"],
        metrics=len(metrics),
        lost=lost,
        repeated=len(rows["step"]) - total,
        accuracy=accuracy,
        status=str(run.status),
    )


def check_attempt(rows: dict[str, npt.NDArray[Any]], number: int, attempt: Attempt) -> list[int]:
    """Hold the rows of one attempt against its witness; return the steps that are missing."""
    chosen = rows["attempt"] == number
    steps = rows["step"][chosen].tolist()
    check(len(set(steps)) == len(steps), f"attempt {number}: a step was stored twice")
    check(
        steps == list(range(attempt.first, attempt.first + len(steps))),
        f"attempt {number}: the {len(steps)} steps that were stored do not follow one another from {attempt.first} on",
    )
    stored = attempt.first + len(steps)
    check(
        stored >= attempt.flushed_steps,
        f"attempt {number}: flush() returned for {attempt.flushed_steps} steps, stored are {stored}",
    )
    check(set(steps) <= set(attempt.steps), f"attempt {number}: a step was stored that was never logged")
    for name in ("loss", "accuracy", "lr"):
        written = [attempt.steps[step][name] for step in steps]
        check(rows[name][chosen].tolist() == written, f"attempt {number}: {name!r} is not what was logged")
    return sorted(set(attempt.steps) - set(steps))


def check_status(run: RunInfo, kill: Kill, *, sees_processes: bool) -> None:
    """Check that the run has ended well.

    A server cannot see that a process of another machine is dead. It believes the killed one to be alive, and so the
    run to be going on, until that has been silent for `stale_after` seconds.
    """
    check(run.writers == 2, f"two processes have logged, and there are {run.writers} writers")
    unaware = not sees_processes and run.status == "RUNNING" and run.pid == kill.pid
    check(
        run.status == "COMPLETED" or unaware, f"the run should have ended as COMPLETED, and is {run.status}"
    )


def check_age(attempt: Attempt, lost: list[int], kill: Kill) -> None:
    """Check that a kill has cost nothing that was old enough to be on disk."""
    if lost:
        age, most = kill.time - attempt.steps[lost[0]]["time"], linger() + GRACE
        check(
            age <= most,
            f"the kill cost a row that was {age:.3f} s old; after {most:.3f} s it should be on disk",
        )


def check_complete(rows: dict[str, npt.NDArray[Any]], name: str, count: int) -> None:
    """Check that each of `count` steps or epochs is there, and in no attempt twice."""
    numbers = list(zip(rows["attempt"].tolist(), rows[name].tolist(), strict=True))
    check(len(set(numbers)) == len(numbers), f"an attempt has stored one {name} twice")
    found = {number for _, number in numbers}
    check(found == set(range(count)), f"each {name} from 0 to {count - 1} should be there, {len(found)} are")


# --- The journal and the server


def all_rows(exp: Experiment) -> Counter[str]:
    """Return every row of every metric and every message as text, each with how often it is there.

    Without its index: rows of different writers reach the server in another order than the journal's.
    """
    found: Counter[str] = Counter()
    for metric in exp.metrics.list():
        columns = exp.metrics(metric["name"]).to_numpy()
        names = sorted(set(columns) - {"index"})
        values = zip(*(columns[name].tolist() for name in names), strict=True)
        found.update(f"{metric['name']}: {dict(zip(names, row, strict=True))}" for row in values)
    page = exp.logs.read(limit=1000)
    check(not page["hasMore"], f"there should be a few messages, and there are {page['total']:,}")
    for message in page["data"]:
        found[f"message: { ({**message, 'index': None}) }"] += 1
    return found


def check_same_rows(journal: Counter[str], server: Counter[str]) -> None:
    """Check that the server has each row of the journal exactly once, and no other."""
    missing, more = journal - server, server - journal
    check(
        not missing,
        f"{missing.total()} rows of the journal are not at the server, such as {next(iter(missing), '')}",
    )
    check(
        not more,
        f"{more.total()} rows at the server are doubled, or not in the journal, such as {next(iter(more), '')}",
    )


def check_same_parameters(journal: dict[str, Any], server: dict[str, Any]) -> None:
    """Check that journal and server have the same parameters."""
    differing = sorted(
        name for name in journal.keys() | server.keys() if journal.get(name) != server.get(name)
    )
    check(not differing, f"the server has other parameters than the journal: {', '.join(differing)}")


def check_the_law(second: Attempt, config: Config) -> str:
    """Check that `exp.status()` has accounted for each row that the second attempt logged; return the account."""
    status = second.status
    check(bool(status), "the second attempt has left no status: it did not come to its end")
    dropped = sum(status["dropped"].values())
    account = (
        f"{status['logged']:,} events logged = {status['acknowledged']:,} acknowledged "
        f"+ {status['pending']:,} pending + {dropped:,} dropped"
    )
    check(
        status["logged"] == status["acknowledged"] + status["pending"] + dropped,
        f"exp.status() does not add up: {account}",
    )
    check(not dropped, f"nothing should have been dropped: {account}")
    logged = rows_logged(second, config)
    check(status["logged"] == logged, f"the second attempt has logged {logged:,} rows, and says: {account}")
    return account


def check_acknowledged(rows: dict[str, npt.NDArray[Any]], second: Attempt, config: Config) -> None:
    """Check, before anything is sent again, that the server has what it has acknowledged to the second attempt.

    Args:
        rows: What the server has of the metric "train".
        second: The attempt.
        config: What it trained with.
    """
    acknowledged = second.status["acknowledged"]
    there = int((rows["attempt"] == 2).sum())
    others = rows_logged(second, config) - len(second.steps)
    check(
        there + others >= acknowledged,
        f"the server has acknowledged {acknowledged:,} rows, and has {there + others:,} of them at most",
    )


def rows_logged(attempt: Attempt, config: Config) -> int:
    """Return how many rows an attempt logs that goes on to the end."""
    first_epoch = attempt.first // steps_per_epoch(config)
    epochs = range(first_epoch, config.epochs)
    messages = sum(epoch % 6 == 5 for epoch in epochs) + (first_epoch > 0) + 1
    # of "batches", "seen" and "unseen" one each epoch; and one of parameters, and three of files
    return len(attempt.steps) + 3 * len(epochs) + messages + 1 + 3


# --- What is said of it


def describe_loss(attempt: Attempt, lost: list[int], kill: Kill) -> str:
    """Say what the kill cost."""
    unflushed = len(attempt.steps) - (attempt.flushed_steps - attempt.first)
    if not lost:
        return f"cost none of the {unflushed} rows that were logged since the last flush()"
    age_ms = 1e3 * (kill.time - attempt.steps[lost[0]]["time"])
    return (
        f"cost {len(lost)} of the {unflushed} rows that were logged since the last flush(); "
        f"the oldest was {age_ms:.0f} ms old (the linger is {1e3 * linger():.0f} ms)"
    )


def describe_status(journal: Found, server: Found) -> str:
    """Say how the run has ended."""
    if journal.status == server.status:
        return f"{journal.status}, in the journal and at the server"
    silence = Settings.from_environment().stale_after
    return (
        f"{journal.status}; the server says {server.status}, for it cannot see that a process is dead until that was "
        f"silent for {silence:.0f} s"
    )


def describe_outage(exp: Experiment, outage: Outage) -> str:
    """Say how long the server was away, and what waited for it."""
    waiting = sum(
        outage.covers(time)
        for metric in exp.metrics.list()
        for time in exp.metrics(metric["name"]).to_numpy()["_ts"].tolist()
    )
    return f"the server was away for {outage.ended - outage.began:.1f} s, and {waiting:,} events waited for it on disk"


def describe_calls(calls: Sequence[Call]) -> str:
    """Say how long `log` took."""
    if not calls:
        return "not measured"
    calls_us = sorted(call.ns / 1e3 for call in calls)
    median, worst = statistics.median(calls_us), calls_us[-1]
    return f"{median:.1f} µs in the median and {worst:,.0f} µs at worst, of {len(calls_us):,} calls"


def linger() -> float:
    """Return how many seconds a row may wait in memory."""
    return Settings.from_environment().linger or LINGER
