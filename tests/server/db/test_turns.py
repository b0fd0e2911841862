"""Limits that hold for two who ask at once, on a database that runs transactions side by side."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import func, select

from ml_dash.server.accounts.browser_sessions import StoreSessions
from ml_dash.server.accounts.device_logins import Begun, DeviceLogins
from ml_dash.server.accounts.grants import Principal
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.alerts.rules import ABOVE, WEBHOOK, Condition, Destination, Rule
from ml_dash.server.catalogue.saved_views import StoredViews
from ml_dash.server.catalogue.shelves import EVERYBODY, NewSavedView, Shelf
from ml_dash.server.db.tables import SESSIONS
from ml_dash.server.errors import ApiError
from ml_dash.server.store import Store
from tests.support.at_once import at_once
from tests.support.postgres import on_postgresql

pytestmark = on_postgresql
SHELF = Shelf("alice", "vision", EVERYBODY)


def test_the_last_rule_of_an_owner_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.alerts.rules.RULES_MAX", 1)
    rule = Rule(
        "", "alice", "r", "", Condition(ABOVE, "loss", 1.0), Destination(WEBHOOK, "https://example.org"), None, 0, "a"
    )  # fmt: skip
    made, refused = at_once(
        store.database, partial(store.alerts.stored.add, rule), partial(store.alerts.stored.add, rule)
    )
    assert isinstance(made, Rule)
    assert isinstance(refused, ApiError)
    assert len(store.alerts.stored.all()) == 1


def test_the_last_view_of_a_shelf_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.catalogue.saved_views.VIEWS_MAX", 1)
    views = StoredViews(store.database, store.clock)
    new = NewSavedView("v", 1, default=False, state={})
    _, refused = at_once(
        store.database,
        partial(views.put, SHELF, "a", new, None, "me"),
        partial(views.put, SHELF, "b", new, None, "me"),
    )
    assert isinstance(refused, ApiError)
    assert [each["id"] for each in views.all(SHELF)] == ["a"]


def test_of_two_views_that_become_the_default_at_once_one_is(store: Store) -> None:
    views = StoredViews(store.database, store.clock)
    new = NewSavedView("v", 1, default=True, state={})
    at_once(
        store.database,
        partial(views.put, SHELF, "a", new, None, "me"),
        partial(views.put, SHELF, "b", new, None, "me"),
    )
    assert [(each["id"], each["default"]) for each in views.all(SHELF)] == [("a", False), ("b", True)]


def test_logins_under_way_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.accounts.device_logins._PENDING_MAX", 1)
    logins = DeviceLogins(Tokens(store.database), store.clock)
    begin = partial(logins.begin, "a device", "127.0.0.1", {})
    begun, refused = at_once(store.database, begin, begin)
    assert isinstance(begun, Begun)
    assert refused is None


def test_a_token_has_so_many_sessions_at_most(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.accounts.browser_sessions._MOST", 1)
    tokens = Tokens(store.database)
    record = tokens.create("mine", {}, admin=True).record
    sessions = StoreSessions(tokens, "a server")
    who = Principal(record.token_id, "mine", admin=True, grants={})
    at_once(store.database, partial(sessions._insert, "one", who), partial(sessions._insert, "another", who))
    with store.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(SESSIONS)).scalar_one() == 1


def test_servers_that_start_at_once_have_one_first_token(store: Store) -> None:
    tokens = Tokens(store.database)
    first, second = at_once(store.database, tokens.first_token, tokens.first_token)
    assert isinstance(first, str)
    assert second is None
    assert len(tokens.list()) == 1
