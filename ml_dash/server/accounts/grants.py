"""What a token may do: scopes by owner, who is behind a request, and what a login may ask for and be granted."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ml_dash.errors import InvalidArgumentError, InvalidPrefixError
from ml_dash.identity import parse_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVERY_OWNER = "*"
"""The owner of a grant that holds for all owners."""
# the person who approves must read them all
_ASKED_MAX = 50


class Scope(IntEnum):
    """What may be done with an owner's experiments; each scope includes the lower ones."""

    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The scope as it is written: ``read``, ``write`` or ``admin``."""
        return self.name.lower()


_WORDS = frozenset(scope.word for scope in Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: a token that is valid.

    Attributes:
        token_id: The token's public id.
        name: What its creator called it.
        admin: Whether it may do everything.
        grants: The scope by owner; the owner ``*`` stands for all.
        created_ns: When it was created, nanoseconds since the epoch.
        expires_ns: When it expires; None: never.
    """

    token_id: str
    name: str
    admin: bool
    grants: Mapping[str, Scope]
    created_ns: int = 0
    expires_ns: int | None = None

    def may(self, owner: str, scope: Scope) -> bool:
        """Say whether the token may do this with the owner's experiments."""
        return self.admin or self.scope_on(owner) >= scope

    def scope_on(self, owner: str) -> int:
        """Return the scope granted on an owner; 0 for none."""
        return max(self.grants.get(owner, 0), self.grants.get(EVERY_OWNER, 0))

    def in_browser(self) -> Principal:
        """Return who this one is with a browser: it may read and write what this one may, and administer nothing."""
        given = {**self.grants, EVERY_OWNER: Scope.WRITE} if self.admin else self.grants
        return replace(
            self, admin=False, grants={owner: min(scope, Scope.WRITE) for owner, scope in given.items()}
        )

    def writes(self) -> list[str]:
        """Return the owners whose experiments the token may change; ``*`` stands for all."""
        if self.may(EVERY_OWNER, Scope.WRITE):
            return [EVERY_OWNER]
        return sorted(owner for owner, scope in self.grants.items() if scope >= Scope.WRITE)

    def owners(self) -> frozenset[str] | None:
        """Return the owners whose experiments the token may read; None: all."""
        if self.admin or EVERY_OWNER in self.grants:
            return None
        return frozenset(self.grants)


def parse_scope(text: str) -> Scope:
    """Return the scope of this name.

    Raises:
        InvalidArgumentError: There is no such scope.
    """
    for scope in Scope:
        if scope.word == text:
            return scope
    raise InvalidArgumentError(f"scope {text!r} is not known: use 'read', 'write' or 'admin'")


