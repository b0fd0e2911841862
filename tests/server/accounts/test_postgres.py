"""The same on PostgreSQL, where several servers may share the tokens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ml_dash.server.accounts.device_logins import DeviceLogins, Refusal
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import CreatedToken, Tokens
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store

# collected here once more, with the store of this module
from tests.server.accounts.test_access import test_an_admin_creates_lists_and_revokes_tokens  # noqa: F401
from tests.server.accounts.test_device import (  # noqa: F401
    test_a_denied_login_ends,
    test_a_login_from_begin_to_token,
    test_a_login_gets_no_token_if_its_approver_is_revoked_meanwhile,
    test_errors_are_those_of_the_rfcs,
    test_old_logins_are_cleared_away,
    test_who_asks_too_often_is_told_to_slow_down,
)
from tests.server.accounts.test_device_page import (  # noqa: F401
    test_a_subset_of_ones_own_grants_can_be_handed_on,
    test_codes_are_read_as_people_type_them,
)
from tests.server.accounts.test_tokens import (  # noqa: F401
    test_a_given_admin_token_is_used_and_not_returned,
    test_a_revocation_by_another_process_is_seen_within_a_second,
    test_a_revoked_token_is_refused_at_once_by_who_revoked_it,
    test_a_token_expires_to_the_nanosecond_even_while_it_is_cached,
    test_a_token_is_found_with_all_it_may_do,
    test_deleting_a_token_takes_its_grants_along,
    test_impossible_owners_are_refused,
    test_many_owners_are_bounded,
    test_revoking_what_does_not_exist_says_so,
    test_the_last_use_is_noted_at_most_once_a_minute,
    test_the_migration_makes_the_tables_that_the_code_believes_in,
    test_unknown_tokens_are_nobody,
)
from tests.support.account_serving import Hands
from tests.support.postgres import binaries, cluster

_NUMBERS = count()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    with cluster() as url:
        yield url


@pytest.fixture
def store(postgres: str, tmp_path: Path, clock: Hands) -> Iterator[Store]:
    name = f"tokens{next(_NUMBERS)}"
    url = postgres.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    database = postgres.rpartition("/")[0] + f"/{name}"
    store = Store.open(ServerSettings(data=str(tmp_path), database=database), clock)
    yield store
    store.close()


def test_of_many_who_collect_one_login_one_gets_the_token(tokens: Tokens, clock: Hands, admin: str) -> None:
    """A device that asks twice at once, of two servers, must not get two tokens."""
    approver = tokens.find(admin)
    assert approver is not None
    logins = DeviceLogins(tokens, clock)
    begun = logins.begin("device", "127.0.0.1", {"*": Scope.WRITE})
    assert begun is not None
    assert logins.approve(begun.user_code, approver, {"alice": Scope.WRITE}, None)
    got: list[CreatedToken | Refusal] = []
    ready = threading.Barrier(6)

    def collect() -> None:
        ready.wait()
        got.append(DeviceLogins(tokens, clock).collect(begun.device_code))

    threads = [threading.Thread(target=collect) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 6
    assert sum(isinstance(each, CreatedToken) for each in got) == 1
    assert sum(each is Refusal.UNKNOWN for each in got) == 5
    assert len(tokens.list()) == 2


def test_of_many_who_decide_one_decision_counts(tokens: Tokens, clock: Hands, admin: str) -> None:
    approver = tokens.find(admin)
    assert approver is not None
    logins = DeviceLogins(tokens, clock)
    begun = logins.begin("device", "127.0.0.1", {"*": Scope.WRITE})
    assert begun is not None
    decided: list[bool] = []
    ready = threading.Barrier(4)

    def decide(number: int) -> None:
        ready.wait()
        if number % 2:
            decided.append(logins.deny(begun.user_code))
        else:
            decided.append(logins.approve(begun.user_code, approver, {"alice": Scope.WRITE}, None))

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(decided) == [False, False, False, True]
