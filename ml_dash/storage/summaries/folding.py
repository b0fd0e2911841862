"""The fold of a journal's frames: what is known of each writer so far, and what all of them amount to."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ml_dash.journal.block_ops import merge_blocks, slice_block
from ml_dash.journal.blocks import block_rows, decode_block
from ml_dash.journal.frame_table import KNOWN_KINDS, times_of
from ml_dash.journal.stacking import is_stackable, stacked
from ml_dash.query.attempts import Openings, attempt_at, attempts_of, superseded_from, turn_of
from ml_dash.query.listing.definitions import fold_definitions
from ml_dash.query.listing.summary import FieldSummary, block_summaries, merge_into
from ml_dash.query.row_source import param_sets
from ml_dash.query.runs import WriterRuns
from ml_dash.query.selection import kept_ranges
from ml_dash.series import Kind, Series
from ml_dash.values.params import fold_params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml_dash.journal.blocks import Block, BlockHead
    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import Summaries

Cuts: TypeAlias = "dict[str, list[tuple[int, float | None]]]"
"""By writer: from a frame's number on, from which step on its rows are superseded; None for none of them."""

_BATCH_FRAMES, _BATCH_BYTES = 512, 8 << 20
"""Frames that are folded together: in memory are these."""
_SETS_MOST = 10_000
"""Settings of parameters that are put in order in memory; the index merges any number, see `read_params`."""
_STEPS = ("first_step", "last_step", "min_step", "max_step")
_VERSION = 1


class RowIndex(int):
    """The index of a row among those of its writer, where a step was to be.

    The rows of all writers are numbered one writer behind the other: so this number moves when an earlier one writes
    more, and a step that was logged does not.
    """

    def __add__(self, other: int) -> RowIndex:
        return RowIndex(int(self) + int(other))


class Mark(NamedTuple):
    """The last frame of a segment that was read: where it is, its number, and the checksum of its head."""

    offset: int
    length: int
    seq: int
    head_crc: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.length


@dataclass(slots=True)
class _Writer:
    """What is known of a writer.

    Attributes:
        marks: How far each of its segments was read, by the file's name.
        next_seq: The number of its next frame.
        rows: How many rows there are of each series.
        fields: The summaries of the fields of each metric, with steps that are a `RowIndex` where none was logged.
        runs: Its RUN rows, each with the number of its frame and its time; of heartbeats in a row the latest.
        last_ns: The latest time of a row in its last frame.
        rising_ns: The latest time of its settings of parameters.
    """

    marks: dict[str, Mark] = field(default_factory=dict)
    next_seq: int = 1
    rows: Counter[Series] = field(default_factory=Counter)
    fields: dict[str | None, Summaries] = field(default_factory=dict)
    runs: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)
    last_ns: int | None = None
    rising_ns: int = -(2**63)

    def add_run(self, seq: int, time_ns: int, row: dict[str, Any]) -> None:
        """Take in a RUN row. Of heartbeats without anything between them, the latest of each run says all."""
        if row.get("event") == "heartbeat":
            for at in range(len(self.runs) - 1, -1, -1):
                _, before_ns, before = self.runs[at]
                if before.get("event") != "heartbeat":
                    break
                if before.get("handle") == row.get("handle"):
                    if before_ns <= time_ns:
                        self.runs[at] = seq, time_ns, row
                    return
        self.runs.append((seq, time_ns, row))


