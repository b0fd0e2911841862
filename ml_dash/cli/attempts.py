"""Which attempt of an experiment a command is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

import typer

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.runs import RunInfo
from ml_dash.query.selection import AttemptChoice, checked_attempt
from ml_dash.storage.summaries.records import time_ns

AttemptOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--attempt",
        metavar="N|all",
        help="Only rows of this attempt, or those of all; by default those that no later one has superseded.",
        show_default=False,
    ),
]


def attempt_choice(text: str | None) -> AttemptChoice:
    """Return what is chosen; InvalidArgumentError where it is none."""
    return checked_attempt(int(text) if text is not None and text.isdecimal() else text)


def attempt_of(choice: int, attempts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the attempt that is chosen, of those that there are, as `View.attempts` tells them."""
    found = next((each for each in attempts if each["number"] == choice), None)
    if found is None:
        raise InvalidArgumentError(
            f"--attempt {choice}: there is no such attempt, but {len(attempts)} of them, numbered from 1"
        )
    return found


def run_of(attempt: Mapping[str, Any], run: RunInfo) -> RunInfo:
    """Return how an attempt of a run stands, or did; of which process it was is not known."""
    return replace(
        run,
        status=attempt["status"],
        stale=attempt["stale"],
        started_at=time_ns(attempt["startedAt"]),
        ended_at=time_ns(attempt["endedAt"]),
        host=attempt["host"],
        pid=None,
        error=attempt["error"],
    )
