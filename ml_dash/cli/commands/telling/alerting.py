"""`ml-dash alerts`: what scripts have said by `exp.alert`; `ml-dash rule`: whom a server tells of what."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ml_dash.cli.one_view import open_view
from ml_dash.cli.output import Screen, table
from ml_dash.cli.overview import report_damage
from ml_dash.cli.place import print_outcome
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, ExperimentName, Root, ServerOption
from ml_dash.cli.text import complain, local_time, print_json
from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.identity import current_user
from ml_dash.protocol import API
from ml_dash.query.listing.filters import parse
from ml_dash.query.patterns import is_pattern
from ml_dash.query.times import iso_ns
from ml_dash.query.view import View
from ml_dash.visible import visible

if TYPE_CHECKING:
    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call

rule = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Make, list, test and remove a server's rules.",
)
_AtServer = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The server; by default that of ML_DASH_API_URL, or https://api.dash.ml.",
        show_default=False,
    ),
]
_RuleIds = Annotated[list[str], typer.Argument(metavar="ID...", help="As `ls` shows it: rul_….")]
_AT_ONCE = 1000
_STYLES = {"warning": "yellow", "error": "red"}


def alerts(
    exp: ExperimentName,
    *,
    level: Annotated[
        str | None,
        typer.Option("--level", metavar="LEVEL", help="Only info, warning or error.", show_default=False),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search", metavar="TEXT", help="Only with this in the title or the text.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=1, help="How many of the last ones to show.")
    ] = 100,
    root: Root = DEFAULT_ROOT,
    url: ServerOption = None,
    as_json: AsJson = False,
) -> None:
    """Print what a script has said by exp.alert, the newest last."""
    from rich.text import Text

    with open_view(exp, root, url) as viewed:
        total, rows = _last(viewed.view, level, search, count)
    if as_json:
        print_json({"prefix": viewed.prefix, "total": total, "alerts": rows})
    elif not rows:
        complain("no alerts")
    else:
        lines: list[list[str | Text]] = [
            [
                local_time(iso_ns(row["timestamp"]) or 0),
                Text(visible(str(row["level"])), _STYLES.get(str(row["level"]), "")),
                str(row["title"]),
                str(row["text"]) + (f"  ({row['held']} more were held back)" if row["held"] else ""),
            ]
            for row in rows
        ]
        Screen().show(table(["time", "level", "title", "text"], lines))
        if total > len(rows):
            complain(f"the last {len(rows):,} of {total:,}: -n shows more")
    if report_damage(viewed.damage):
        raise typer.Exit(1)


def _last(view: View, level: str | None, search: str | None, count: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many there are, and the last of them."""
    total = view.alerts(level, search, 0, 0)["total"]
    is_all = level is None and search is None
    # an index is a row's place among all: which are the last of some is known when all were looked at
    start = max(0, total - count) if is_all else 0
    rows: deque[dict[str, Any]] = deque(maxlen=count)
    while True:
        page = view.alerts(level, search, start, _AT_ONCE)
        rows.extend(page["data"])
        if not page["hasMore"]:
            return total, list(rows)
        start = page["endIndex"] + 1


@rule.command("add")
def _add(
    filter: Annotated[
        str,
        typer.Argument(
            metavar="[FILTER]",
            help="Which experiments, such as 'alice/vision/** tag:sweep'; all of the owner's, where it is left out.",
            show_default=False,
        ),
    ] = "",
    *,
    failed: Annotated[bool, typer.Option("--failed", help="A run has failed.")] = False,
    silent: Annotated[
        float | None,
        typer.Option(
            "--silent",
            metavar="MINUTES",
            help="For so long nothing has come of a run that has not ended.",
            show_default=False,
        ),
    ] = None,
    above: Annotated[
        str | None,
        typer.Option(
            "--above", metavar="METRIC=BOUND", help="A value is above it: val/loss=3.", show_default=False
        ),
    ] = None,
    below: Annotated[
        str | None,
        typer.Option(
            "--below", metavar="METRIC=BOUND", help="A value is below it: val/acc=0.1.", show_default=False
        ),
    ] = None,
    nan: Annotated[
        str | None,
        typer.Option(
            "--nan",
            metavar="METRIC",
            help="A value is NaN or infinite; '' is any metric.",
            show_default=False,
        ),
    ] = None,
    alert: Annotated[
        str | None,
        typer.Option(
            "--alert",
            metavar="LEVEL",
            help="A script calls exp.alert with this level or above: info, warning or error.",
            show_default=False,
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook",
            metavar="URL",
            help="Send JSON there; - reads the URL from standard input.",
            show_default=False,
        ),
    ] = None,
    slack: Annotated[
        str | None,
        typer.Option(
            "--slack",
            metavar="URL",
            help="Tell Slack, by an incoming webhook; - reads its URL from standard input.",
            show_default=False,
        ),
    ] = None,
    mail: Annotated[
        str | None, typer.Option("--mail", metavar="ADDRESS", help="Send mail.", show_default=False)
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret",
            metavar="-",
            help="Sign what a webhook is sent; the secret is read from standard input.",
            show_default=False,
        ),
    ] = None,
    rearm: Annotated[
        float | None,
        typer.Option(
            "--rearm",
            metavar="MINUTES",
            help="Of values: tell again in the same attempt after so long; else it is told once.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it.", show_default=False)
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="OWNER",
            help="Whose experiments; by default the one that FILTER begins with, else you.",
            show_default=False,
        ),
    ] = None,
    url: _AtServer = None,
    as_json: AsJson = False,
) -> None:
    """Make a rule: one thing that it waits for, and one place that it tells."""
    waits = {"failed": failed or None, "silent": silent, "above": above, "below": below, "nonfinite": nan}
    condition = _condition({**waits, "alert": alert})
    to = _destination({"webhook": webhook, "slack": slack, "mail": mail}, secret)
    said = {
        **condition,
        "filter": filter,
        "owner": owner or _owner_of(filter),
        "rearmMinutes": rearm,
        "to": to,
    }
    said["name"] = name or " ".join(filter_ for filter_ in (condition["when"], filter) if filter_)[:200]
    with _server(url) as (client, call):
        made = call(
            client.post(f"{API}/rules", {key: value for key, value in said.items() if value is not None})
        )
    if as_json:
        print_json(made)
    else:
        complain(f"Made the rule {made['id']}: `ml-dash rule test {made['id']}` sends a message to try it")
        typer.echo(made["id"])


