"""The first RUN rows of an experiment, as of each of thousands of small runs that are sent once they have ended.

Nothing is stored that they could belong together with. So what they amount to follows from them alone, and is the same
as what `ml_dash.server.catalogue.run_status` would find after a dozen questions; and it is written for all experiments
of a transaction together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, insert, update

from ml_dash.query.attempts import Openings, attempts_of, turn_of
from ml_dash.server.catalogue.run_status import opening_row, relist, run_values
from ml_dash.server.db.tables import EXPERIMENTS, OPENINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from ml_dash.query.row_source import TimedRows


class Standing(NamedTuple):
    """What the first runs of an experiment amount to.

    Attributes:
        openings: Rows of `OPENINGS`.
        open_runs: How many of the newest attempt's are open, by writer.
        values: What `EXPERIMENTS` has of them, but for their newest sign of life.
    """

    openings: list[dict[str, Any]]
    open_runs: dict[str, int]
    values: dict[str, Any]


class FirstRuns:
    """RUN rows of an experiment that has none yet, taken in writer by writer."""

    def __init__(self, experiment_id: str) -> None:
        self._id = experiment_id
        self._writers: dict[str, Openings] = {}
        self._next = 1
        self.resumed = False
        """Whether any of the starts repeats from a step on."""

    def add(self, writer: str, rows: TimedRows) -> list[int | None]:
        """Do as `RunNews.add`."""
        openings = self._writers.setdefault(writer, Openings(writer))
        numbers: list[int | None] = []
        for time_ns, row in rows:
            turn = turn_of(time_ns, row)
            number = self._next
            opened = openings.add(number, turn)
            if opened is not None:
                self._next += 1
                self.resumed = self.resumed or opened.resume_from is not None
            if turn.event == "start":
                numbers.append(None if opened is None else number)
        return numbers

    def standing(self) -> Standing | None:
        """Return what they amount to; None where none of them opened or ended a run."""
        found = [opening for openings in self._writers.values() for opening in openings.found]
        if not found:
            return None
        attempts = {attempt.root: attempt.openings for attempt in attempts_of(found)}
        newest = next(reversed(attempts))
        opened: dict[str, int] = {}
        for opening in attempts[newest]:
            opened[opening.writer] = opened.get(opening.writer, 0) + opening.is_open
        decides = max(attempts[newest], key=lambda each: (each.time_ns, each.writer, each.at))
        starts = [each.start_ns for each in found if not each.is_end_only]
        return Standing(
            [opening_row(self._id, each, at) for at, its in attempts.items() for each in its],
            opened,
            {
                **run_values(decides.time_ns, decides.row),
                "started_ns": min(starts, default=None),
                "attempts": len(attempts),
                "newest_attempt": newest,
                "resumed": self.resumed,
            },
        )


def store_first_runs(connection: Connection, standings: Sequence[tuple[str, Standing, int | None]]) -> None:
    """Store what first runs amount to, by experiment, with their newest signs of life; the writers' rows must exist."""
    connection.execute(insert(OPENINGS), [row for _, found, _ in standings for row in found.openings])
    connection.execute(
        _UPDATE_EXPERIMENT,
        [
            {**found.values, "of_experiment": experiment_id, "alive_ns": alive_ns}
            for experiment_id, found, alive_ns in standings
        ],
    )
    resumed = [experiment_id for experiment_id, found, _ in standings if found.values["resumed"]]
    if resumed:
        relist(connection, resumed)


_UPDATE_EXPERIMENT = (
    update(EXPERIMENTS)
    .where(EXPERIMENTS.c.id == bindparam("of_experiment"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "status",
                "status_ns",
                "host",
                "pid",
                "error",
                "started_ns",
                "alive_ns",
                "attempts",
                "newest_attempt",
                "resumed",
            )
        }
    )
)