class Fold:
    """What the frames that were added amount to; not for several threads at once.

    A writer's frames are added in the order of their numbers, between `begin` and `finish`.

    Attributes:
        writers: What is known of each.
        params: The flat parameters.
        definitions: Which value of a field is its best, see `fold_definitions`.
        params_are_late: Whether settings have come that are older than some that were applied: read all again.
        rows_read: Rows that were added since `begin`.
    """

    def __init__(self, cuts: Cuts | None = None) -> None:
        self.writers: dict[str, _Writer] = {}
        self.params: dict[str, Any] = {}
        self.definitions: dict[Field, Best] = {}
        self.params_are_late = False
        self.rows_read = 0
        self._params_ns = -(2**63)
        self._cuts = cuts or {}
        self._batch = _Batch()
        self._sets: dict[str, list[tuple[int, dict[str, Any]]]] = {}

    def writer(self, writer_id: str) -> _Writer:
        """Return what is known of a writer."""
        return self.writers.setdefault(writer_id, _Writer())

    def begin(self) -> None:
        """Begin a look."""
        self.rows_read = 0
        self._sets = {}

    def add(self, writer_id: str, seq: int, heads: list[BlockHead], data: memoryview) -> None:
        """Take in the writer's next frame, whose checksums were found right.

        Raises:
            ValueError: The data is not what the heads say.
        """
        writer = self.writer(writer_id)
        if self._batch.is_other(writer_id, heads, least := self._least(writer_id, seq)):
            self.flush()
            self._batch = _Batch(writer_id, heads, least)
        writer.next_seq = seq + 1
        self._batch.take(data)
        for head, start in _starts(heads):
            if head.series.kind in (Kind.RUN, Kind.PARAMS):
                self._add_said(writer_id, seq, decode_block(head, data[start : start + head.nbytes]))
        if self._batch.is_full:
            self.flush()

    def flush(self) -> None:
        """Fold what was batched.

        Raises:
            ValueError: The data is not what the heads say.
        """
        batch, self._batch = self._batch, _Batch()
        if not batch.data:
            return
        writer = self.writers[batch.writer_id]
        for block in batch.blocks():
            self._add_metric(writer, writer.rows[block.series], block, batch.least)
        for head in batch.heads:
            if head.rows and head.series.kind in KNOWN_KINDS:
                writer.rows[head.series] += head.rows * len(batch.data)
                self.rows_read += head.rows * len(batch.data)
        times = times_of(batch.heads, batch.data[-1])
        writer.last_ns = times and times[1]

    def add_blocks(
        self, writer_id: str, seq: int, blocks: Iterable[Block], starts: Mapping[Series, int]
    ) -> None:
        """Take in blocks of a frame, whose first rows have these numbers among those of the writer."""
        writer = self.writer(writer_id)
        writer.next_seq = seq + 1
        for block in blocks:
            self.rows_read += block.count
            writer.rows[block.series] = starts[block.series] + block.count
            if block.series.kind == Kind.METRIC:
                self._add_metric(writer, starts[block.series], block, self._least(writer_id, seq))
            else:
                self._add_said(writer_id, seq, block)

    def finish(self) -> None:
        """End a look: apply the settings of parameters that have come, of all writers in order of their times."""
        self.flush()
        if not self._sets:
            return
        if sum(map(len, self._sets.values())) > _SETS_MOST:
            raise ValueError("there are too many settings of parameters to put in order here")
        # of the same time, the rows of the writer that comes first are first
        found = [self._sets[writer_id] for writer_id in sorted(self._sets)]
        earliest = min(rows[0][0] for rows in found)
        others = len(self.writers) > 1
        self.params_are_late = earliest < self._params_ns or (others and earliest == self._params_ns)
        rows = list(heapq.merge(*found, key=itemgetter(0)))
        self.params = fold_params([self.params, *param_sets(fields for _, fields in rows)])
        known = {"define": [[*each, best] for each, best in self.definitions.items()]}
        self.definitions = fold_definitions([known, *(fields for _, fields in rows)])
        self._params_ns = max(self._params_ns, rows[-1][0])

    @property
    def rows(self) -> int:
        """How many rows of metrics there are."""
        return self._count(Kind.METRIC)

    @property
    def alerts(self) -> int:
        """How many alerts there are."""
        return self._count(Kind.ALERT)

    def _count(self, kind: Kind) -> int:
        return sum(
            count
            for writer in self.writers.values()
            for series, count in writer.rows.items()
            if series.kind == kind
        )

    @property
    def entries(self) -> int:
        """How many rows of all kinds there are."""
        return sum(count for writer in self.writers.values() for count in writer.rows.values())

    def runs(self, came: Mapping[str, int | None]) -> dict[str, WriterRuns]:
        """Return the RUN rows that count, by writer; `came` says when something came last of each."""
        return {
            name: WriterRuns(
                [(time_ns, row) for _, time_ns, row in writer.runs], writer.last_ns, came.get(name), name
            )
            for name, writer in sorted(self.writers.items())
        }

    def metrics(self) -> dict[str | None, Summaries]:
        """Return the summaries of the fields of each metric, of all writers together."""
        found: dict[str | None, Summaries] = {}
        before: Counter[Series] = Counter()
        for _, writer in sorted(self.writers.items()):
            for series, count in writer.rows.items():
                if series.kind == Kind.METRIC:
                    base = before[series]
                    own = writer.fields.get(series.name, {})
                    merge_into(
                        found.setdefault(series.name, {}),
                        {name: _placed(summary, base) for name, summary in own.items()},
                    )
                    before[series] += count
        return found

    def cuts_now(self) -> Cuts:
        """Return which rows are superseded, as all RUN rows say that are known."""
        found = {name: Openings(name) for name in sorted(self.writers)}
        starts: dict[str, list[tuple[int, int]]] = {name: [] for name in found}
        for name, openings in found.items():
            for seq, time_ns, row in self.writers[name].runs:
                at, turn = len(openings.found), turn_of(time_ns, row)
                if openings.add(at, turn) is not None and turn.event == "start":
                    starts[name].append((seq, at))
        attempts = attempts_of(opening for openings in found.values() for opening in openings.found)
        limits = superseded_from(attempts)
        if not limits:
            return {}
        numbers = {
            (each.writer, each.at): attempt.number for attempt in attempts for each in attempt.openings
        }
        cuts: Cuts = {}
        for name, own in starts.items():
            # as `JournalAttempts.spans` has it
            born = attempt_at(attempts, name)
            owner = numbers[name, own[0][1]] if own else 1 if born is None else born.number
            cuts[name] = [(0, limits.get(owner))]
            cuts[name] += [(seq, limits.get(numbers[name, at])) for seq, at in own]
        return cuts

    def agrees(self, cuts: Cuts) -> bool:
        """Say whether the frames that were added were cut as these cuts say, which are those of the next ones then."""
        is_same = all(
            _until(cuts.get(name, ()), writer.next_seq) == _until(self._cuts.get(name, ()), writer.next_seq)
            for name, writer in self.writers.items()
        )
        if is_same:
            self._cuts = cuts
        return is_same

    def state(self) -> Any:
        """Return all that is known, as msgpack can carry it."""
        return [
            _VERSION,
            [[name, _writer_state(writer)] for name, writer in self.writers.items()],
            self.params,
            [[*each, best] for each, best in self.definitions.items()],
            self._params_ns,
            self._cuts,
        ]

    @classmethod
    def from_state(cls, state: Any) -> Fold:
        """Return the fold that had this state.

        Raises:
            ValueError: It is that of another version, or damaged.
        """
        try:
            version, writers, params, defined, params_ns, cuts = state
            if version != _VERSION:
                raise ValueError("another version has kept this")
            fold = cls({name: [tuple(each) for each in own] for name, own in cuts.items()})
            fold.writers = {name: _writer_of(own) for name, own in writers}
            fold.params, fold._params_ns = params, params_ns
            fold.definitions = {(metric, name): best for metric, name, best in defined}
        except (TypeError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"what was kept is damaged: {error}") from error
        return fold

    def _least(self, writer_id: str, seq: int) -> float | None:
        least = None
        for first, value in self._cuts.get(writer_id, ()):
            if first > seq:
                break
            least = value
        return least

    def _add_metric(self, writer: _Writer, start: int, block: Block, least: float | None) -> None:
        fields = writer.fields.setdefault(block.series.name, {})
        if least is None:
            merge_into(fields, block_summaries(RowIndex(start), block))
            return
        for first, stop in kept_ranges(least, start, block):
            merge_into(
                fields, block_summaries(RowIndex(first), slice_block(block, first - start, stop - start))
            )

    def _add_said(self, writer_id: str, seq: int, block: Block) -> None:
        writer = self.writers[writer_id]
        rows = zip(map(int, block.times), block_rows(block), strict=True)
        if block.series.kind == Kind.RUN:
            for time_ns, row in rows:
                writer.add_run(seq, time_ns, row)
        elif block.series.kind == Kind.PARAMS:
            for time_ns, row in rows:
                # a writer's own settings stay in their order, though its clock may have been set back between two
                writer.rising_ns = max(writer.rising_ns, time_ns)
                self._sets.setdefault(writer_id, []).append((writer.rising_ns, row))