@rule.command("ls")
def _list(*, url: _AtServer = None, as_json: AsJson = False) -> None:
    """List the rules of the owners whose experiments you may write."""
    with _server(url) as (client, call):
        found = call(client.get(f"{API}/rules"))["data"]
    if as_json:
        print_json(found)
    elif not found:
        complain("no rules: `ml-dash rule add` makes one")
    else:
        columns = ["id", "owner", "filter", "waits for", "tells", ">fired", "problem"]
        Screen().show(table(columns, [_row(each) for each in found]))


@rule.command("test")
def _test(ids: _RuleIds, *, url: _AtServer = None, as_json: AsJson = False) -> None:
    """Send a message that says that it is a test, and say whether it was taken."""
    with _server(url) as (client, call):

        def test(id_: str) -> str | None:
            problem = call(client.post(_path(id_, "/test"), {})).get("problem")
            return None if problem is None else str(problem)

        _each(ids, test, ("delivered", "not delivered"), as_json=as_json)


@rule.command("rm")
def _remove(ids: _RuleIds, *, url: _AtServer = None, as_json: AsJson = False) -> None:
    """Remove rules; what they have not told yet is not told."""
    with _server(url) as (client, call):

        def remove(id_: str) -> None:
            call(client.delete(_path(id_)))

        _each(ids, remove, ("removed", "not removed"), as_json=as_json)


def _each(
    ids: Sequence[str], do: Callable[[str], str | None], said: tuple[str, str], *, as_json: bool
) -> None:
    """Do something to each rule, and tell it; `do` returns why it could not be done, and what is refused ends it."""
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    try:
        for id_ in ids:
            try:
                problem = do(id_)
            except MLDashError as error:
                failed.append({"id": id_, "reason": str(error)})
                raise
            if problem is None:
                done.append({"id": id_})
            else:
                failed.append({"id": id_, "reason": problem})
            if not as_json:
                typer.echo(visible(f"{id_}: {said[0] if problem is None else f'{said[1]}: {problem}'}"))
    finally:
        # also of those before the one that is refused
        if as_json:
            print_outcome(ids, done, failed)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _server(url: str | None) -> Iterator[tuple[Client, Call]]:
    # not at the top: aiohttp takes a fifth of a second, which reading this disk need not wait for
    from ml_dash.cli.remote import open_line
    from ml_dash.client.destination import default_url

    with open_line(url or default_url(), named=url is not None) as line:
        yield line


def _path(id_: str, more: str = "") -> str:
    return f"{API}/rules/{quote(id_, safe='')}{more}"


def _condition(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked for by one of the options.

    Raises:
        InvalidArgumentError: It is none of them, or several, or a bound is no number.
    """
    chosen = {when: value for when, value in given.items() if value is not None}
    if len(chosen) != 1:
        options = "--failed, --silent, --above, --below, --nan or --alert"
        raise InvalidArgumentError(
            f"a rule waits for one thing: give one of {options}, and not {len(chosen)}"
        )
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


def _destination(given: Mapping[str, str | None], secret: str | None) -> dict[str, str]:
    """Return whom a rule tells; what is secret is read from standard input, where the command line says so.

    Raises:
        InvalidArgumentError: It is nobody, or several, or the secret stands on the command line.
    """
    chosen = {kind: value for kind, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise InvalidArgumentError(
            f"a rule tells one place: give one of --webhook, --slack or --mail, and not {len(chosen)}"
        )
    ((kind, value),) = chosen.items()
    if secret not in {None, "-"}:
        raise InvalidArgumentError(
            "--secret takes only -, and reads the secret from standard input: others see command lines"
        )
    place = sys.stdin.readline().strip() if value == "-" else value
    to = {"kind": kind, "address" if kind == "mail" else "url": place}
    return to if secret is None else {**to, "secret": sys.stdin.readline().strip()}


def _owner_of(filter: str) -> str:
    """Return whose experiments are meant: those that a pattern of the filter begins with, else the user's."""
    owners = [glob.split("/")[0] for glob in parse(filter).globs if "/" in glob]
    plain = [owner for owner in owners if not is_pattern(owner)]
    return plain[0] if plain else current_user()


def _row(found: Mapping[str, Any]) -> list[str]:
    when, metric = found["when"], found["metric"]
    waits = {
        "above": f"{metric} > {found['bound']}",
        "below": f"{metric} < {found['bound']}",
        "nonfinite": f"NaN in {metric or 'any metric'}",
        "silent": f"silent for {found['minutes']} min",
        "alert": f"alert: {found['level']} or above",
    }
    to = found["to"]
    return [
        found["id"],
        found["owner"],
        found["filter"],
        waits.get(when, str(when)),
        f"{to['kind']} {to['shown']}",
        f"{found['fired']:,}",
        found["problem"] or "",
    ]
