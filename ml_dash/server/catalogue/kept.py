"""What is kept of a metric beside its series, so that whoever lists experiments reads no rows.

Ingest merges the summaries of what it stores into those of the rows before, in the same transaction. It leaves that to
`ml_dash.server.rows.lists` where it cannot know them without reading rows: where an attempt repeats from a step on, and
supersedes rows that were counted; where rows have a ``step`` and others have none; where a metric has very many fields;
and where the rows before were stored by an older version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.journal.blocks import as_list
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.query.listing.summary import STEP, FieldSummary, block_summaries, merge_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.query.listing.listed import Definitions
    from ml_dash.query.listing.summary import Number, Summaries

MERGED_FIELDS, MERGED_BYTES = 256, 64 << 10
"""Fields of a block, and bytes of what is kept of a series, beyond which ingest leaves it to `rows.lists`: what is kept
is read and written with every commit that adds rows to the series."""
FIELDS_MAX, NAMES_MAX = 10_000, 1 << 20
"""Fields of a metric of which something is kept, and characters of their names."""

_STEPS = 4
"""The last fields of a summary: at which step each of its values is."""


class Hidden(NamedTuple):
    """Rows of a series of which those with a step of `least` or above were superseded."""

    first: int
    stop: int
    least: float


class Kept(NamedTuple):
    """What is kept of a series.

    Attributes:
        rows: Of how many of its rows, from the first one on.
        fields: The summaries of the fields, of those of the rows that are shown.
        hidden: Which of the rows are not, in order.
    """

    rows: int
    fields: Summaries
    hidden: Sequence[Hidden] = ()

    def packed(self) -> bytes:
        """Return what is stored, besides the number of rows."""
        return to_msgpack([self.fields, self.hidden])


def unpack(rows: int, stored: bytes | None) -> Kept:
    """Return what is kept of so many rows, of what is stored."""
    if stored is None:
        return Kept(0, {})
    fields, hidden = from_msgpack(stored)
    return Kept(
        rows,
        {name: FieldSummary._make(each) for name, each in fields.items()},
        [Hidden(*each) for each in hidden],
    )


def pack_definitions(definitions: Definitions) -> bytes | None:
    """Return what is kept beside the series of the parameters; None where nothing was defined."""
    return to_msgpack([[*field, best] for field, best in definitions.items()]) if definitions else None


def unpack_definitions(stored: bytes | None) -> Definitions:
    """Return which values of metrics are best, of what is stored."""
    return {} if stored is None else {(metric, field): best for metric, field, best in from_msgpack(stored)}


class NewSummaries(NamedTuple):
    """The summaries of a block that has no place yet.

    Attributes:
        fields: Of its fields, as if its first row were the first of the series.
        by_index: Whether what they call steps are indices of rows.
    """

    fields: Summaries
    by_index: bool

    def into(self, found: Summaries, first: int) -> None:
        """Merge them into those of the rows before; `first` is the index of the block's first row."""
        is_moved = self.by_index and first
        take_in(
            found,
            {name: _moved(each, first) for name, each in self.fields.items()} if is_moved else self.fields,
        )


class NewRow(NamedTuple):
    """A block of one row, as a slow run sends it: summaries of so little would take longer than all the rest.

    Attributes:
        values: The fields, each with a number.
        step: What the row calls its step; None where it calls nothing so.
    """

    values: Sequence[tuple[str, Number]]
    step: Number | None

    def into(self, found: Summaries, first: int) -> None:
        """Merge it into the summaries of the rows before; `first` is the index of the row."""
        step = first if self.step is None else self.step
        new: Summaries = {}
        for name, value in self.values:
            older = found.get(name)
            if older is None:
                new[name] = _of_one(value, step)
            else:
                found[name] = _with_one(older, value, step)
        if new:
            take_in(found, new)


def new_summaries(block: Block) -> NewSummaries | NewRow | None:
    """Return the summaries of a metric's block; None where they are left to `rows.lists`."""
    if len(block.columns) > MERGED_FIELDS:
        return None
    steps = [column for column in block.columns if column.field == STEP and column.type in "fi"]
    if any(
        column.rows is not None or (column.type == "f" and np.isnan(column.values).any()) for column in steps
    ):
        return None
    if block.count == 1 and all(column.type in "fib" for column in block.columns):
        values = [(column.field, as_list(column.values)[0]) for column in block.columns]
        values = [
            (field, int(value) if value is True or value is False else value) for field, value in values
        ]
        return NewRow(values, as_list(steps[0].values)[0] if steps else None)
    return NewSummaries(block_summaries(0, block), not steps)


def take_in(found: Summaries, newer: Summaries) -> None:
    """Merge the summaries of later rows into those of a series, of as many fields as are kept."""
    new = newer.keys() - found.keys()
    if new and (len(found) + len(new) > FIELDS_MAX or sum(map(len, found)) + sum(map(len, new)) > NAMES_MAX):
        newer = {name: each for name, each in newer.items() if name in found}
    merge_into(found, newer)


def _of_one(value: Number, step: Number) -> FieldSummary:
    if value != value:  # noqa: PLR0124 - NaN alone differs
        return FieldSummary(1, 1, value, value, first_step=step, last_step=step)
    return FieldSummary(1, 0, value, value, value, value, float(value), step, step, step, step)


def _with_one(older: FieldSummary, value: Number, step: Number) -> FieldSummary:
    """Return `older.merge(_of_one(value, step))`, at a third of the cost."""
    count, nan, first, _, least, largest, total, first_step, _, min_step, max_step = older
    if first is None:
        first, first_step = value, step
    if value != value:  # noqa: PLR0124 - NaN alone differs
        nan += 1
    else:
        total += float(value)
        if least is None or value < least:
            least, min_step = value, step
        if largest is None or value > largest:
            largest, max_step = value, step
    return FieldSummary._make(
        (count + 1, nan, first, value, least, largest, total, first_step, step, min_step, max_step)
    )


def _moved(summary: FieldSummary, by: int) -> FieldSummary:
    steps: tuple[Any, ...] = summary[-_STEPS:]
    values = summary[:-_STEPS]
    return FieldSummary._make((*values, *(None if step is None else step + by for step in steps)))
