"""What a device asks for, in the words of RFC 6749, and what a person may grant it of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ml_dash.errors import InvalidArgumentError
from ml_dash.server.accounts.grants import EVERY_OWNER, Scope, check_owner, parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.server.accounts.grants import Principal

__all__ = ["chosen_grants", "parse_asked", "scope_text", "split_owners"]

_OWNERS_MAX = 50
_HANDED_ON = (Scope.READ, Scope.WRITE)


def parse_asked(text: str) -> dict[str, Scope]:
    """Return the scope by owner that a device asks for.

    Args:
        text: Words separated by spaces: ``write``, or ``alice:write bob:read``, owners percent-encoded. An empty text
            asks to write, on all owners of whoever approves.

    Raises:
        InvalidArgumentError: The text is invalid, or asks for a scope that no login grants.
    """
    words = text.split()
    if len(words) > _OWNERS_MAX:
        raise InvalidArgumentError(f"{len(words)} scopes are too many: ask for at most {_OWNERS_MAX}")
    asked: dict[str, Scope] = {}
    for word in words:
        owner, colon, scope_word = word.rpartition(":")
        owner = check_owner(unquote(owner, errors="strict")) if colon else EVERY_OWNER
        asked[owner] = max(_handed_on(parse_scope(scope_word)), asked.get(owner, Scope.READ))
    return asked or {EVERY_OWNER: Scope.WRITE}


def scope_text(grants: Mapping[str, Scope]) -> str:
    """Return grants as `parse_asked` reads them."""
    return " ".join(f"{quote(owner, safe='*')}:{scope.word}" for owner, scope in grants.items())


def split_owners(text: str) -> list[str]:
    """Return the owners in a text that a person typed, separated by commas; an empty list stands for all of theirs."""
    return [owner for owner in (part.strip() for part in re.split(r"[,\n]", text)) if owner]


def chosen_grants(approver: Principal, owners: list[str], scope: Scope) -> dict[str, Scope]:
    """Return what a person grants: at most this scope on these owners, and nowhere more than they have.

    Args:
        approver: The person's own token.
        owners: The owners they chose; empty for all of theirs.
        scope: The scope they chose.

    Raises:
        InvalidArgumentError: They have nothing on one of the owners, or no login grants this scope.
    """
    _handed_on(scope)
    own = {EVERY_OWNER: Scope.ADMIN} if approver.admin else dict(approver.grants)
    grants: dict[str, Scope] = {}
    for owner in owners or own:
        has = Scope.ADMIN if approver.admin else approver.scope_on(check_owner(owner))
        if has == 0:
            raise InvalidArgumentError(
                f"owner {owner!r}: your token was granted nothing there; choose among {', '.join(sorted(own))}"
            )
        grants[check_owner(owner)] = Scope(min(scope, has))
    return grants


def _handed_on(scope: Scope) -> Scope:
    if scope not in _HANDED_ON:
        raise InvalidArgumentError(
            "scope 'admin' is never handed on by a login: use 'read' or 'write', "
            "or have a token made by `ml-dash server token create`"
        )
    return scope
