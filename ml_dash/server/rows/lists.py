"""What experiments are sorted and filtered by, as tables with indices: parameters, and the fields of metrics.

Ingest only marks which series have changed, and keeps their summaries beside them: to write a row of each of these
tables, and of its indices, with every commit would cost more than all the rest of it. Whoever asks for a list has what
changed brought in before, so that the answer knows all that was stored until then; and a thread does so now and then,
so that there is never much to bring in.

What an older version has stored is read once, rows and all. So is the rest of what `catalogue.kept` names.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, insert, select, text, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from ml_dash.errors import MLDashError
from ml_dash.journal.block_ops import slice_block
from ml_dash.query.attempts import superseded_from
from ml_dash.query.listing.comparing import comparable, kept as compared, to_float
from ml_dash.query.listing.definitions import fold_definitions
from ml_dash.query.listing.summary import block_summaries
from ml_dash.query.row_source import param_rows, read_params
from ml_dash.query.selection import kept_ranges
from ml_dash.series import Kind
from ml_dash.server.catalogue.kept import (
    Hidden,
    Kept,
    pack_definitions,
    take_in,
    unpack,
)
from ml_dash.server.catalogue.values import definitions_of
from ml_dash.server.db.database import dialect_insert, upsert
from ml_dash.server.db.tables import EXPERIMENTS, METRIC_FIELDS, NAMES, PARAMS, SERIES, series_name
from ml_dash.server.db.texts import comparable_text, searchable
from ml_dash.server.errors import ApiError
from ml_dash.server.recent import Recent
from ml_dash.server.rows.attempts import read_attempts, read_spans
from ml_dash.server.rows.index import StoreIndex, series_info

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Table

    from ml_dash.journal.blocks import Block
    from ml_dash.query.listing.listed import Definitions
    from ml_dash.query.listing.summary import FieldSummary
    from ml_dash.query.selection import Blocks
    from ml_dash.series import Series
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.rows.index import SeriesInfo

_LOG = logging.getLogger("ml_dash.server")
_AT_ONCE = 256
"""Series that one transaction brings in: others who write wait for it."""
_ROWS, _PATIENCE = 200_000, 1.0
"""Rows that are read, and seconds that pass, for whoever waits for a list; the thread reads the rest."""
_ROWS_AT_ONCE = 1_000_000
"""Rows of a series after which what was read of it is stored, so that a server that stops has not read them in vain."""
_SECONDS = 10.0
"""Time between two looks of the thread."""
_NAME_BYTES = 1000
"""Longer names cannot be searched for, see `ml_dash.server.db.texts`."""
_UNREADABLE = 1000
"""Series whose rows are damaged, and that the log has told of."""

_PARAM, _FIELD = True, False
_Key = tuple[str, int]
"""An experiment, and the number of a series."""
_Name = tuple[str, bool, str, str]
"""A row of `NAMES`: an owner, whether it is a parameter, the metric, and the name."""


class _Read(NamedTuple):
    """The parameters of an experiment, and what they define, when their series had so many rows."""

    rows: int
    params: dict[str, Any]
    definitions: bytes | None


class _Caught(NamedTuple):
    """What is to be kept of a series, where the summary before had so many rows."""

    before: int
    kept: Kept


class Lists:
    """Brings the tables up to date: for whoever asks, and now and then on a thread of its own.

    Several server processes may do so on one database. Any thread may call it.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._end = threading.Event()
        # a daemon: what it reads is read again by the next server
        self._thread = threading.Thread(target=self._work, name="ml-dash-lists", daemon=True)
        self._unreadable: Recent[_Key, None] = Recent(_UNREADABLE)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, when it has brought in what it has at hand."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def bring_in(
        self, rows: int | None = _ROWS, seconds: float = _PATIENCE, ids: Sequence[str] | None = None
    ) -> bool:
        """Bring in what was stored until now; say whether that is all.

        Args:
            rows: How many rows of metrics may be read for it; None for any number, however long it takes.
            seconds: After how long no more of them are.
            ids: Of these experiments alone: who asks for them does not wait for what others have sent.

        Raises:
            SQLAlchemyError: The database cannot be used.
            OSError: Rows are out of reach.
        """
        left = math.inf if rows is None else rows
        end = math.inf if rows is None else time.monotonic() + seconds
        after: _Key = "", 0
        defined = False
        while found := self._marked(after, ids):
            after = found[-1].experiment_id, found[-1].number
            looked_at: list[_Key] = []
            read: dict[_Key, _Read] = {}
            caught: dict[_Key, _Caught] = {}
            # parameters first: they are few, and there whatever metrics take
            for each in sorted(found, key=lambda marked: marked.kind != Kind.PARAMS):
                key = _key_of(each)
                if each.kind == Kind.PARAMS:
                    read[key] = self._params(each)
                elif each.summary_rows < each.rows or each.resumed:
                    if time.monotonic() >= end:
                        left = -1
                        break
                    count, news = self._catch_up(key, left)
                    left -= count
                    if news is not None:
                        caught[key] = news
                looked_at.append(key)
            defined |= bool(looked_at) and self._store(looked_at, read, caught)
            if left < 0 or self._end.is_set():
                return False
        # the metrics of which another value is the best now may lie before the parameters that say so
        return not defined or self.bring_in(rows, seconds, ids)

    def _work(self) -> None:
        while not self._end.is_set():
            try:
                self.bring_in(rows=None)
            except (OSError, SQLAlchemyError, MLDashError, ValueError) as error:
                _LOG.warning("what lists are sorted by is brought up to date later: %s", error)
            self._end.wait(_SECONDS)

    def _marked(self, after: _Key, ids: Sequence[str] | None) -> list[Row[Any]]:
        """Return the next series that have changed, of these experiments; None for all."""
        query = _MARKED.where(tuple_(SERIES.c.experiment_id, SERIES.c.number) > after)
        if ids is not None:
            query = query.where(SERIES.c.experiment_id.in_(ids))
        with self._backend.database.read() as connection:
            return list(connection.execute(query))

    def _params(self, marked: Row[Any]) -> _Read:
        # the number of rows was read before them: more of them may be in it, and are brought in again
        index = self._index(marked.experiment_id)
        definitions = fold_definitions(param_rows(index))
        return _Read(marked.rows, read_params(index), pack_definitions(definitions))

    def _index(self, experiment_id: str) -> StoreIndex:
        return StoreIndex(self._backend.database, self._backend.objects, experiment_id)

    def _catch_up(self, key: _Key, most: float) -> tuple[float, _Caught | None]:
        """Read the rows of a series that its summary lacks.

        Returns:
            How many that were, infinity for more than may be read; and what is to be kept of them, if anything.
        """
        read = 0.0
        while not self._end.is_set():
            with self._backend.database.read() as connection:
                row = connection.execute(select(SERIES).where(_is(key))).one_or_none()
                if row is None:
                    return read, None
                info = series_info(row)
                hidden = _hidden(connection, key[0], info)
            before = row.summary_rows
            kept = unpack(before, row.summary)
            if list(kept.hidden) != _up_to(kept.rows, hidden):
                kept = Kept(0, {})
            if kept.rows >= info.rows:
                return read, None
            if read >= most:
                return math.inf, None
            stop = min(info.rows, kept.rows + _ROWS_AT_ONCE)
            try:
                kept = self._folded(key[0], info.series, kept, stop, hidden)
            except (ApiError, ValueError) as error:
                if key not in self._unreadable:
                    self._unreadable[key] = None
                    _LOG.warning("experiment %s is not sorted by %r: %s", key[0], info.series.name, error)
                return read, None
            read += stop - before
            if stop == info.rows:
                # together with others: a commit for each would take longer than to read it
                return read, _Caught(before, kept)
            with self._backend.database.write() as connection:
                _keep(connection, key, _Caught(before, kept))
        return math.inf, None

    def _folded(
        self, experiment_id: str, series: Series, kept: Kept, stop: int, hidden: Sequence[Hidden]
    ) -> Kept:
        """Return what is kept of the rows up to `stop`."""
        blocks = partial(self._index(experiment_id).blocks, series)
        fields = dict(kept.fields)
        for first, block in _shown(kept.rows, stop, hidden, blocks):
            take_in(fields, block_summaries(first, block))
        return Kept(stop, fields, _up_to(stop, hidden))

    def _store(
        self, keys: Sequence[_Key], read: Mapping[_Key, _Read], caught: Mapping[_Key, _Caught]
    ) -> bool:
        """Write the tables for these series as they are now, and note which of them have nothing left to bring in.

        Returns:
            Whether other values of metrics are the best ones now: then these are marked.
        """
        ids = sorted({key[0] for key in keys})
        with self._backend.database.write() as connection:
            # the lock that whoever stores rows takes, too, in the same order
            locked = connection.execute(
                select(EXPERIMENTS.c.id, EXPERIMENTS.c.owner, EXPERIMENTS.c.resumed)
                .where(EXPERIMENTS.c.id.in_(ids))
                .order_by(EXPERIMENTS.c.id)
                .with_for_update()
            )
            experiments = {row.id: row for row in locked}
            for key, news_of_it in caught.items():
                _keep(connection, key, news_of_it)
            found = connection.execute(
                select(SERIES).where(
                    SERIES.c.experiment_id.in_(ids), SERIES.c.number.in_(sorted({key[1] for key in keys}))
                )
            )
            rows = {_key_of(row): row for row in found}
            news = _News(connection, definitions_of(connection, ids))
            for key in keys:
                row, experiment = rows.get(key), experiments[key[0]]
                if row is None:
                    continue
                if key in read and series_name(row.name) is not None:
                    # whoever writes a journal by other means may name parameters: nobody reads those
                    is_current = True
                elif key in read:
                    news.add_params(key, experiment.owner, read[key].params)
                    if row.summary != read[key].definitions:
                        news.define(key, read[key].definitions)
                    is_current = read[key].rows == row.rows
                else:
                    kept = unpack(row.summary_rows, row.summary)
                    hidden = _hidden(connection, key[0], series_info(row)) if experiment.resumed else []
                    is_current = kept.rows == row.rows and list(kept.hidden) == hidden
                    news.add_fields(
                        key, experiment.owner, series_name(row.name), kept, anew=experiment.resumed
                    )
                if is_current:
                    news.listed.append(key)
            news.store()
            return bool(news.defined)


