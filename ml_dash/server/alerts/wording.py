"""What a message says: as JSON for programs, and as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.query.times import iso_time
from ml_dash.server.alerts.rules import ABOVE, ALERT, BELOW, FAILED, NONFINITE, SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.server.alerts.rules import Rule

TOLD_FIRINGS = 10
"""Firings that a message tells one by one; of the others, how many there are."""
_LINE_CHARACTERS = 300


class Firing(NamedTuple):
    """Something that has made a rule fire, and where."""

    experiment_id: str
    prefix: str
    url: str | None
    fired_ns: int
    times: int
    details: dict[str, Any]


def body_of(
    message_id: str, rule: Rule, firings: Sequence[Firing], count: int, runs: int, now_ns: int
) -> dict[str, Any]:
    """Return what a webhook is sent; see docs/alerts.md."""
    return {
        "id": message_id,
        "test": not firings,
        "rule": {
            "id": rule.id,
            "owner": rule.owner,
            "name": rule.name,
            "filter": rule.filter,
            **rule.condition._asdict(),
        },
        "sentAt": iso_time(now_ns),
        "count": count,
        "experiments": runs,
        "title": _title(rule, firings, count, runs),
        "firings": [
            {
                "experiment": {"id": each.experiment_id, "prefix": each.prefix, "url": each.url},
                "firedAt": iso_time(each.fired_ns),
                "count": each.times,
                "summary": _line(rule, each),
                **each.details,
            }
            for each in firings
        ],
    }


def text_of(body: dict[str, Any]) -> str:
    """Return a message as text: a line for each firing."""
    lines = [body["title"]]
    for each in body["firings"]:
        where = each["experiment"]
        lines.append(
            f"- {where['prefix']}: {each['summary']}" + (f"\n  {where['url']}" if where["url"] else "")
        )
    told = sum(each["count"] for each in body["firings"])
    if body["count"] > told:
        lines.append(f"- and {body['count'] - told:,} more")
    return "\n".join(lines)


def slack_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return a message as Slack's incoming webhooks take it."""
    lines = [f"*{_slack(body['title'])}*"]
    for each in body["firings"]:
        where = each["experiment"]
        name = _slack(where["prefix"])
        shown = f"<{where['url']}|{name}>" if where["url"] else f"`{name}`"
        lines.append(f"• {shown}: {_slack(each['summary'])}")
    told = sum(each["count"] for each in body["firings"])
    if body["count"] > told:
        lines.append(f"• and {body['count'] - told:,} more")
    return {"text": "\n".join(lines)}


def _slack(text: str) -> str:
    # https://api.slack.com/reference/surfaces/formatting#escaping: else <!channel> in a title would call everybody
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _title(rule: Rule, firings: Sequence[Firing], count: int, runs: int) -> str:
    if not firings:
        return f"Test of the rule {one_line(rule.name)}: messages arrive here"
    name = f"[{one_line(rule.name)}] "
    if count == 1:
        return f"{name}{firings[0].prefix}: {_line(rule, firings[0])}"
    where = firings[0].prefix if runs == 1 else f"{runs:,} experiments"
    return f"{name}{count:,} times in {where}: {one_line(rule.condition.text)}"


def _line(rule: Rule, firing: Firing) -> str:
    details, when = firing.details, rule.condition.when
    if when in {ABOVE, BELOW, NONFINITE}:
        step = "" if details.get("step") is None else f" at step {details['step']:,}"
        bound = (
            f" ({'above' if when == ABOVE else 'below'} {rule.condition.bound:g})"
            if when != NONFINITE
            else ""
        )
        return one_line(f"{details.get('metric')} is {details.get('value'):g}{step}{bound}")
    if when == FAILED:
        return one_line(f"failed: {details.get('error') or 'no error was told'}")
    if when == SILENT:
        return f"nothing has come since {details.get('since')}, and the run has not ended"
    assert when == ALERT  # noqa: S101 - for the reader: there is no other
    more = f" ({firing.times:,} times)" if firing.times > 1 else ""
    text = f": {details['text']}" if details.get("text") else ""
    return one_line(f"{details.get('level')}: {details.get('title')}{text}{more}")


def one_line(text: str) -> str:
    """Return a text on one line, without what a terminal or a header would obey, and not too long."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return plain if len(plain) <= _LINE_CHARACTERS else f"{plain[: _LINE_CHARACTERS - 1]}…"
