"""The demo's witness: what happened, told by somebody else than ML-Dash."""

from __future__ import annotations

import atexit
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ml_dash import Experiment


class Witness:
    """A plain file beside the experiment's journal that tells what was logged, independently of ML-Dash.

    Each line is written by one system call, so a killed process loses none. Make it before the run starts: then its
    last line, with what `exp.status()` says, is written after all that ML-Dash does at the interpreter's exit.
    """

    def __init__(self, exp: Experiment, attempt: int) -> None:
        os.makedirs(exp.directory, exist_ok=True)
        self._exp = exp
        self._file = open(witness_path(exp.directory, attempt), "ab", buffering=0)  # noqa: SIM115 - for the whole run
        self._call_ns: list[int] = []
        atexit.register(self._end)

    def write(self, **record: Any) -> None:
        """Append a line."""
        self._file.write(json.dumps({**record, "time": time.time()}).encode() + b"\n")

    def took(self, nanoseconds: int) -> None:
        """Note how long the `log` call took for the step that was written last."""
        self._call_ns.append(nanoseconds)

    def flushed(self, steps: int) -> None:
        """Tell that `flush` has returned behind that many steps, and how long their calls took."""
        self.write(flushed_steps=steps, call_ns=self._call_ns)
        self._call_ns = []

    def _end(self) -> None:
        self.write(status=self._exp.status()._asdict())


def witness_path(directory: str, attempt: int) -> str:
    """Return where an attempt's witness lies."""
    return os.path.join(directory, f"witness-{attempt}.jsonl")


class Call(NamedTuple):
    """A call of `log`: when, in seconds since the epoch, and how long it took."""

    time: float
    ns: int


@dataclass
class Attempt:
    """What the witness of one attempt tells.

    Attributes:
        steps: What was logged, by step.
        flushed_steps: For so many steps `flush` had returned.
        calls: The calls of `log` for steps that were flushed.
        status: What `exp.status()` said in the end; empty where there was no end.
    """

    steps: dict[int, dict[str, float]]
    flushed_steps: int = 0
    calls: list[Call] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, directory: str, attempt: int) -> Attempt:
        """Read a witness."""
        found = cls({})
        with open(witness_path(directory, attempt), encoding="utf-8") as file:
            for record in map(json.loads, file):
                found.add(record)
        return found

    def add(self, record: dict[str, Any]) -> None:
        """Take in a line."""
        if "step" in record:
            self.steps[record["step"]] = record
        elif "flushed_steps" in record:
            self.flushed_steps = record["flushed_steps"]
            behind = list(self.steps.values())[-len(record["call_ns"]) :]
            self.calls += [Call(step["time"], ns) for step, ns in zip(behind, record["call_ns"], strict=True)]
        else:
            self.status = record["status"]

    @property
    def first(self) -> int:
        """The step that it began with."""
        return min(self.steps)
