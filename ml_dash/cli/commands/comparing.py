"""`ml-dash diff` and `ml-dash best`: experiments beside one another, and what the best of them have reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from enum import Enum
from typing import Annotated, Any

import typer

from ml_dash.cli.comparison import ABSENT, best_value, json_of, pairs_of, ranked_of, side_of, summaries_of
from ml_dash.cli.one_view import Viewed, open_view
from ml_dash.cli.output import Screen, table
from ml_dash.cli.overview import report_damage
from ml_dash.cli.place import FilterText, PlaceUrl, open_place
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, Root
from ml_dash.cli.text import complain, print_json, value_text
from ml_dash.errors import InvalidArgumentError
from ml_dash.query.listing.definitions import BestValue, checked_best
from ml_dash.query.listing.listed import Best, ListedExperiment
from ml_dash.query.listing.naming import nearest, title_of

_SHOWN = 10


class Mode(str, Enum):
    """Which value is the best."""

    max = "max"
    min = "min"
    last = "last"


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="An experiment.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what is equal, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show in what two experiments differ.

    That is: parameters, what surrounded their newest runs (code, packages, machine), and the last and best values of
    their metrics.
    """
    with ExitStack() as stack:
        sides = [stack.enter_context(open_view(name, root, url)) for name in (first, second)]
        a, b = (side_of(each) for each in sides)
        damage = [found for each in sides for found in each.damage]
    sections = {
        "params": pairs_of(a.params, b.params, everything=everything),
        "environment": pairs_of(a.environment, b.environment, everything=everything),
        "metrics": pairs_of(a.metrics, b.metrics, everything=everything),
    }
    if as_json:
        print_json(
            {"a": a.prefix, "b": b.prefix, **{name: json_of(pairs) for name, pairs in sections.items()}}
        )
    else:
        _show(a.prefix, b.prefix, sections)
    if report_damage(damage):
        raise typer.Exit(1)


def best(
    exp: Annotated[
        str,
        typer.Argument(metavar="EXP", help="An experiment, or a pattern such as 'alice/sweep/**'."),
    ],
    title: Annotated[str, typer.Argument(metavar="METRIC", help="A metric's field, such as val/acc.")],
    *,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            "-m",
            help="Which is the best; else as it was defined, or as the name tells.",
            show_default=False,
        ),
    ] = None,
    filter: FilterText = None,
    count: Annotated[
        int, typer.Option("--lines", metavar="N", min=1, help="Of a pattern: how many of the best.")
    ] = _SHOWN,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print the best value of a metric, and its step.

    Of a pattern, the experiments that have reached the best ones, the best of all first.
    """
    wanted: Best | None = None if mode is None else checked_best(mode.value, "--mode")
    if "*" not in exp and filter is None:
        with open_view(exp, root, url) as viewed:
            found = _best_of_one(viewed, title, wanted)
        if as_json:
            print_json({"prefix": viewed.prefix, "metric": title, "value": found.value, "step": found.step})
        else:
            typer.echo(f"{value_text(found.value, exact=True)}{_at(found)}")
        return
    with open_place(root, url) as place:
        listed = place.find(exp, filter)
        if not listed:
            raise InvalidArgumentError(
                f"no experiment in {place.where!r} is meant by that: {place.hint('ls')} lists all"
            )
    ranked = ranked_of(listed, title, wanted)
    if not ranked:
        raise InvalidArgumentError(
            f"none of {len(listed):,} experiments has numbers of {title!r}: {_known(listed, title)}"
        )
    if as_json:
        print_json(
            [
                {"prefix": prefix, "metric": title, "value": found.value, "step": found.step}
                for prefix, found in ranked[:count]
            ]
        )
        return
    rows = [[prefix, value_text(found.value), _step_text(found)] for prefix, found in ranked[:count]]
    Screen().show(table(["experiment", f">{title}", ">step"], rows))
    if len(ranked) > count:
        complain(f"and {len(ranked) - count:,} more: --lines N shows N of them")


# --- two beside one another


def _show(a: str, b: str, sections: Mapping[str, Mapping[str, tuple[Any, Any]]]) -> None:
    screen = Screen()
    for name, pairs in sections.items():
        if not pairs:
            complain(f"{name}: no difference")
            continue
        rows = list(_metric_rows(pairs)) if name == "metrics" else _rows(pairs)
        screen.show(table([name, a, b], rows))


def _rows(pairs: Mapping[str, tuple[Any, Any]]) -> list[list[str]]:
    return [[name, _cell(a), _cell(b)] for name, (a, b) in pairs.items()]


def _metric_rows(pairs: Mapping[str, tuple[Any, Any]]) -> Iterator[list[str]]:
    for name, (a, b) in pairs.items():
        for what in ("last", "best"):
            cells = [_cell(each.get(what, ABSENT) if isinstance(each, dict) else ABSENT) for each in (a, b)]
            if any(cell != ABSENT for cell in cells):
                yield [f"{what}({name})", *cells]


def _cell(value: Any) -> str:
    return ABSENT if value is ABSENT or value is None else value_text(value)


# --- the best


def _best_of_one(viewed: Viewed, title: str, wanted: Best | None) -> BestValue:
    fields = {
        title_of(name, field): (name, field, summary)
        for name, found in summaries_of(viewed).items()
        for field, summary in found.items()
    }
    if title not in fields:
        near = nearest(title, fields) or list(fields)[:_SHOWN]
        hint = f"did you mean {', '.join(near)}?" if near else "it has logged no metric"
        raise InvalidArgumentError(f"{viewed.prefix} has no {title!r}: {hint}")
    name, field, summary = fields[title]
    found = best_value(name, field, summary, wanted, viewed.view.definitions().get((name, field)))
    if found is None:
        raise InvalidArgumentError(f"{title!r} of {viewed.prefix} has no numbers")
    return found


def _known(listed: Sequence[ListedExperiment], title: str) -> str:
    titles = {
        title_of(name, field) for each in listed for name, fields in each.metrics.items() for field in fields
    }
    near = nearest(title, titles) or sorted(titles)[:_SHOWN]
    return f"did you mean {', '.join(near)}?" if near else "they have logged no metric"


def _at(found: BestValue) -> str:
    return "" if found.step is None else f" at step {_step_text(found)}"


def _step_text(found: BestValue) -> str:
    return "-" if found.step is None else value_text(found.step, exact=True)
