"""Logins under way by the device flow (RFC 8628): begun by a device, decided by a person, collected by the device.

The device code is a secret of 256 bits and kept as its SHA-256. The user code has 8 of 20 letters, no vowels and no
digits, as the RFC recommends (6.1): about 34 bits, for 15 minutes, behind a limit on wrong guesses.
The token is made when the device collects it, so the database never holds it.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.grants import Scope, hash_token
from ml_dash.server.db.database import take_turn
from ml_dash.server.db.tables import DEVICE_REQUESTS as REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from ml_dash.clock import Clock
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.accounts.token_records import CreatedToken
    from ml_dash.server.accounts.tokens import Tokens

CODE_SECONDS = 15 * 60
"""How long a login may take."""
POLL_SECONDS = 5
"""How long a device must wait between two polls.

Each time that it polls too early, it is told to slow down, and by RFC 8628 waits 5 s longer from then on. The interval
that is demanded here stays the same: a device that began too fast would otherwise never catch up with it.
"""

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE = re.compile(f"[{_LETTERS}]{{8}}")
_JITTER_NS = NANOSECONDS
# for so long a device that comes late is told that its login has expired, rather than that there was none
_KEPT_NS = 3600 * NANOSECONDS
# anybody may begin a login: the table must not grow with what a stranger sends
_PENDING_MAX = 10_000
# with 10 000 of 20**8 codes in use, even a second try is rare
_TRIES = 5


class Refusal(str, Enum):
    """Why a device gets no token, in the words of RFC 8628 (3.5) and RFC 6749 (5.2)."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    UNKNOWN = "invalid_grant"


