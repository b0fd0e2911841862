"""`ml-dash rule`: whom a server tells of what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import quote

import typer

from ml_dash.cli.commands.telling.options import (
    REARMED,
    Above,
    Alert,
    Below,
    Failed,
    Mail,
    Name,
    Nan,
    Rearm,
    Secret,
    Silent,
    Slack,
    Webhook,
    condition_of,
    destination_of,
    needed_condition,
    needed_destination,
    waits_for,
)
from ml_dash.cli.output import Screen, table
from ml_dash.cli.place import print_outcome
from ml_dash.cli.select import AsJson
from ml_dash.cli.text import complain, print_json
from ml_dash.errors import NEWER, ChangedMeanwhileError, InvalidArgumentError, MLDashError, RemoteError
from ml_dash.identity import current_user
from ml_dash.protocol import API
from ml_dash.query.listing.filters import parse
from ml_dash.query.patterns import is_pattern
from ml_dash.visible import visible

if TYPE_CHECKING:
    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call

rule = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Make, list, change, test and remove a server's rules.",
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
_TERMS = ("name", "filter", "when", "metric", "bound", "minutes", "level", "rearmMinutes")
"""What a rule is, besides whom it tells: a change gives all of it anew."""
_OF_CONDITION = ("when", "metric", "bound", "minutes", "level")


class _Deed(NamedTuple):
    """What became of one rule: why it could not be done, and what `--json` has of it beside its id."""

    problem: str | None = None
    record: Mapping[str, Any] = {}


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
    failed: Failed = False,
    silent: Silent = None,
    above: Above = None,
    below: Below = None,
    nan: Nan = None,
    alert: Alert = None,
    webhook: Webhook = None,
    slack: Slack = None,
    mail: Mail = None,
    secret: Secret = None,
    rearm: Rearm = None,
    name: Name = None,
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
    condition = needed_condition({**waits, "alert": alert})
    to = needed_destination({"webhook": webhook, "slack": slack, "mail": mail}, secret)
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


@rule.command("change")
def _change(
    ids: _RuleIds,
    *,
    filter: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="Which experiments, such as 'alice/vision/** tag:sweep'; '' is all of the owner's.",
            show_default=False,
        ),
    ] = None,
    failed: Failed = False,
    silent: Silent = None,
    above: Above = None,
    below: Below = None,
    nan: Nan = None,
    alert: Alert = None,
    webhook: Webhook = None,
    slack: Slack = None,
    mail: Mail = None,
    secret: Secret = None,
    rearm: Rearm = None,
    once: Annotated[
        bool, typer.Option("--once", help="Of values: tell once an attempt, and not again.")
    ] = False,
    name: Name = None,
    if_version: Annotated[
        int | None,
        typer.Option(
            "--if-version",
            metavar="N",
            min=1,
            help="Only where it is still of this version, as `ls --json` has it.",
            show_default=False,
        ),
    ] = None,
    url: _AtServer = None,
    as_json: AsJson = False,
) -> None:
    """Change what rules wait for, whom they tell, and what they are called; what is not given stays.

    Where somebody else has changed one meanwhile, it stays as it is, and you are told what it is now.
    """
    waits = {"failed": failed or None, "silent": silent, "above": above, "below": below, "nonfinite": nan}
    condition = condition_of({**waits, "alert": alert})
    if once and rearm is not None:
        raise InvalidArgumentError(
            "--once and --rearm say two things of how often it tells: give one of them"
        )
    if if_version is not None and len(ids) > 1:
        raise InvalidArgumentError(
            f"--if-version is of one rule, and {len(ids)} are named: change them one by one"
        )
    to = destination_of({"webhook": webhook, "slack": slack, "mail": mail}, secret)
    given = {"filter": filter, "name": name, "rearmMinutes": rearm}
    news = {key: value for key, value in given.items() if value is not None}
    if not (news or once or condition or to):
        raise InvalidArgumentError(
            "nothing is to be changed: give what is, such as --filter, --above, --rearm, --name or --webhook"
        )
    with _server(url) as (client, call):
        known = {each["id"]: each for each in call(client.get(f"{API}/rules"))["data"]}

        def change(id_: str) -> _Deed:
            if id_ not in known:
                raise RemoteError(
                    f"the rule {id_!r} does not exist at {client.url}, or this token may not change it: `ml-dash rule "
                    "ls` lists those that it may"
                )
            terms = _changed(known[id_], condition, news, once=once)
            version = known[id_]["version"] if if_version is None else if_version
            body = terms if to is None else {**terms, "to": to}
            return _Deed(record=_put(client, call, id_, version, body))

        _each(ids, change, ("changed", "not changed"), as_json=as_json)


@rule.command("test")
def _test(ids: _RuleIds, *, url: _AtServer = None, as_json: AsJson = False) -> None:
    """Send a message that says that it is a test, and say whether it was taken."""
    with _server(url) as (client, call):

        def test(id_: str) -> _Deed:
            problem = call(client.post(_path(id_, "/test"), {})).get("problem")
            return _Deed(None if problem is None else str(problem))

        _each(ids, test, ("delivered", "not delivered"), as_json=as_json)


@rule.command("rm")
def _remove(ids: _RuleIds, *, url: _AtServer = None, as_json: AsJson = False) -> None:
    """Remove rules; what they have not told yet is not told."""
    with _server(url) as (client, call):

        def remove(id_: str) -> _Deed:
            call(client.delete(_path(id_)))
            return _Deed()

        _each(ids, remove, ("removed", "not removed"), as_json=as_json)


def _each(ids: Sequence[str], do: Callable[[str], _Deed], said: tuple[str, str], *, as_json: bool) -> None:
    """Do something to each rule, and tell it; what is refused ends it."""
    done: list[Mapping[str, Any]] = []
    failed: list[Mapping[str, Any]] = []
    try:
        for id_ in ids:
            try:
                problem, record = do(id_)
            except MLDashError as error:
                failed.append({"id": id_, "reason": str(error)})
                raise
            if problem is None:
                done.append({"id": id_, **record})
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


def _changed(
    rule: Mapping[str, Any], condition: Mapping[str, Any] | None, news: Mapping[str, Any], *, once: bool
) -> dict[str, Any]:
    """Return what a rule is to be from now on, as far as anything is said of it."""
    terms = {name: rule[name] for name in _TERMS}
    if condition is not None:
        terms |= {**dict.fromkeys(_OF_CONDITION), **condition}
        if terms["when"] not in REARMED:
            terms["rearmMinutes"] = None
    terms |= news
    if once:
        terms["rearmMinutes"] = None
    return {name: value for name, value in terms.items() if value is not None}


def _put(client: Client, call: Call, id_: str, version: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """Change one version of a rule; return what it is now.

    Raises:
        ChangedMeanwhileError: It is of another version.
        RemoteError: The server refuses it, or is of a version that changes none.
    """
    from ml_dash.client.transport import ServerError
    from ml_dash.journal.objects import to_msgpack
    from ml_dash.protocol import MSGPACK, ErrorCode

    match = {"If-Match": f'"{version}"'}
    try:
        changed: dict[str, Any] = call(client.put_value(_path(id_), to_msgpack(body), MSGPACK, headers=match))
    except ServerError as error:
        if error.code == ErrorCode.CHANGED:
            raise ChangedMeanwhileError(
                _conflict(id_, error.message, error.details.get("current"))
            ) from error
        if error.code == ErrorCode.NO_ROUTE or error.status == 405:
            raise RemoteError(
                f"{client.url} has a version of ML-Dash that changes no rules: remove this one and make it anew, or "
                f"there, {NEWER}"
            ) from error
        raise
    return changed


def _conflict(id_: str, message: str, current: Any) -> str:
    """Return what is said to who comes second: what the first one has made of the rule."""
    try:
        name, to = current["name"], current["to"]
        where = f" in {current['filter']}" if current["filter"] else ""
        now = (
            f"It is called {name!r} now, waits for {waits_for(current)}{where}, tells {to['kind']} {to['shown']}, and "
            f"is of version {current['version']}"
        )
    except (KeyError, TypeError):
        now = "`ml-dash rule ls` shows what it is now"
    return visible(f"{id_}: {message}. {now}. Nothing was changed")


@contextmanager
def _server(url: str | None) -> Iterator[tuple[Client, Call]]:
    # not at the top: aiohttp takes a fifth of a second, which reading this disk need not wait for
    from ml_dash.cli.remote import open_line
    from ml_dash.client.destination import default_url

    with open_line(url or default_url(), named=url is not None) as line:
        yield line


def _path(id_: str, more: str = "") -> str:
    return f"{API}/rules/{quote(id_, safe='')}{more}"


def _owner_of(filter: str) -> str:
    """Return whose experiments are meant: those that a pattern of the filter begins with, else the user's."""
    owners = [glob.split("/")[0] for glob in parse(filter).globs if "/" in glob]
    plain = [owner for owner in owners if not is_pattern(owner)]
    return plain[0] if plain else current_user()


def _row(found: Mapping[str, Any]) -> list[str]:
    to = found["to"]
    return [
        found["id"],
        found["owner"],
        found["filter"],
        waits_for(found),
        f"{to['kind']} {to['shown']}",
        f"{found['fired']:,}",
        found["problem"] or "",
    ]
