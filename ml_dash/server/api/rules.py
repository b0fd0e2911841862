"""Rules: whom to tell when something happens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.grants import EVERY_OWNER, Scope, check_owner
from ml_dash.server.alerts.guard import RefusedAddressError
from ml_dash.server.alerts.mail import is_mail_address
from ml_dash.server.alerts.rules import (
    ABOVE,
    ALERT,
    BELOW,
    MAIL,
    NONFINITE,
    SILENT,
    WEBHOOK,
    Condition,
    Destination,
    Rule,
)
from ml_dash.server.alerts.telling import firings_of
from ml_dash.server.api import contract
from ml_dash.server.catalogue.records import Search
from ml_dash.server.catalogue.searching import OwnedNames, compiled
from ml_dash.server.http.access import not_found, principal, require
from ml_dash.server.http.bodies import answer
from ml_dash.server.http.query_args import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from ml_dash import shapes
    from ml_dash.server.alerts.service import Alerts
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store

_NEEDED = {
    ABOVE: ("metric", "bound"),
    BELOW: ("metric", "bound"),
    SILENT: ("minutes",),
}
_POSSIBLE = {
    ABOVE: {"metric", "bound", "rearm_minutes"},
    BELOW: {"metric", "bound", "rearm_minutes"},
    NONFINITE: {"metric", "rearm_minutes"},
    SILENT: {"minutes"},
    ALERT: {"level"},
}
_FIELDS = ("metric", "bound", "minutes", "level", "rearm_minutes")


def rule_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes."""
    alerts, run = store.alerts, store.database.run

    def told(rules: Sequence[Rule]) -> list[dict[str, Any]]:
        with store.database.read() as connection:
            fired = firings_of(connection, [rule.id for rule in rules])
        return [{**rule.told(), "fired": fired.get(rule.id, 0)} for rule in rules]

    async def listing(request: web.Request, asked: contract.WhichRules) -> web.Response:
        if asked.owner is not None:
            require(request, asked.owner, Scope.WRITE)
            owners: list[str] | None = [_owner(asked.owner)]
        else:
            writes = principal(request).writes()
            owners = None if EVERY_OWNER in writes else writes
        return answer(request, {"data": await store.query(lambda: told(alerts.stored.all(owners)))})

    def permit(request: web.Request, body: dict[str, Any]) -> None:
        # before all other fields: what they may hold is nothing to tell who may not write
        require(request, _owner(body.get("owner")), Scope.WRITE)

    async def create(request: web.Request, new: shapes.NewRule) -> web.Response:
        condition = _condition(new)
        destination = await _destination(alerts, new.to)
        rearm = None if new.rearm_minutes is None else int(new.rearm_minutes * 60 * NANOSECONDS)
        who = principal(request).name
        await run(_check_filter, store, new)
        rule = Rule("", new.owner, new.name, new.filter, condition, destination, rearm, 0, who)
        made = await run(alerts.stored.add, rule)
        await run(alerts.refresh)
        return answer(request, {**made.told(), "fired": 0}, status=201)

    async def found(request: web.Request) -> Rule:
        id_ = request.match_info["rule"]
        rule = await store.query(alerts.stored.get, id_) if id_.isascii() and id_.isprintable() else None
        if rule is None or not principal(request).may(rule.owner, Scope.READ):
            raise not_found(request)
        require(request, rule.owner, Scope.WRITE)
        return rule

    async def delete(request: web.Request) -> web.Response:
        rule = await found(request)
        deleted = await run(alerts.stored.remove, rule.id)
        await run(alerts.refresh)
        return answer(request, {"deleted": deleted})

    async def test(request: web.Request) -> web.Response:
        problem = await alerts.test(await found(request))
        return answer(request, {"delivered": problem is None, "problem": problem})

    return [
        bind(contract.RULES, listing),
        bind(contract.CREATE_RULE, create, permit=permit),
        bind(contract.DELETE_RULE, delete),
        bind(contract.TEST_RULE, test),
    ]


def _owner(given: object) -> str:
    """Return whose rules a request is about.

    Raises:
        ApiError: 400: nobody can be called so.
    """
    if not isinstance(given, str) or given == EVERY_OWNER:
        raise invalid("owner", given, "name whose experiments it is about: the first part of their prefixes")
    try:
        return check_owner(given)
    except InvalidArgumentError as error:
        raise invalid("owner", given, str(error)) from None


def _condition(new: shapes.NewRule) -> Condition:
    when = new.when
    given = {name for name in _FIELDS if getattr(new, name) is not None}
    for name in _NEEDED.get(when, ()):
        if name not in given:
            raise invalid(name, None, f"a rule for {when!r} needs it")
    if odd := sorted(given - _POSSIBLE.get(when, set())):
        shown = msgspec.to_builtins(getattr(new, odd[0]))
        raise invalid(_json_name(odd[0]), shown, f"it is not for {when!r}: leave it out")
    if new.bound is not None and not math.isfinite(new.bound):
        raise invalid("bound", new.bound, "give a finite number; for NaN and infinities there is 'nonfinite'")
    level = (new.level or "info") if when == ALERT else None
    return Condition(when, new.metric, new.bound, new.minutes, level)


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


async def _destination(alerts: Alerts, to: shapes.Destination) -> Destination:
    """Return whom a rule tells, if it may be told: a host is looked up now, and once more with each message.

    Raises:
        ApiError: 400.
    """
    if to.kind == MAIL:
        if to.url is not None or to.secret is not None:
            raise invalid("to", "…", "mail has an address, and neither a url nor a secret")
        if to.address is None or not is_mail_address(to.address):
            raise invalid("to.address", to.address, "give one address, such as me@example.org")
        if alerts.mail is None:
            raise invalid(
                "to.kind", MAIL, "this server sends no mail: its operator names a mail server by --smtp"
            )
        return Destination(MAIL, to.address)
    if to.url is None or to.address is not None:
        raise invalid("to", "…", f"a {to.kind} has a url, and no address")
    if to.secret is not None and to.kind != WEBHOOK:
        raise invalid("to.secret", "…", "it is for webhooks alone")
    try:
        url = alerts.guard.checked_url(to.url)
        await alerts.guard.addresses_in_time(url)
    except RefusedAddressError as error:
        raise invalid("to.url", "…", str(error)) from None
    except OSError as error:
        raise invalid("to.url", "…", f"its host cannot be looked up: {error}") from None
    return Destination(to.kind, to.url, to.secret)


def _check_filter(store: Store, new: shapes.NewRule) -> None:
    """Refuse a filter that cannot be understood, or that has names which nothing has.

    Raises:
        ApiError: 400, with ``problems``.
    """
    store.lists.bring_in()
    with store.database.read() as connection:
        names = OwnedNames(connection, {new.owner})
        compiled(
            Search(new.filter),
            names,
            "sqlite" if store.database.dialect == "sqlite" else "postgresql",
            store.clock.time_ns(),
            store.settings.stale_after,
        )
