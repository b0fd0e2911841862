"""The views that a server keeps: see `ml_dash.server.catalogue.shelves`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ml_dash.protocol import VIEWS_MAX
from ml_dash.query.times import iso_time
from ml_dash.server.catalogue.shelves import (
    EVERYBODY,
    changed,
    checked_base,
    no_such_view,
    too_many_views,
    too_new,
)
from ml_dash.server.db.database import take_turn
from ml_dash.server.db.tables import VIEWS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from ml_dash.clock import Clock
    from ml_dash.server.catalogue.shelves import NewSavedView, Shelf
    from ml_dash.server.db.database import Database


class StoredViews:
    """The views that a server keeps; see `ViewShelves`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def all(self, shelf: Shelf) -> list[dict[str, Any]]:
        """See `ViewShelves.all`."""
        query = select(*(column for column in VIEWS.c if column.name != "state")).where(*_on(shelf))
        with self._database.read() as connection:
            return [_told(row) for row in connection.execute(query.order_by(VIEWS.c.name, VIEWS.c.id))]

    def get(self, shelf: Shelf, id_: str) -> dict[str, Any]:
        """See `ViewShelves.get`."""
        with self._database.read() as connection:
            found = _current(connection, shelf, id_)
        if found is None:
            raise no_such_view(id_)
        return found

    def put(
        self, shelf: Shelf, id_: str, new: NewSavedView, based_on: str | None, who: str
    ) -> dict[str, Any]:
        """See `ViewShelves.put`."""
        values = {
            "name": new.name,
            "format": new.format,
            "is_default": new.default,
            "state": new.state,
            "version": secrets.token_hex(8),
            "updated_ns": self._clock.time_ns(),
            "who": who,
        }
        try:
            with self._database.write() as connection:
                return _put(connection, shelf, id_, new, based_on, values)
        except IntegrityError:
            # somebody else has made it at this very moment
            raise changed(id_, self.get(shelf, id_)) from None

    def delete(self, shelf: Shelf, id_: str, based_on: str) -> None:
        """See `ViewShelves.delete`."""
        with self._database.write() as connection:
            current = _current(connection, shelf, id_)
            if current is None:
                raise no_such_view(id_)
            version = checked_base(id_, current, based_on)
            same = (*_on(shelf), VIEWS.c.id == id_, VIEWS.c.version == version)
            if not connection.execute(delete(VIEWS).where(*same)).rowcount:
                raise changed(id_, _current(connection, shelf, id_))


def _put(
    connection: Connection,
    shelf: Shelf,
    id_: str,
    new: NewSavedView,
    based_on: str | None,
    values: dict[str, Any],
) -> dict[str, Any]:
    # not only for their number: of two that become the default at once, one takes the other's place
    take_turn(connection, "views", *shelf)
    current = _current(connection, shelf, id_)
    based_on = checked_base(id_, current, based_on)
    if current is not None and current["format"] > new.format:
        raise too_new(id_, current, new)
    if current is None:
        if connection.execute(select(func.count()).where(*_on(shelf))).scalar_one() >= VIEWS_MAX:
            raise too_many_views()
        connection.execute(insert(VIEWS).values(**shelf._asdict(), id=id_, **values))
    else:
        # once more with the version: PostgreSQL lets another transaction save it between the two
        same = (*_on(shelf), VIEWS.c.id == id_, VIEWS.c.version == based_on)
        if not connection.execute(update(VIEWS).where(*same).values(**values)).rowcount:
            raise changed(id_, _current(connection, shelf, id_))
    if new.default:
        connection.execute(
            update(VIEWS).where(*_on(shelf), VIEWS.c.id != id_, VIEWS.c.is_default).values(is_default=False)
        )
    found = _current(connection, shelf, id_)
    assert found is not None  # noqa: S101 - for the type checker
    return found


def _on(shelf: Shelf) -> list[ColumnElement[bool]]:
    return [VIEWS.c[name] == value for name, value in shelf._asdict().items()]


def _current(connection: Connection, shelf: Shelf, id_: str) -> dict[str, Any] | None:
    row = connection.execute(select(VIEWS).where(*_on(shelf), VIEWS.c.id == id_)).one_or_none()
    return None if row is None else {**_told(row), "state": row.state}


def _told(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "mine": row.person != EVERYBODY,
        "default": row.is_default,
        "format": row.format,
        "version": row.version,
        "updatedAt": iso_time(row.updated_ns),
        "who": row.who,
    }
