"""What a format has to say of a source for it to be brought in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ml_dash.importers.report import RunReport
    from ml_dash.journal.blocks import Block
    from ml_dash.query.files import FileTable
    from ml_dash.series import Series
    from ml_dash.storage.blobs import Staging

Position = dict[str, Any]
"""How far a part was read, in the format's own words, as plain data. It is stored in the journal."""


class NotUnderstoodError(Exception):
    """A piece of a source is no row, for this reason."""


class Row(NamedTuple):
    """A row of a series, at its time in nanoseconds since the epoch."""

    series: Series
    time_ns: int
    fields: Mapping[str, Any]


class Item(NamedTuple):
    """Rows that are brought in together, and where the part is to be read on from when they are.

    `written_ns` is when the source wrote them, where that is known apart from the rows' own times: the last of all is
    taken for the end of the run. `blobs` are files that must be on disk before the rows are, as `Store.staging` gave
    them. `blocks` are more rows, by their columns: a format that has millions of them gives no row by itself.
    """

    rows: tuple[Row, ...]
    position: Position | None = None
    written_ns: int | None = None
    blobs: tuple[str, ...] = ()
    left_out: int = 0
    blocks: tuple[Block, ...] = ()


@dataclass(slots=True)
class Described:
    """What a source says of a run: `said` are arguments of `Experiment` (readme, tags, bindrs, metadata)."""

    said: dict[str, Any] = field(default_factory=dict)
    started_ns: int = 0
    status: str | None = None  # how it ended; None where the format does not keep that


class Store(Protocol):
    """What a part may ask of the experiment that is imported into."""

    @property
    def files(self) -> FileTable:
        """The files that were there when the import began."""

    @property
    def staging(self) -> Staging:
        """Where the contents of files and media are stored."""


class Part(Protocol):
    """A piece of a run that is read from the front to the end, mostly a file."""

    @property
    def name(self) -> str:
        """What it is called in the run, for ever."""

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """Yield what is new behind a position; None is the very beginning. Memory must not grow with the part."""


class SourceRun(Protocol):
    """One run as the source has it."""

    @property
    def place(self) -> str:
        """Where it lies, for people."""

    @property
    def prefix(self) -> str | None:
        """What it is called there; None where nothing says so."""

    @property
    def key(self) -> str | None:
        """What tells it apart from another run of that name; None where nothing does."""

    @property
    def short(self) -> str | None:
        """What is put behind its name where that is taken; None where it is refused then."""

    def describe(self, report: RunReport) -> Described:
        """Return what is said of it."""

    def parts(self, report: RunReport) -> Iterable[Part]:
        """Return its parts, always in the same order."""


class Source(Protocol):
    """A format's view of a path."""

    name: str

    def runs(self) -> Iterable[SourceRun]:
        """Return the runs that there are.

        Raises:
            InvalidArgumentError: There is nothing of this format.
        """


class UnreadableRun:
    """Something in a source that cannot be read, so that its runs are not known: it is refused, with the reason."""

    key = short = None

    def __init__(self, place: str, fault: str) -> None:
        self.place, self._fault = place, fault

    @property
    def prefix(self) -> str:
        """Raise the reason."""
        raise InvalidArgumentError(self._fault)

    def describe(self, report: RunReport) -> Described:
        """Raise the reason."""
        del report
        raise InvalidArgumentError(self._fault)

    def parts(self, report: RunReport) -> Iterable[Part]:
        """Return nothing."""
        del report
        return ()