def check_owner(owner: str) -> str:
    """Return an owner that can be granted: ``*``, or what can be the first segment of a prefix.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if owner == EVERY_OWNER:
        return owner
    try:
        identity = parse_prefix(f"{owner}/p/n", user=lambda: "user", now_ns=lambda: 0)
    except InvalidPrefixError as error:
        raise InvalidArgumentError(f"owner {owner!r} cannot own an experiment: {error}") from None
    if identity.owner != owner:
        raise InvalidArgumentError(
            f"owner {owner!r} is not the first segment of a prefix: give one name such as 'alice', or '*' for all"
        )
    return owner


def parse_grants(texts: Iterable[str], scope: str) -> dict[str, Scope]:
    """Return the scope by owner that a person typed, such as ``alice``, ``bob:read``.

    Args:
        texts: Each names one owner. Behind a colon stands a scope, and nothing else: a scope that is mistyped must not
            make a token for an owner of such a name.
        scope: The scope where a text has none.

    Raises:
        InvalidArgumentError: A text names no owner, several, an unknown scope, or an owner that another one named.
    """
    default = parse_scope(scope)
    grants: dict[str, Scope] = {}
    for text in texts:
        owner, colon, word = text.rpartition(":")
        if not colon:
            owner, granted = text, default
        elif word in _WORDS:
            granted = parse_scope(word)
        else:
            raise InvalidArgumentError(
                f"owner {text!r}: {word!r} is not a scope; write {owner + ':read'!r}, with read, write or admin. "
                f"(An owner with a colon in its name needs a scope behind it: {text + ':write'!r})"
            )
        owner = _check_single(owner, text)
        if owner in grants:
            raise InvalidArgumentError(f"owner {owner!r} is given twice: name it once, with the larger scope")
        grants[owner] = granted
    return grants


def _check_single(owner: str, text: str) -> str:
    if not owner:
        raise InvalidArgumentError(
            f"owner {text!r} names no owner: give a name such as 'alice', or '*' for all"
        )
    if "," in owner or owner != owner.strip():
        raise InvalidArgumentError(
            f"owner {text!r} must be one name, without commas and spaces around it: give each owner by itself"
        )
    return check_owner(owner)


def parse_asked(text: str) -> dict[str, Scope]:
    """Return the scope by owner that a device asks for, in the words of RFC 6749.

    Args:
        text: Words separated by spaces: ``write``, or ``alice:write bob:read``, owners percent-encoded. An empty text
            asks to write, on all owners of whoever approves.

    Raises:
        InvalidArgumentError: The text is invalid, or asks for a scope that no login grants.
    """
    words = text.split()
    if len(words) > _ASKED_MAX:
        raise InvalidArgumentError(f"{len(words)} scopes are too many: ask for at most {_ASKED_MAX}")
    asked: dict[str, Scope] = {}
    for word in words:
        # from the right: an owner's own colons are percent-encoded, but a person may have typed one
        owner, colon, scope_word = word.rpartition(":")
        # a comma of an owner is percent-encoded as well
        owner = check_owner(unquote(_check_single(owner, word), errors="strict")) if colon else EVERY_OWNER
        asked[owner] = max(_check_handed_on(parse_scope(scope_word)), asked.get(owner, Scope.READ))
    # RFC 6749 (3.3) leaves it to the server what no scope means; a device that logs in mostly wants to upload
    return asked or {EVERY_OWNER: Scope.WRITE}


def scope_text(grants: Mapping[str, Scope]) -> str:
    """Return grants as `parse_asked` reads them."""
    return " ".join(f"{quote(owner, safe='*')}:{scope.word}" for owner, scope in grants.items())


def split_owners(text: str) -> list[str]:
    """Return the owners in a text that a person typed, separated by commas; an empty list stands for all of theirs.

    Raises:
        InvalidArgumentError: One of them has a scope behind it, which is chosen for all together.
    """
    owners = [owner for owner in (part.strip() for part in re.split(r"[,\n]", text)) if owner]
    for owner in owners:
        name, colon, word = owner.rpartition(":")
        if colon and word in _WORDS:
            raise InvalidArgumentError(
                f"owner {owner!r}: give the name alone, {name!r}; the scope is chosen below"
            )
    return owners


def chosen_grants(approver: Principal, owners: list[str], scope: Scope) -> dict[str, Scope]:
    """Return what a person grants: at most this scope on these owners, and nowhere more than they have.

    Args:
        approver: The person's own token.
        owners: The owners they chose; empty for all of theirs.
        scope: The scope they chose.

    Raises:
        InvalidArgumentError: They have nothing on one of the owners, or no login grants this scope.
    """
    _check_handed_on(scope)
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


def _check_handed_on(scope: Scope) -> Scope:
    if scope not in (Scope.READ, Scope.WRITE):
        raise InvalidArgumentError(
            "scope 'admin' is never handed on by a login: use 'read' or 'write', "
            "or have a token made by `ml-dash server token create`"
        )
    return scope


def hash_token(token: str) -> str:
    """Return what is kept of a token: its SHA-256 in hexadecimal, from which nobody gets back to it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
