"""What a person types for who may do what: owners and scopes."""

from __future__ import annotations

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.server.accounts.grants import Scope, parse_asked, parse_grants, split_owners


def test_owners_have_the_scope_behind_them_or_the_one_of_all() -> None:
    assert parse_grants(["alice", "bob:read", "*:admin", "team:a:write", "50%"], "write") == {
        "alice": Scope.WRITE,
        "bob": Scope.READ,
        "*": Scope.ADMIN,
        "team:a": Scope.WRITE,
        "50%": Scope.WRITE,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alice:reed", "'reed' is not a scope"),
        ("alice:", "'' is not a scope"),
        ("alice:READ", "'READ' is not a scope"),
        ("alice:read ", "'read ' is not a scope"),
        (":read", "names no owner"),
        ("", "names no owner"),
        ("alice,bob", "one name"),
        ("alice, bob:read", "one name"),
        (" alice", "one name"),
        ("alice/vision", "owner"),
        ("..:write", "owner"),
    ],
)
def test_what_may_be_a_mistake_makes_no_grant(text: str, told: str) -> None:
    """A token for an owner of that name would be made silently, and be of no use, or of too much."""
    with pytest.raises(InvalidArgumentError, match=told) as caught:
        parse_grants([text], "write")
    assert repr(text.rpartition(":")[0] or text)[1:-1] in str(caught.value)


def test_an_owner_is_named_once() -> None:
    with pytest.raises(InvalidArgumentError, match="given twice"):
        parse_grants(["alice", "alice:read"], "write")


@pytest.mark.parametrize("text", ["alice:reed", ":read", "alice,bob:read"])
def test_what_a_device_asks_for_is_read_as_strictly(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_asked(text)
    assert parse_asked("a%2Cb:read team%3Aa:write") == {"a,b": Scope.READ, "team:a": Scope.WRITE}


def test_who_approves_chooses_the_scope_once_for_all_owners() -> None:
    assert split_owners("alice, bob\n team:a,") == ["alice", "bob", "team:a"]
    with pytest.raises(InvalidArgumentError, match="'alice'; the scope"):
        split_owners("alice:read")
