"""What the pages and the reading routes ask of experiments, whatever they are kept in.

There are two: `ml_dash.server.store.Store`, which is a server's, and `ml_dash.server.local.library.LocalLibrary`, which
is a root of journals on this disk. What reads experiments knows no more of either than is written here.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.axes.clocks import XName, find_x
from ml_dash.query.view import RowView
from ml_dash.server.charts.chart import chart
from ml_dash.server.charts.rows import ChartSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from ml_dash.identity import Identity
    from ml_dash.journal.blocks import Block
    from ml_dash.query.files import FileQuery
    from ml_dash.query.pages import Take
    from ml_dash.query.selection import AttemptChoice, Blocks
    from ml_dash.series import Series
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.catalogue.records import ExperimentFilter, Found
    from ml_dash.server.charts.summaries import Buckets
    from ml_dash.shapes import MetricField, NewTags

P = ParamSpec("P")
R = TypeVar("R")


class ServedView(RowView[Any]):
    """What pages and routes ask besides what rows alone can answer.

    Attributes:
        asked: The fields of metrics that a request is about to ask for: what is read of one is read of all of them.
    """

    asked: Mapping[Series, Collection[str]] = MappingProxyType({})

    @abstractmethod
    def _summaries_of(
        self, rows: Any, series: Series
    ) -> Callable[[int, int], Iterator[tuple[int, int, bytes]]]:
        """Return what gives the summaries of a series, see `ChartSource`."""

    @abstractmethod
    def _buckets_of(self, rows: Any, series: Series) -> Callable[[Sequence[str]], Buckets]:
        """Return what gives the buckets of some fields of a series."""

    def _blocks_of(self, rows: Any, series: Series) -> Blocks | None:  # noqa: ARG002 - for who has looked them up
        """Return what gives the blocks of a series that were looked up together with those of others."""
        return None

    @abstractmethod
    def _started_ns(self, rows: Any) -> int | None:
        """Return when the experiment's first run was started, in nanoseconds; None where nothing tells it."""

    @contextlib.contextmanager
    def charting(
        self,
        series: Series,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> Iterator[ChartSource]:
        """Give the rows of a metric that are shown, as charts need them, for as long as the context lasts.

        Where `x` is another metric's field, the source has it for its clock. One that is nowhere gives no points, as a
        field does: of several runs, some may not have logged it.

        Raises:
            InvalidArgumentError: There is no such attempt, or rank.
        """
        with self.reading() as rows:
            place = XName(None, "")
            if x is not None:
                with contextlib.suppress(InvalidArgumentError):
                    place = find_x(x, series, rows)
            yield ChartSource(
                rows.count(series),
                self._summaries_of(rows, series),
                self._shown(rows, series, attempt, rank, self._blocks_of(rows, series)),
                rows.fields(series),
                partial(self._started_ns, rows),
                None if place.series is None else self._clock(rows, place.series, place.field, attempt, rank),
                self._buckets_of(rows, series),
                is_distributed=rank is None and len(self._known_ranks(rows)) > 1,
            )

    @abstractmethod
    def prepare(self, series: Sequence[Series], room: int) -> int:
        """Look up together what is about to be asked of these metrics, and return how many bytes of rows are kept.

        They are kept until `release`; there may be `room` of them.
        """

    @abstractmethod
    def release(self) -> None:
        """Keep nothing of what was prepared."""

    def chart(
        self,
        series: Series,
        field: str,
        x: str,
        start: float | None,
        stop: float | None,
        width: int,
        attempt: AttemptChoice = None,
        rank: int | None = None,
    ) -> dict[str, Any]:
        """Return one field of a metric in at most `width` buckets, see `ml_dash.server.charts.chart`."""
        with self.charting(series, attempt, rank, x) as source:
            return chart(source, field, x, start, stop, width)

    @abstractmethod
    def files_into(self, take: Take, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """Give a page of files to `take`, each with whether its blob is ``available``; return where it ends."""

    @abstractmethod
    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Iterate over exactly the rows `start` to `stop`, in blocks."""


class Standing(NamedTuple):
    """How an experiment stands.

    Attributes:
        owner: Whose it is.
        prefix: What it is called.
        deleted: Whether it is in the trash.
        version: Another text whenever anything of it has changed.
    """

    owner: str
    prefix: str
    deleted: bool
    version: str


class StoredBlob(Protocol):
    """A blob that is here as a whole."""

    @property
    def checksum(self) -> str:
        """Its SHA-256."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def reader(self, start: int, stop: int) -> Callable[[], Awaitable[bytes]]:
        """Return what gives the bytes from `start` to `stop`, a piece at a time, and nothing behind the last."""


class Library(Protocol):
    """Experiments that can be read. Methods that are not coroutines may wait for the disk: call them by `query`."""

    @property
    def closing(self) -> bool:
        """Whether nobody is to wait for what may come."""

    async def query(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that reads, on another thread."""

    def find(self, experiment_id: str) -> Found | None:
        """Return the experiment with this id, a deleted one too; None if there is none."""

    def standings(self, ids: Sequence[str]) -> Mapping[str, Standing]:
        """Return how experiments stand, by their ids; those that there are not are left out."""

    def changed(self) -> str:
        """Return another text whenever any experiment may have changed. This costs next to nothing."""

    def record(self, experiment_id: str) -> dict[str, Any]:
        """Return an experiment's record.

        Raises:
            ApiError: 404 or 410.
        """

    def brief(self, experiment_id: str) -> dict[str, Any]:
        """Return an experiment's record as lists have it, without the readme.

        Raises:
            ApiError: 404 or 410.
        """

    def listing(
        self,
        take: Take,
        where: ExperimentFilter,
        limit: int,
        cursor: str | None,
        changed_since: str | None = None,
    ) -> dict[str, Any]:
        """Give a page of records without their readmes to `take`, newest first.

        Returned is where the page ends, and ``asOf``, with which to ask later for what has changed. With the ``asOf``
        of an earlier answer as `changed_since`: only what may have changed, deleted ones included. With `where.asked`
        they come in its order, and with its columns; ``pending`` says whether these may lack what is stored.

        Raises:
            ApiError: 400: the cursor or `changed_since` is invalid.
        """

    def values(
        self, ids: Sequence[str], wanted: Sequence[MetricField], owners: frozenset[str] | None
    ) -> Iterator[dict[str, Any]]:
        """Yield what a table shows of experiments, in their order, see `ml_dash.shapes.ExperimentValues`.

        Those that are gone, and those of other owners (None stands for all), are left out.
        """

    def view(self, experiment_id: str) -> ServedView:
        """Return what answers questions about an experiment's rows."""

    def views(self, ids: Sequence[str], series: Series) -> Mapping[str, ServedView]:
        """Return what answers questions about rows of experiments, mostly of this series: of some hundreds at once.

        Those that have gone are left out.
        """

    def content(self, found: Found, row: dict[str, Any]) -> StoredBlob | None:
        """Return the blob of a file; None where it is missing."""


class LibraryVerbs(Protocol):
    """What people do with the experiments of a library, in the name of whoever asks. Call it by `run`.

    All of it raises `ApiError` 404 where there is no such experiment, and 410 where it is in the trash.
    """

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that changes something, on another thread."""

    def delete(self, experiment_id: str, who: Principal, *, unless_running: bool) -> dict[str, Any]:
        """Put an experiment into the trash; return its record, with when its rows go.

        Raises:
            ApiError: 409: a run of it goes on, and it was to be deleted only where none does.
        """

    def restore(self, experiment_id: str, who: Principal, to: Identity | None) -> dict[str, Any]:
        """Take an experiment out of the trash, under its own name or another one; return its record.

        Raises:
            ApiError: 409: another one has that name.
        """

    def move(self, experiment_id: str, who: Principal, to: Identity) -> dict[str, Any]:
        """Give an experiment another name; return its record.

        Raises:
            ApiError: 409: another one has that name, or a run goes on that stands in the way.
        """

    def tag(self, experiment_id: str, who: Principal, news: NewTags) -> dict[str, Any]:
        """Change an experiment's tags; return its record."""

    def note(self, experiment_id: str, who: Principal, text: str, before: str | None) -> dict[str, Any]:
        """Replace what is noted of an experiment, or with an empty text take it away; return its record.

        Raises:
            ApiError: 412: it is not what it was `before`, nor this text already.
        """

    def readme(self, experiment_id: str, who: Principal, text: str, before: str | None) -> dict[str, Any]:
        """Do as `note` with its readme."""

    def stop(self, experiment_id: str, who: Principal, reason: str | None, *, cancel: bool) -> dict[str, Any]:
        """Ask the newest attempt to stop, or take that back as long as it has not seen it; return the record.

        Raises:
            ApiError: 409: no run goes on; or it has seen the request that was to be taken back.
        """

    def trash(
        self, take: Take, owners: Collection[str] | None, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Give what is in the trash of some owners (None: of all) to `take`, what was deleted last first."""