def _keep(connection: Connection, key: _Key, news: _Caught) -> None:
    # only ingest, which goes on where all rows are in it, and others who read them change it
    connection.execute(
        update(SERIES)
        .where(_is(key), SERIES.c.summary_rows == news.before)
        .values(summary=news.kept.packed(), summary_rows=news.kept.rows)
    )


class _News:
    """What a transaction writes to the tables."""

    def __init__(self, connection: Connection, definitions: Mapping[str, Definitions]) -> None:
        self._connection = connection
        self._definitions = definitions
        self._params: list[dict[str, Any]] = []
        self._anew: list[tuple[Table, _Key]] = []
        self._fields: list[dict[str, Any]] = []
        self._names: dict[_Name, bool] = {}
        self.listed: list[_Key] = []
        """Series that have nothing left to bring in."""
        self.defined: dict[_Key, bytes | None] = {}
        """What is kept beside the parameters, where that differs from before."""

    def add_params(self, key: _Key, owner: str, params: Mapping[str, Any]) -> None:
        """Take in all parameters of an experiment."""
        self._anew.append((PARAMS, key))
        known = _searched_for(params)
        for place, (name, value) in enumerate(params.items()):
            said = compared(comparable(value))
            number, text = (None, None) if said is None else said
            self._params.append(
                {
                    "experiment_id": key[0],
                    "place": place,
                    "full_name": name,
                    "value": value,
                    "name": known.get(name),
                    "number": number,
                    "text": text and comparable_text(text),
                }
            )
            if name in known and value is not None:
                # NaN among numbers makes no text of them
                self._note((owner, _PARAM, "", name), number is not None or isinstance(value, float))

    def add_fields(self, key: _Key, owner: str, metric: str | None, kept: Kept, *, anew: bool) -> None:
        """Take in the fields of a metric; `anew` where there may be fewer than before, or others."""
        if anew:
            self._anew.append((METRIC_FIELDS, key))
        known = _searched_for(kept.fields)
        for place, (field, summary) in enumerate(kept.fields.items()):
            if field in known:
                best = self._definitions.get(key[0], {}).get((metric, field), "last")
                row = _field_row(key, place, metric or "", field, summary)
                self._fields.append({**row, "best": row[best]})
                is_number = summary.count > 0 and not isinstance(summary.last, str)
                self._note((owner, _FIELD, metric or "", field), is_number)

    def define(self, key: _Key, definitions: bytes | None) -> None:
        """Take in which values are best."""
        self.defined[key] = definitions

    def _note(self, name: _Name, is_number: object) -> None:
        key = *name[:2], searchable(name[2]), searchable(name[3])
        self._names[key] = self._names.get(key, True) and bool(is_number)

    def store(self) -> None:
        """Write it."""
        connection = self._connection
        for table, (experiment_id, series) in self._anew:
            own = [table.c.experiment_id == experiment_id]
            if table is METRIC_FIELDS:
                own.append(table.c.series == series)
            connection.execute(delete(table).where(*own))
        if self._params:
            connection.execute(insert(PARAMS), self._params)
        if self._fields:
            upsert(connection, METRIC_FIELDS, self._fields)
        if self._names:
            self._store_names()
        for key, definitions in self.defined.items():
            connection.execute(update(SERIES).where(_is(key)).values(summary=definitions))
            of_metrics = SERIES.c.experiment_id == key[0], SERIES.c.kind == int(Kind.METRIC)
            connection.execute(update(SERIES).where(*of_metrics).values(unlisted=True))
            self.listed = [each for each in self.listed if each[0] != key[0] or each == key]
        if self.listed:
            connection.execute(
                _SET_LISTED, [{"of_experiment": key[0], "of_number": key[1]} for key in self.listed]
            )

    def _store_names(self) -> None:
        statement = dialect_insert(self._connection, NAMES)
        statement = statement.on_conflict_do_update(
            index_elements=list(NAMES.primary_key),
            set_={"is_number": False},
            # nearly all are known, and as they are: that is to write nothing
            where=and_(NAMES.c.is_number, ~statement.excluded.is_number),
        )
        # sorted: two transactions that lock them in different orders could wait for each other
        rows = [
            {"owner": owner, "is_param": is_param, "metric": metric, "name": name, "is_number": is_number}
            for (owner, is_param, metric, name), is_number in sorted(self._names.items())
        ]
        self._connection.execute(statement, rows)


