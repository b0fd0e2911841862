"""What is kept in memory of the series that were added to last is what is in the database, or is read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import select

from ml_dash.identity import parse_prefix
from ml_dash.journal.blocks import Block, Column
from ml_dash.query.listing.summary import FieldSummary, summarized
from ml_dash.series import Kind
from ml_dash.server.catalogue.kept import Kept, unpack
from ml_dash.server.catalogue.records import Description, Introduction
from ml_dash.server.db.tables import SERIES
from ml_dash.server.ingest.append import Appended, append
from ml_dash.server.ingest.frames import parse_frames
from ml_dash.server.ingest.known import KnownSummaries
from ml_dash.server.ingest.prepare import NewRows, prepare
from ml_dash.server.store import Store
from tests.support.serving import NOON, TRAIN, frame
from tests.support.statements import statements


@pytest.fixture
def id_(store: Store) -> str:
    identity = parse_prefix("a/b/c", user=str, now_ns=lambda: NOON)
    return str(store.experiments.upsert(Introduction(identity))["id"])


def rows(store: Store, id_: str, seq: int, writer: str = "one") -> NewRows:
    """A request of two rows, which differs from any other one."""
    values = [seq * 0.5, -seq * 0.25]
    block = Block(
        TRAIN, [NOON, NOON + 1], [Column("loss", "f", None, values), Column("n", "i", None, [seq, seq])]
    )
    body = frame(seq, block)
    return prepare(id_, writer, body, parse_frames(body).frames, objects=store.objects, object_bytes=1 << 20)


def stored(store: Store, known: KnownSummaries, new: NewRows) -> None:
    with store.database.write() as connection:
        (outcome,) = append(connection, [new], NOON, known)
        assert isinstance(outcome, Appended)
        assert outcome.stored
    known.commit()


def kept(store: Store, id_: str) -> tuple[int, dict[str, FieldSummary]]:
    with store.database.read() as connection:
        row = connection.execute(select(SERIES).where(SERIES.c.experiment_id == id_)).one()
    assert row.summary_rows == row.rows
    return row.rows, unpack(row.summary_rows, row.summary).fields


def read(store: Store, id_: str) -> dict[str, FieldSummary]:
    return summarized(store.view(id_).shown(TRAIN).blocks())


@pytest.fixture
def summaries_read(store: Store) -> Iterator[list[str]]:
    """The statements that have read summaries of series."""
    with statements(store.database, "SELECT.* AS summary") as executed:
        yield executed


def test_what_was_written_last_is_not_read_again(store: Store, id_: str, summaries_read: list[str]) -> None:
    known = KnownSummaries()
    for seq in range(1, 6):
        stored(store, known, rows(store, id_, seq))
        assert kept(store, id_) == (2 * seq, read(store, id_))
    assert len(summaries_read) == 1, "at the first time, when nothing was known yet"


def test_what_another_server_has_added_or_whoever_removed_is_read(
    store: Store, id_: str, summaries_read: list[str]
) -> None:
    ours, theirs = KnownSummaries(), KnownSummaries()
    at = {"one": 0, "two": 0}

    def add(known: KnownSummaries, writer: str) -> None:
        at[writer] += 1
        stored(store, known, rows(store, id_, at[writer], writer))
        assert kept(store, id_) == (2 * sum(at.values()), read(store, id_))

    for known, writer in ((ours, "one"), (theirs, "two"), (ours, "one"), (ours, "one"), (theirs, "two")):
        add(known, writer)
    assert len(summaries_read) == 4
    # of no rows, and of as many as before: a series that has begun anew may have as many as one before
    prefix = parse_prefix("a/b/c", user=str, now_ns=lambda: NOON)
    with store.database.write() as connection:
        connection.execute(
            SERIES.update()
            .where(SERIES.c.experiment_id == id_)
            .values(summary=Kept(2 * sum(at.values()), {}).packed())
        )
    store.experiments.upsert(Introduction(prefix, Description(tags=("changed",))))
    at["one"] += 1
    stored(store, ours, rows(store, id_, at["one"]))
    assert kept(store, id_)[1]["loss"].count == 2


def test_what_was_not_committed_was_never_there(store: Store, id_: str) -> None:
    known = KnownSummaries()
    stored(store, known, rows(store, id_, 1))
    with suppress(ZeroDivisionError), store.database.write() as connection:
        append(connection, [rows(store, id_, 2)], NOON, known)
        raise ZeroDivisionError
    with store.database.write() as connection:
        # refused: it does not follow
        (outcome,) = append(connection, [rows(store, id_, 7)], NOON, known)
        assert isinstance(outcome, Appended)
        assert not outcome.stored
    known.commit()
    stored(store, known, rows(store, id_, 2))
    assert kept(store, id_) == (4, read(store, id_))


def test_no_more_is_kept_than_there_is_room_for() -> None:
    known = KnownSummaries(fields=6)

    def key(name: str) -> tuple[str, int, bytes]:
        return "exp", int(Kind.METRIC), name.encode()

    for name in ("a", "b", "c"):
        known.begin()
        known.note(key(name), 1, Kept(1, {"x": FieldSummary()}))
        known.commit()
    assert known.take(key("a"), 1) == Kept(1, {"x": FieldSummary()})
    for number, name in enumerate(("d", "e", "f")):
        known.begin()
        known.note(key(name), 1, Kept(1, {}) if number == 2 else Kept(1, {"x": FieldSummary()}))
        known.commit()
    assert [name for name in "abcdef" if known.take(key(name), 1) is not None] == ["d", "e", "f"]