class _Batch:
    """Frames of one writer that follow one another and have the same meta."""

    def __init__(
        self, writer_id: str = "", heads: list[BlockHead] | None = None, least: float | None = None
    ) -> None:
        self.writer_id = writer_id
        self.heads = heads or []
        self.least = least
        self.data: list[memoryview] = []
        self._size = 0
        self._is_stackable = is_stackable(self.heads, Kind.METRIC)

    def is_other(self, writer_id: str, heads: list[BlockHead], least: float | None) -> bool:
        # equal metas come as the very same list, see `Reader.heads`
        return self.heads is not heads or (self.writer_id, self.least) != (writer_id, least)

    def take(self, data: memoryview) -> None:
        self.data.append(data)
        self._size += len(data)

    @property
    def is_full(self) -> bool:
        return len(self.data) >= _BATCH_FRAMES or self._size >= _BATCH_BYTES

    def blocks(self) -> Iterator[Block]:
        """Yield the rows of each metric as one block."""
        heads = self.heads
        if not any(head.rows and head.series.kind == Kind.METRIC for head in heads):
            return
        if self._is_stackable and len({head.series for head in heads}) == len(heads):
            yield from stacked(heads, self.data, Kind.METRIC)
            return
        decoded: dict[Series, list[Block]] = {}
        for data in self.data:
            for head, start in _starts(heads):
                if head.series.kind == Kind.METRIC:
                    block = decode_block(head, data[start : start + head.nbytes])
                    decoded.setdefault(block.series, []).append(block)
        for found in decoded.values():
            yield found[0] if len(found) == 1 else merge_blocks(found)


