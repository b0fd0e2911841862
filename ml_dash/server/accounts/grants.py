"""What a token may do: scopes by owner, and who is behind a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError, InvalidPrefixError
from ml_dash.identity import parse_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVERY_OWNER", "Principal", "Scope", "check_owner", "parse_scope"]

EVERY_OWNER = "*"
"""The owner of a grant that holds for all owners."""


class Scope(IntEnum):
    """What may be done with an owner's experiments; each scope includes the lower ones."""

    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The scope as it is written: ``read``, ``write`` or ``admin``."""
        return self.name.lower()


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

    def reader(self) -> Principal:
        """Return a principal that may read what this one may, and do nothing else."""
        owners = {EVERY_OWNER, *self.grants} if self.admin else self.grants
        return replace(self, admin=False, grants=dict.fromkeys(owners, Scope.READ))

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
