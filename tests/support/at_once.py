"""Two transactions at once on PostgreSQL: the second begins while the first has not committed what it has written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import event, text

from ml_dash.server.db.database import Database
from tests.support.serving import until

_A = TypeVar("_A")
_B = TypeVar("_B")


def waits_for_a_lock(database: Database) -> bool:
    """Say whether somebody waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.read() as connection:
        return bool(connection.execute(text(query)).scalar_one())


def at_once(
    database: Database, first: Callable[[], _A], second: Callable[[], _B]
) -> tuple[_A | Exception, _B | Exception]:
    """Return what both return, or raise.

    The second begins when the first is about to commit an INSERT, which it does once the second waits or has ended.
    """
    inserted, go_on = threading.Event(), threading.Event()
    own: set[int] = set()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() in own and statement.startswith("INSERT"):
            inserted.set()

    def hold(_connection: Any) -> None:
        if threading.get_ident() in own and inserted.is_set() and not go_on.is_set():
            held.set()
            assert go_on.wait(60)

    def run_first() -> _A:
        own.add(threading.get_ident())
        try:
            return first()
        finally:
            held.set()

    held = threading.Event()
    event.listen(database.engine, "before_cursor_execute", note)
    event.listen(database.engine, "commit", hold)
    try:
        with ThreadPoolExecutor(2) as threads:
            one = threads.submit(run_first)
            try:
                assert held.wait(60)
                other = threads.submit(second)
                until(lambda: other.done() or waits_for_a_lock(database), "the second waits, or has ended")
            finally:
                go_on.set()
            return _outcome(one.result), _outcome(other.result)
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
        event.remove(database.engine, "commit", hold)


def _outcome(result: Callable[[], Any]) -> Any:
    try:
        return result()
    except Exception as error:  # noqa: BLE001 - the test says which it expects
        return error