_MARKED = (
    select(
        SERIES.c.experiment_id,
        SERIES.c.number,
        SERIES.c.kind,
        SERIES.c.rows,
        SERIES.c.summary_rows,
        EXPERIMENTS.c.resumed,
    )
    .join(EXPERIMENTS, EXPERIMENTS.c.id == SERIES.c.experiment_id)
    # as it stands in the index: `unlisted = 1` SQLite would not take for the same
    .where(text("series.unlisted"))
    .order_by(SERIES.c.experiment_id, SERIES.c.number)
    .limit(_AT_ONCE)
)
_SET_LISTED = (
    update(SERIES)
    .where(SERIES.c.experiment_id == bindparam("of_experiment"), SERIES.c.number == bindparam("of_number"))
    .values(unlisted=False)
)


def _field_row(key: _Key, place: int, metric: str, field: str, summary: FieldSummary) -> dict[str, Any]:
    last = compared(summary.last)
    return {
        "experiment_id": key[0],
        "series": key[1],
        "place": place,
        "metric": searchable(metric),
        "field": searchable(field),
        "count": summary.count,
        **{name: _number(getattr(summary, name)) for name in ("first", "min", "max", "mean")},
        "last": None if last is None else last.number,
        "last_text": last and last.text and comparable_text(last.text),
    }


