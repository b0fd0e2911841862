"""What the options of `ml-dash rule add` and `ml-dash rule change` say of a rule."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ml_dash.errors import InvalidArgumentError

Failed = Annotated[bool, typer.Option("--failed", help="A run has failed.")]
Silent = Annotated[
    float | None,
    typer.Option(
        "--silent",
        metavar="MINUTES",
        help="For so long nothing has come of a run that has not ended.",
        show_default=False,
    ),
]
Above = Annotated[
    str | None,
    typer.Option(
        "--above", metavar="METRIC=BOUND", help="A value is above it: val/loss=3.", show_default=False
    ),
]
Below = Annotated[
    str | None,
    typer.Option(
        "--below", metavar="METRIC=BOUND", help="A value is below it: val/acc=0.1.", show_default=False
    ),
]
Nan = Annotated[
    str | None,
    typer.Option(
        "--nan", metavar="METRIC", help="A value is NaN or infinite; '' is any metric.", show_default=False
    ),
]
Alert = Annotated[
    str | None,
    typer.Option(
        "--alert",
        metavar="LEVEL",
        help="A script calls exp.alert with this level or above: info, warning or error.",
        show_default=False,
    ),
]
Webhook = Annotated[
    str | None,
    typer.Option(
        "--webhook",
        metavar="URL",
        help="Send JSON there; - reads the URL from standard input.",
        show_default=False,
    ),
]
Slack = Annotated[
    str | None,
    typer.Option(
        "--slack",
        metavar="URL",
        help="Tell Slack, by an incoming webhook; - reads its URL from standard input.",
        show_default=False,
    ),
]
Mail = Annotated[str | None, typer.Option("--mail", metavar="ADDRESS", help="Send mail.", show_default=False)]
Secret = Annotated[
    str | None,
    typer.Option(
        "--secret",
        metavar="-",
        help="Sign what a webhook is sent; the secret is read from standard input.",
        show_default=False,
    ),
]
Rearm = Annotated[
    float | None,
    typer.Option(
        "--rearm",
        metavar="MINUTES",
        help="Of values: tell again in the same attempt after so long; else it is told once.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What to call it.", show_default=False)
]

REARMED = frozenset({"above", "below", "nonfinite"})
"""What a rule may wait for that has a value told again in one attempt."""


def condition_of(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is asked for by one of the options; None where none of them is given.

    Raises:
        InvalidArgumentError: Several are, or a bound is no number.
    """
    chosen = {when: value for when, value in given.items() if value is not None}
    if not chosen:
        return None
    if len(chosen) != 1:
        raise _not_one(len(chosen))
    ((when, value),) = chosen.items()
    if when in {"above", "below"}:
        metric, _, bound = value.rpartition("=")
        try:
            return {"when": when, "metric": metric, "bound": float(bound)}
        except ValueError:
            remedy = "write a metric, = and a number, as val/loss=3"
            raise InvalidArgumentError(f"--{when} {value!r}: {remedy}") from None
    beside = {"silent": "minutes", "nonfinite": "metric", "alert": "level"}
    return {"when": when, **({beside[when]: None if value == "" else value} if when in beside else {})}


def needed_condition(given: Mapping[str, Any]) -> dict[str, Any]:
    """Do as `condition_of`, where there must be one."""
    condition = condition_of(given)
    if condition is None:
        raise _not_one(0)
    return condition


def destination_of(given: Mapping[str, str | None], secret: str | None) -> dict[str, str] | None:
    """Return whom a rule tells; what is secret is read from standard input, where the command line says so.

    None where nobody is named.

    Raises:
        InvalidArgumentError: Several are named, or the secret stands on the command line, or goes with nobody.
    """
    chosen = {kind: value for kind, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise _not_one_place(len(chosen))
    if secret not in {None, "-"}:
        raise InvalidArgumentError(
            "--secret takes only -, and reads the secret from standard input: others see command lines"
        )
    if not chosen:
        if secret is not None:
            raise InvalidArgumentError("--secret is for a webhook: give its URL with --webhook, too")
        return None
    ((kind, value),) = chosen.items()
    place = sys.stdin.readline().strip() if value == "-" else value
    to = {"kind": kind, "address" if kind == "mail" else "url": place}
    return to if secret is None else {**to, "secret": sys.stdin.readline().strip()}


def needed_destination(given: Mapping[str, str | None], secret: str | None) -> dict[str, str]:
    """Do as `destination_of`, where somebody must be named."""
    if not any(value is not None for value in given.values()):
        raise _not_one_place(0)
    to = destination_of(given, secret)
    if to is None:
        raise _not_one_place(0)
    return to


def waits_for(rule: Mapping[str, Any]) -> str:
    """Return what a rule waits for, in a few words."""
    when, metric = rule["when"], rule["metric"]
    waits = {
        "above": f"{metric} > {rule['bound']}",
        "below": f"{metric} < {rule['bound']}",
        "nonfinite": f"NaN in {metric or 'any metric'}",
        "silent": f"silent for {rule['minutes']} min",
        "alert": f"alert: {rule['level']} or above",
    }
    return waits.get(when, str(when))


def _not_one(count: int) -> InvalidArgumentError:
    options = "--failed, --silent, --above, --below, --nan or --alert"
    return InvalidArgumentError(f"a rule waits for one thing: give one of {options}, and not {count}")


def _not_one_place(count: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"a rule tells one place: give one of --webhook, --slack or --mail, and not {count}"
    )