def _starts(heads: Iterable[BlockHead]) -> Iterator[tuple[BlockHead, int]]:
    """Yield what is said of each block that has rows, and where it begins in the frame's data."""
    offset = 0
    for head in heads:
        if head.rows:
            yield head, offset
        offset += head.nbytes


def _until(cuts: Sequence[tuple[int, float | None]], next_seq: int) -> list[tuple[int, float | None]]:
    """Return how the frames below a number are cut, in the shortest form."""
    below = [each for each in cuts if each[0] < next_seq] or [(0, None)]
    return [next(group) for _, group in groupby(below, key=itemgetter(1))]


def _placed(summary: FieldSummary, base: int) -> FieldSummary:
    """Return a summary with the numbers of its rows, of which there are `base` before."""
    moved = {
        name: int(step) + base
        for name, step in zip(_STEPS, summary[-len(_STEPS) :], strict=True)
        if isinstance(step, RowIndex)
    }
    return summary._replace(**moved) if moved else summary


def _writer_state(writer: _Writer) -> Any:
    return [
        {name: list(mark) for name, mark in writer.marks.items()},
        writer.next_seq,
        [[int(series.kind), series.name, count] for series, count in writer.rows.items()],
        [
            [name, [[field, *_flat(summary)] for field, summary in fields.items()]]
            for name, fields in writer.fields.items()
        ],
        writer.runs,
        writer.last_ns,
        writer.rising_ns,
    ]


def _writer_of(state: Any) -> _Writer:
    marks, next_seq, rows, fields, runs, last_ns, rising_ns = state
    return _Writer(
        {name: Mark(*mark) for name, mark in marks.items()},
        next_seq,
        Counter({Series(Kind(kind), name): count for kind, name, count in rows}),
        {name: {field: _summary(*flat) for field, *flat in own} for name, own in fields},
        [(seq, time_ns, row) for seq, time_ns, row in runs],
        last_ns,
        rising_ns,
    )


def _flat(summary: FieldSummary) -> list[Any]:
    are_indices = [isinstance(step, RowIndex) for step in summary[-len(_STEPS) :]]
    return [sum(is_index << at for at, is_index in enumerate(are_indices)), *summary]


def _summary(indices: int, *values: Any) -> FieldSummary:
    head, steps = values[: -len(_STEPS)], values[-len(_STEPS) :]
    return FieldSummary(
        *head, *(RowIndex(step) if indices >> at & 1 else step for at, step in enumerate(steps))
    )
