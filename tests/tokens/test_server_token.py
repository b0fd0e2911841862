"""`ml-dash server token`, on a server's own database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.db.database import Database
from tests.support.token_commands import invoke

WRONG = "mld_" + "w" * 43


@pytest.fixture
def live(database: Database) -> Tokens:
    return Tokens(database, SYSTEM_CLOCK)


def test_a_token_is_printed_once_and_alone_on_its_line(data: Path, live: Tokens) -> None:
    done = invoke("server", "token", "create", "ci", "--owner", "alice", "--owner", "*:read", "--data", data)
    assert done.code == 0, done.err
    token = done.out.removesuffix("\n")
    who = live.find(token)
    assert who is not None
    assert (who.name, who.admin, who.grants) == ("ci", False, {"alice": Scope.WRITE, "*": Scope.READ})
    assert done.err == f"Token {who.token_id} (*:read, alice:write), shown this once:\n"
    listed = invoke("server", "token", "list", "--data", data)
    assert who.token_id in listed.out
    assert token[4:] not in listed.out + listed.err + done.err


def test_scopes_and_expiry_are_read(data: Path, live: Tokens) -> None:
    arguments = [
        "--owner",
        "a",
        "--owner",
        "b:read",
        "--owner",
        "c:d:admin",
        "--owner",
        "e:f:admin",
        "--scope",
        "admin",
    ]
    done = invoke("server", "token", "create", "ci", *arguments, "--expires", "36h", "--data", data)
    who = live.find(done.out.strip())
    assert who is not None
    assert who.grants == {"a": Scope.ADMIN, "b": Scope.READ, "c:d": Scope.ADMIN, "e:f": Scope.ADMIN}
    assert who.expires_ns == who.created_ns + 36 * 3600 * 10**9


def test_an_admin_token_needs_no_owner(data: Path, live: Tokens) -> None:
    done = invoke("server", "token", "create", "root", "--admin", "--data", data)
    who = live.find(done.out.strip())
    assert who is not None
    assert who.admin


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ci"], "could do nothing"),
        (["ci", "--owner", "a/b"], "owner 'a/b'"),
        (["ci", "--owner", ""], "owner ''"),
        (["ci", "--owner", "alice:reed"], "'reed' is not a scope"),
        (["ci", "--owner", "alice,bob"], "one name"),
        (["ci", "--owner", ":read"], "names no owner"),
        (["ci", "--owner", "a", "--owner", "a:read"], "given twice"),
        (["ci", "--owner", "a", "--scope", "root"], "scope 'root' is not known"),
        (["ci", "--owner", "a", "--expires", "soon"], "--expires 'soon' is not a time"),
        (["ci", "--owner", "a", "--expires", "0d"], "cannot expire in"),
        (["ci", "--owner", "a", "--expires", "999999y"], "cannot expire in"),
        (["", "--owner", "a"], "not allowed for a token"),
    ],
)
def test_a_command_line_that_makes_no_sense_makes_no_token(
    data: Path, live: Tokens, arguments: list[str], message: str
) -> None:
    done = invoke("server", "token", "create", *arguments, "--data", data)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert live.list() == []


def test_revoking_is_seen_by_a_server_that_runs(data: Path, live: Tokens) -> None:
    created = [live.create(name, {"a": Scope.READ}) for name in "ab"]
    done = invoke("server", "token", "revoke", *(each.record.token_id for each in created), "--data", data)
    assert (done.code, done.err) == (0, "")
    assert all(record.revoked_ns for record in live.list())
    states = [
        line.split()[3] for line in invoke("server", "token", "list", "--data", data).out.splitlines()[1:]
    ]
    assert states == ["revoked", "revoked"]


def test_revoking_what_does_not_exist_is_exit_code_1_and_repeats_no_token(data: Path, live: Tokens) -> None:
    created = live.create("a", {"a": Scope.READ})
    done = invoke(
        "server", "token", "revoke", "tok_0000000000000000", WRONG, created.record.token_id, "--data", data
    )
    assert done.code == 1
    assert "tok_0000000000000000" in done.err
    assert f"Revoked {created.record.token_id}" in done.out
    assert WRONG not in done.out + done.err


def test_the_list_for_programs_is_json(data: Path, live: Tokens) -> None:
    created = live.create("a", {"a": Scope.READ})
    (record,) = json.loads(invoke("server", "token", "list", "--json", "--data", data).out)
    assert (record["tokenId"], record["revokedAt"]) == (created.record.token_id, None)
    assert record["grants"] == [{"owner": "a", "scope": "read"}]


def test_an_empty_list_says_so(data: Path, live: Tokens) -> None:
    done = invoke("server", "token", "list", "--data", data)
    assert (done.code, done.out, done.err) == (0, "", "no tokens\n")


def test_a_directory_without_a_server_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    for directory in (tmp_path / "nowhere", tmp_path):
        done = invoke("server", "token", "create", "ci", "--owner", "a", "--data", directory)
        assert (done.code, done.out) == (2, "")
        assert "there is no database of a server at" in done.err
    assert not (tmp_path / "nowhere").exists()


def test_a_database_can_be_named_by_its_url(data: Path, live: Tokens) -> None:
    done = invoke(
        "server", "token", "create", "ci", "--owner", "a", "--database", f"sqlite:///{data}/catalogue.sqlite"
    )
    assert live.find(done.out.strip())
