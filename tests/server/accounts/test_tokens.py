"""Tokens in the database: made, found, expired, revoked."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.server.accounts.grants import Principal, Scope
from ml_dash.server.accounts.token_records import FRESH_SECONDS, CreatedToken
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.db.database import Database
from tests.support.account_serving import Hands
from tests.support.postgres import both_databases
from tests.support.statements import statements

DAY = 86_400


def test_a_token_has_256_random_bits_behind_its_prefix(tokens: Tokens) -> None:
    secrets = {tokens.create("t", {"alice": Scope.READ}).token for _ in range(20)}
    assert len(secrets) == 20
    assert all(re.fullmatch(r"mld_[A-Za-z0-9_-]{43}", token) for token in secrets)


@both_databases
def test_a_token_is_found_with_all_it_may_do(tokens: Tokens) -> None:
    created = tokens.create("bob's", {"bob": Scope.WRITE, "*": Scope.READ}, expires_in=DAY)
    found = tokens.find(created.token)
    assert found == created.record.principal()
    assert found is not None
    assert (found.name, found.admin, found.grants) == ("bob's", False, {"bob": Scope.WRITE, "*": Scope.READ})
    assert found.expires_ns == found.created_ns + DAY * 10**9


def test_the_database_holds_no_token_in_any_form(tokens: Tokens, tmp_path: Path) -> None:
    """Not in a table, and in no byte of the files, the write-ahead log included."""
    secrets = [tokens.first_token(), tokens.create("a", {"a": Scope.READ}).token]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        for token in secrets:
            assert token is not None
            assert token[4:].encode() not in content
            assert token[4:20].encode() not in content


def test_a_created_token_does_not_show_itself(tokens: Tokens) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    assert created.token not in f"{created} {created!r} {created.record}"


@both_databases
def test_unknown_tokens_are_nobody(tokens: Tokens, admin: str) -> None:
    for wrong in ("", "mld_", admin[:-1], admin + "x", admin.upper(), "x" * 100_000, "ü", "\udcff"):
        assert tokens.find(wrong) is None


@both_databases
def test_a_token_expires_to_the_nanosecond_even_while_it_is_cached(tokens: Tokens, clock: Hands) -> None:
    created = tokens.create("a", {"a": Scope.READ}, expires_in=0.5)
    clock.now += 500_000_000 - 1
    assert tokens.find(created.token)
    clock.now += 1
    assert tokens.cached(created.token) == (True, None)
    assert tokens.find(created.token) is None
    clock.turn(10)
    assert tokens.find(created.token) is None


@both_databases
def test_a_revoked_token_is_refused_at_once_by_who_revoked_it(tokens: Tokens) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    assert tokens.find(created.token)
    assert tokens.revoke(created.record.token_id)
    assert tokens.find(created.token) is None
    assert tokens.revoke(created.record.token_id), "revoking twice is as good as once"


@both_databases
def test_a_revocation_by_another_process_is_seen_within_a_second(
    tokens: Tokens, database: Database, clock: Hands
) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    assert tokens.find(created.token)
    Tokens(database, clock).revoke(created.record.token_id)
    clock.turn(0.999)
    assert tokens.find(created.token) is None


def test_a_request_reads_no_database_while_the_answer_is_fresh(
    tokens: Tokens, database: Database, clock: Hands
) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    tokens.find(created.token)
    with statements(database) as found:
        for _ in range(1000):
            assert tokens.find(created.token)
            assert tokens.cached(created.token)[0]
        assert found == []
        clock.turn(FRESH_SECONDS)
        tokens.find(created.token)
    assert any("tokens" in statement for statement in found)


def test_wrong_tokens_do_not_push_out_the_right_ones(tokens: Tokens, database: Database) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    tokens.find(created.token)
    for number in range(5000):
        tokens._cache.put(f"{number:064}", None, tokens.clock.monotonic())
    with statements(database) as found:
        assert tokens.find(created.token)
    assert found == []


@both_databases
def test_the_last_use_is_noted_at_most_once_a_minute(tokens: Tokens, clock: Hands) -> None:
    created = tokens.create("a", {"a": Scope.READ})

    def used() -> int | None:
        return next(each.used_ns for each in tokens.list() if each.token_id == created.record.token_id)

    assert used() is None
    tokens.find(created.token)
    first = used()
    assert first == clock.now
    for _ in range(58):
        clock.turn(1)
        tokens.find(created.token)
    assert used() == first
    clock.turn(2)
    tokens.find(created.token)
    assert used() == clock.now


def test_a_database_that_cannot_be_written_still_lets_valid_tokens_in(
    tokens: Tokens, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    with database.engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE UPDATE ON tokens BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        connection.commit()
    assert tokens.find(created.token)
    assert created.token not in caplog.text
    assert created.record.token_id in caplog.text


def test_the_first_start_makes_an_admin_token_and_the_second_does_not(tokens: Tokens) -> None:
    token = tokens.first_token()
    assert token is not None
    who = tokens.find(token)
    assert who is not None
    assert who.admin
    assert tokens.first_token() is None
    assert len(tokens.list()) == 1


def test_no_admin_token_is_made_up_where_there_ever_was_one(tokens: Tokens) -> None:
    tokens.first_token()
    tokens.revoke(tokens.list()[0].token_id)
    assert tokens.first_token() is None


@both_databases
def test_a_given_admin_token_is_used_and_not_returned(tokens: Tokens) -> None:
    given = "chosen-by-the-operator"
    assert tokens.first_token(given) is None
    assert tokens.first_token(given) is None
    who = tokens.find(given)
    assert who is not None
    assert who.admin
    assert len(tokens.list()) == 1


def test_an_empty_variable_is_none(tokens: Tokens) -> None:
    assert tokens.first_token("")


def test_a_new_given_admin_token_works_beside_the_old_one(tokens: Tokens, admin: str) -> None:
    tokens.first_token("chosen-by-the-operator")
    for token in (admin, "chosen-by-the-operator"):
        who = tokens.find(token)
        assert who is not None
        assert who.admin


def test_a_given_admin_token_that_was_revoked_is_refused(tokens: Tokens) -> None:
    tokens.first_token("chosen-by-the-operator")
    tokens.revoke(tokens.list()[0].token_id)
    with pytest.raises(InvalidArgumentError, match=r"revoked.*give another") as caught:
        tokens.first_token("chosen-by-the-operator")
    assert "operator" not in str(caught.value)


def test_a_given_admin_token_is_never_one_that_may_do_less(tokens: Tokens) -> None:
    created = tokens.create("weak", {"a": Scope.READ})
    with pytest.raises(InvalidArgumentError, match="no admin token"):
        tokens.first_token(created.token)


@pytest.mark.parametrize(
    "given", ["short", "with space inside it", "tab\tinside-it-here", "ümlaut-ümlaut-ümlaut", "x" * 600]
)
def test_a_weak_or_unusable_admin_token_is_refused_without_showing_it(tokens: Tokens, given: str) -> None:
    with pytest.raises(InvalidArgumentError, match="ML_DASH_ADMIN_TOKEN is not usable") as caught:
        tokens.first_token(given)
    assert given not in str(caught.value)
    assert not tokens.list()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 10**400, 1e12])
def test_impossible_lifetimes_are_refused(tokens: Tokens, seconds: float) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot expire in"):
        tokens.create("a", {"a": Scope.READ}, expires_in=seconds)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "x" * 256, "\ud800"])
def test_impossible_names_are_refused(tokens: Tokens, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not allowed for a token"):
        tokens.create(name, {"a": Scope.READ})


@pytest.mark.parametrize("owner", ["", "a/b", "..", ".a", "a\0", "a\\b", "/a", "a/", "\ud800", "x" * 256])
def test_impossible_owners_are_refused(tokens: Tokens, owner: str) -> None:
    with pytest.raises(InvalidArgumentError, match="owner"):
        tokens.create("a", {owner: Scope.READ})
    assert not tokens.list()


def test_a_token_that_could_do_nothing_is_refused(tokens: Tokens) -> None:
    with pytest.raises(InvalidArgumentError, match="could do nothing"):
        tokens.create("a", {})


@both_databases
def test_many_owners_are_bounded(tokens: Tokens) -> None:
    tokens.create("a", {f"o{number}": Scope.READ for number in range(1000)})
    with pytest.raises(InvalidArgumentError, match="too many"):
        tokens.create("a", {f"o{number}": Scope.READ for number in range(1001)})


@pytest.mark.sample(3)
@both_databases
@pytest.mark.parametrize(
    "token_id", ["", "tok_", "tok_0123456789abcdef", "' OR 1=1 --", "tok_\0", "x" * 10_000]
)
def test_revoking_what_does_not_exist_says_so(tokens: Tokens, token_id: str) -> None:
    assert tokens.revoke(token_id) is False


@pytest.mark.slow
def test_threads_that_ask_while_a_token_is_revoked_all_learn_of_it(tokens: Tokens, clock: Hands) -> None:
    created: list[CreatedToken] = [tokens.create(f"t{n}", {"a": Scope.READ}) for n in range(8)]
    stop = threading.Event()

    def ask(token: str) -> None:
        while not stop.is_set():
            tokens.find(token)

    threads = [threading.Thread(target=ask, args=(each.token,)) for each in created]
    for thread in threads:
        thread.start()
    for each in created:
        tokens.revoke(each.record.token_id)
    stop.set()
    for thread in threads:
        thread.join(30)
    clock.turn(1)
    assert [tokens.find(each.token) for each in created] == [None] * 8


def test_who_may_what() -> None:
    """The rules, as a table: a grant holds for its owner, `*` for all, and scopes include the lower ones."""
    some = Principal("t", "n", admin=False, grants={"alice": Scope.WRITE, "bob": Scope.READ})
    assert [some.may("alice", scope) for scope in Scope] == [True, True, False]
    assert [some.may("bob", scope) for scope in Scope] == [True, False, False]
    assert [some.may("carol", scope) for scope in Scope] == [False, False, False]
    assert some.may("*", Scope.READ) is False
    assert some.owners() == frozenset({"alice", "bob"})
    every = Principal("t", "n", admin=False, grants={"*": Scope.READ, "alice": Scope.ADMIN})
    assert [every.may("carol", scope) for scope in Scope] == [True, False, False]
    assert every.may("alice", Scope.ADMIN)
    assert every.owners() is None
    admin = Principal("t", "n", admin=True, grants={})
    assert all(admin.may("anybody", scope) for scope in Scope)
    assert admin.owners() is None
    nobody = Principal("t", "n", admin=False, grants={})
    assert not any(nobody.may("anybody", scope) for scope in Scope)
    assert nobody.owners() == frozenset()


@both_databases
def test_the_migration_makes_the_tables_that_the_code_believes_in(database: Database) -> None:
    """Columns, keys and indexes of the migrated database are those of the schema."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from ml_dash.server.db.tables import METADATA

    ours = {"tokens", "token_grants", "device_requests"}

    def is_ours(item: Any, name: str | None, kind: str, *_: Any) -> bool:
        return (item.name if kind == "table" else item.table.name) in ours

    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        assert compare_metadata(context, METADATA) == []


@both_databases
def test_deleting_a_token_takes_its_grants_along(tokens: Tokens, database: Database) -> None:
    tokens.create("a", {"a": Scope.READ})
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM tokens")
        assert connection.exec_driver_sql("SELECT count(*) FROM token_grants").scalar() == 0