def _number(value: Any) -> float | None:
    """Return a number as the database compares it: NaN is in no order, and PostgreSQL would have it above all."""
    if value is None:
        return None
    number = to_float(value)
    return None if math.isnan(number) else number


def _searched_for(names: Collection[str]) -> dict[str, str]:
    """Return what the database knows names by. No two are known by one, or an experiment would be listed twice.

    Left out are those that are too long, and whatever is only the same as another one without what databases refuse.
    """
    found = {name: searchable(name) for name in names if _fits(name)}
    taken = {name for name, known in found.items() if known == name}
    if len(taken) == len(found):
        return found
    for name, known in list(found.items()):
        if known != name and known in taken:
            del found[name]
        taken.add(known)
    return found


def _fits(name: str) -> bool:
    return len(name) * 4 <= _NAME_BYTES or len(name.encode("utf-8", "replace")) <= _NAME_BYTES


def _key_of(row: Row[Any]) -> _Key:
    return row.experiment_id, row.number


def _is(key: _Key) -> ColumnElement[bool]:
    return and_(SERIES.c.experiment_id == key[0], SERIES.c.number == key[1])


def _hidden(connection: Connection, experiment_id: str, info: SeriesInfo) -> list[Hidden]:
    """Return which rows of a series later attempts may have superseded."""
    attempts = read_attempts(connection, experiment_id)
    limits = superseded_from(attempts)
    if not limits:
        return []
    spans = read_spans(connection, experiment_id, info, attempts)
    return [Hidden(each.first, each.stop, limits[each.attempt]) for each in spans if each.attempt in limits]


def _up_to(stop: int, hidden: Sequence[Hidden]) -> list[Hidden]:
    return [each._replace(stop=min(each.stop, stop)) for each in hidden if each.first < stop]


def _shown(start: int, stop: int, hidden: Sequence[Hidden], blocks: Blocks) -> Iterator[tuple[int, Block]]:
    """Yield the rows from `start` to `stop` that are shown, in blocks, each with its first row's index."""
    at = start
    for each in _up_to(stop, hidden):
        if each.stop <= at:
            continue
        yield from _slices(at, each.first, blocks)
        at = max(at, each.first)
        for first, block in blocks(at, each.stop):
            for begin, end in kept_ranges(each.least, first, block, at, each.stop):
                yield begin, slice_block(block, begin - first, end - first)
        at = each.stop
    yield from _slices(at, stop, blocks)


def _slices(start: int, stop: int, blocks: Blocks) -> Iterator[tuple[int, Block]]:
    if start < stop:
        for first, block in blocks(start, stop):
            begin, end = max(start, first), min(stop, first + block.count)
            yield begin, slice_block(block, begin - first, end - first)