class Begun(NamedTuple):
    """What a device is given at the start; `device_code` is its secret, `user_code` is for the person."""

    device_code: str
    user_code: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A login that waits for a person's decision.

    Attributes:
        user_code: The code, without its hyphen.
        client: What the device calls itself. It may say anything.
        address: The network address that it asked from.
        asked: The scope by owner that it asked for; ``*`` are all owners of whoever approves.
        created_ns: When it asked, nanoseconds since the epoch.
    """

    user_code: str
    client: str
    address: str
    asked: Mapping[str, Scope]
    created_ns: int


class DeviceLogins:
    """The logins under way. Every method uses the database and belongs on a worker thread."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._database = tokens.database
        self._clock = clock

    def begin(self, client: str, address: str, asked: Mapping[str, Scope]) -> Begun | None:
        """Begin a login; return None if too many are under way."""
        device_code = secrets.token_urlsafe(32)
        for _ in range(_TRIES):
            user_code = "".join(secrets.choice(_LETTERS) for _ in range(8))
            try:
                begun = self._insert(
                    device_hash=hash_token(device_code),
                    user_code=user_code,
                    client=client,
                    address=address,
                    asked=_dump(asked),
                )
                return Begun(device_code, user_code) if begun else None
            except IntegrityError:
                # somebody has this user code at the moment
                continue
        return None

    def waiting(self, user_code: str) -> Waiting | None:
        """Return the login with this code (see `parse_user_code`) if it waits for a decision."""
        with self._database.read() as connection:
            row = connection.execute(select(REQUESTS).where(*self._is_waiting(user_code))).first()
        if row is None:
            return None
        return Waiting(row.user_code, row.client, row.address, _load(row.asked), row.created_ns)

    def approve(
        self, user_code: str, approver: Principal, grants: Mapping[str, Scope], lifetime_ns: int | None
    ) -> bool:
        """Grant a login what `approver` chose; return whether it still waited."""
        return self._decide(
            user_code,
            state="approved",
            granted=_dump(grants),
            approved_by=approver.token_id,
            lifetime_ns=lifetime_ns,
        )

    def deny(self, user_code: str) -> bool:
        """Refuse a login; return whether it still waited."""
        return self._decide(user_code, state="denied")

    def collect(self, device_code: str) -> CreatedToken | Refusal:
        """Return a token if the login was approved, once only; otherwise return why not."""
        with self._database.write() as connection:
            hashed = REQUESTS.c.device_hash == hash_token(device_code)
            row = connection.execute(select(REQUESTS).where(hashed)).first()
            if row is None:
                return Refusal.UNKNOWN
            if self._clock.time_ns() >= row.expires_ns:
                return Refusal.EXPIRED
            if row.state == "pending":
                return self._poll(connection, row)
            # only one transaction can delete the row: two devices with one code, or one that asks twice, get one token
            if connection.execute(delete(REQUESTS).where(hashed)).rowcount == 0:
                return Refusal.UNKNOWN
            return self._issue(connection, row) if row.state == "approved" else Refusal.DENIED

    def _insert(self, **values: str) -> bool:
        now = self._clock.time_ns()
        with self._database.write() as connection:
            take_turn(connection, "device logins")
            connection.execute(delete(REQUESTS).where(REQUESTS.c.expires_ns < now - _KEPT_NS))
            # Those that have run out take nobody's place, though they are kept a while.
            waiting = select(func.count()).select_from(REQUESTS).where(REQUESTS.c.expires_ns > now)
            count = connection.execute(waiting).scalar_one()
            if count >= _PENDING_MAX:
                return False
            connection.execute(
                insert(REQUESTS).values(
                    **values,
                    state="pending",
                    created_ns=now,
                    expires_ns=now + CODE_SECONDS * NANOSECONDS,
                )
            )
        return True

    def _is_waiting(self, user_code: str) -> tuple[Any, ...]:
        return (
            REQUESTS.c.user_code == user_code,
            REQUESTS.c.state == "pending",
            REQUESTS.c.expires_ns > self._clock.time_ns(),
        )

    def _decide(self, user_code: str, **values: Any) -> bool:
        with self._database.write() as connection:
            # the condition is part of the UPDATE: of two people who decide at once, one is told that it was decided
            done = connection.execute(update(REQUESTS).where(*self._is_waiting(user_code)).values(**values))
            return done.rowcount == 1

    def _poll(self, connection: Connection, row: Any) -> Refusal:
        now = self._clock.time_ns()
        # polls that were sent far enough apart may arrive a little closer together
        early = row.polled_ns is not None and now - row.polled_ns < POLL_SECONDS * NANOSECONDS - _JITTER_NS
        connection.execute(
            update(REQUESTS).where(REQUESTS.c.device_hash == row.device_hash).values(polled_ns=now)
        )
        return Refusal.SLOW_DOWN if early else Refusal.PENDING

    def _issue(self, connection: Connection, row: Any) -> CreatedToken | Refusal:
        now = self._clock.time_ns()
        approver = self._tokens.record(connection, row.approved_by)
        if approver is None or not approver.is_valid(now):
            # revoked after it approved: what it granted must not outlive it
            return Refusal.DENIED
        # no token outlives the one that approved it
        lifetimes = (row.lifetime_ns, None if approver.expires_ns is None else approver.expires_ns - now)
        return self._tokens.insert(
            connection,
            row.client,
            _load(row.granted),
            lifetime_ns=min((each for each in lifetimes if each is not None), default=None),
            created_by=approver.token_id,
        )


def parse_user_code(text: str) -> str | None:
    """Return a user code as it is stored; None if it is invalid. Case, spaces and hyphens do not matter."""
    code = re.sub(r"[\s-]", "", text[:64]).upper()
    return code if _USER_CODE.fullmatch(code) else None


def show_user_code(user_code: str) -> str:
    """Return a user code as people read it: ``BCDF-GHJK``."""
    return f"{user_code[:4]}-{user_code[4:]}"


def _dump(grants: Mapping[str, Scope]) -> str:
    return json.dumps({owner: int(scope) for owner, scope in grants.items()})


def _load(text: str) -> dict[str, Scope]:
    return {owner: Scope(scope) for owner, scope in json.loads(text).items()}
