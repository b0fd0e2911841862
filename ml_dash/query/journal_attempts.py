"""The attempts of a journal, and which rows are whose: read once, and then only what was appended."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.query.attempts import Openings, attempt_at, attempts_of, turn_of
from ml_dash.query.environments import ENVIRONMENT, fold_environments
from ml_dash.query.row_source import timed_rows
from ml_dash.query.selection import Span, merged_spans, shown
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.journal.frame_table import Catalogue
    from ml_dash.journal.index import JournalIndex
    from ml_dash.query.attempts import Attempt
    from ml_dash.query.selection import AttemptChoice, Shown

_RUNS = Series(Kind.RUN, None)


@dataclass(slots=True)
class _Writer:
    """What is known of a writer: how many of its RUN rows were read, and in which frame each opening is."""

    catalogue: Catalogue
    openings: Openings
    rows: int = 0
    starts: list[tuple[int, int]] = field(default_factory=list)


class JournalAttempts:
    """What is remembered of one index; not for several threads at once."""

    def __init__(self) -> None:
        self._writers: dict[str, _Writer] = {}

    def of(self, index: JournalIndex) -> list[Attempt]:
        """Return the attempts that there are now."""
        catalogues = index.catalogues
        self._writers = {name: each for name, each in self._writers.items() if name in catalogues}
        for name, catalogue in catalogues.items():
            self._read(index, name, catalogue)
        return attempts_of(opening for each in self._writers.values() for opening in each.openings.found)

    def _read(self, index: JournalIndex, name: str, catalogue: Catalogue) -> None:
        known = self._writers.get(name)
        # where frames are missing, one that comes late may be between those that were read
        if known is None or known.catalogue is not catalogue or catalogue.gaps:
            known = self._writers[name] = _Writer(catalogue, Openings(name))
        count = catalogue.count(_RUNS)
        for place in catalogue.blocks(_RUNS, known.rows, count):
            seq = catalogue.place(place.frame).seq
            for time_ns, row in timed_rows(index.read_frame(catalogue, place.frame, [(_RUNS, place)])):
                at, turn = len(known.openings.found), turn_of(time_ns, row)
                if known.openings.add(at, turn) is not None and turn.event == "start":
                    known.starts.append((seq, at))
        known.rows = count

    def spans(self, index: JournalIndex, series: Series, attempts: Sequence[Attempt]) -> list[Span]:
        """Return whose the rows of a series are; `of` was called before."""
        numbers = {
            (opening.writer, opening.at): attempt.number
            for attempt in attempts
            for opening in attempt.openings
        }
        return merged_spans(self._spans(index, series, attempts, numbers))

    def shown(
        self, index: JournalIndex, series: Series, attempts: Sequence[Attempt], choice: AttemptChoice = None
    ) -> Shown:
        """Return the rows of a metric that are shown, see `ml_dash.query.selection.shown`; `of` was called before."""
        spans = partial(self.spans, index, series, attempts)
        return shown(choice, attempts, spans, partial(index.blocks, series), index.count(series), {})

    def _spans(
        self,
        index: JournalIndex,
        series: Series,
        attempts: Sequence[Attempt],
        numbers: dict[tuple[str, int], int],
    ) -> Iterator[Span]:
        base = 0
        for name, catalogue in index.catalogues.items():
            count = catalogue.count(series)
            born = attempt_at(attempts, name)
            starts = self._writers[name].starts
            # before its first start a writer has logged nothing, unless the frame with that is lost
            owner = numbers[name, starts[0][1]] if starts else 1 if born is None else born.number
            first = 0
            for seq, at in starts:
                stop = catalogue.rows_before(series, seq)
                yield Span(base + first, base + stop, owner)
                first, owner = stop, numbers[name, at]
            yield Span(base + first, base + count, owner)
            base += count


def environments_of(index: JournalIndex) -> list[dict[str, Any]]:
    """Return what surrounded each process that a journal knows of; see `ml_dash.query.environments`."""
    return fold_environments(index.blocks(ENVIRONMENT), JournalAttempts().of(index))
