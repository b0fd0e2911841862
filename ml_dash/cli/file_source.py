"""Where the files of an experiment are read from: its directory, and its server for what is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ml_dash.cli.overview import damage_of, open_index
from ml_dash.cli.select import find_experiment, full_prefix
from ml_dash.cli.text import complain
from ml_dash.client.destination import server_url
from ml_dash.errors import (
    ContentError,
    FileMissingError,
    InvalidArgumentError,
    MLDashError,
    RemoteError,
    ServerUnavailableError,
)
from ml_dash.journal.damage import Damage
from ml_dash.journal.disk import NOT_THERE, is_shortage
from ml_dash.query.files import FileQuery, FilesReader, full_name
from ml_dash.query.patterns import is_pattern
from ml_dash.storage.blobs import Staging
from ml_dash.storage.copying import copy_blob
from ml_dash.storage.survey import Located

if TYPE_CHECKING:
    from ml_dash.client.view import RemoteView

Alias = Annotated[
    str | None,
    typer.Option(
        "--alias",
        metavar="ALIAS",
        help="Of each file the version that this alias means, such as best; latest: the newest.",
        show_default=False,
    ),
]


class FileSource(Protocol):
    """Rows of files, and their contents."""

    @property
    def damage(self) -> Sequence[Damage]:
        """What could not be read of the rows."""

    def files(self, query: FileQuery) -> list[dict[str, Any]]:
        """Return the rows that a query means."""

    def file(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of one file, of an older version or a deleted one too."""

    def fetch(
        self, row: dict[str, Any], dest: str, on_progress: Callable[[int], None], *, new: bool = False
    ) -> None:
        """Put a file's content at `dest`, whole and checked; with `new`, only if nothing is there by then."""


@contextmanager
def open_source(exp: str, root: str, url: str | None) -> Iterator[FileSource]:
    """Give the files of an experiment: at the server of this URL, or on this disk where it is None."""
    with ExitStack() as stack:
        if url is not None:
            from ml_dash.cli.remote import open_remote

            # The user has named the server, and so may be sent ML_DASH_TOKEN there.
            yield _Remote(stack.enter_context(open_remote(server_url(url), full_prefix(exp), named=True)))
        else:
            yield _Local(find_experiment(exp, root), stack)


def chosen(
    text: str, *, alias: str | None = None, versions: bool = False, deleted: bool = False
) -> FileQuery:
    """Return what a user means by a path, a pattern or nothing."""
    if is_pattern(text):
        return FileQuery(pattern=text, alias=alias, versions=versions, deleted=deleted)
    return FileQuery(path=text or None, alias=alias, versions=versions, deleted=deleted)


class _Remote:
    """An experiment at a server."""

    damage: Sequence[Damage] = ()

    def __init__(self, view: RemoteView) -> None:
        self.files = view.files
        self.file = view.file
        self.fetch = view.fetch


class _Local:
    """An experiment on this disk; `stack` closes what is opened on the way."""

    def __init__(self, located: Located, stack: ExitStack) -> None:
        self._located = located
        self._index = open_index(located)
        self._table = FilesReader().table(self._index)
        self._staging = Staging(located.directory)
        self._stack = stack
        self._remote: RemoteView | None = None
        self._server_problem: MLDashError | None = None

    @property
    def damage(self) -> Sequence[Damage]:
        return damage_of(self._located, self._index)

    def files(self, query: FileQuery) -> list[dict[str, Any]]:
        return self._table.rows(query)

    def file(self, file_id: str) -> dict[str, Any] | None:
        return self._table.get(file_id)

    def fetch(
        self, row: dict[str, Any], dest: str, on_progress: Callable[[int], None], *, new: bool = False
    ) -> None:
        # what this disk does not have, or has damaged, its server may have
        try:
            self._copy(row, dest, on_progress, new=new)
        except (FileMissingError, ContentError) as error:
            if self._server_problem is not None:
                raise FileMissingError(f"{error}, and {self._server_problem}") from error
            try:
                self._ask_server(error).fetch(row, dest, on_progress, new=new)
            except (RemoteError, ServerUnavailableError, InvalidArgumentError) as problem:
                self._server_problem = problem  # the next file must not wait for it again
                raise FileMissingError(f"{error}, and {problem}") from error

    def _copy(self, row: dict[str, Any], dest: str, on_progress: Callable[[int], None], *, new: bool) -> None:
        checksum, size = row["checksum"], row["sizeBytes"]
        path = self._staging.path_of(checksum)
        disk = self._located.disk
        try:
            disk.size(path)
        except OSError as error:
            if is_shortage(error):
                raise
            reason = path if isinstance(error, NOT_THERE) else f"{path}: {error.strerror or error}"
            raise FileMissingError(f"{full_name(row)!r} is not on this disk ({reason})") from error
        copy_blob(path, dest, checksum, size, on_progress, disk.open, new=new)

    def _ask_server(self, missing: MLDashError) -> RemoteView:
        """Return the view of the experiment at its server; raises what is missing where it has none."""
        from ml_dash.cli.remote import home_of, open_remote

        if self._remote is None:
            home = home_of(self._located)
            if home is None:
                raise missing
            self._remote = self._stack.enter_context(open_remote(*home, named=False))
        complain(f"{missing}; asking the server")
        return self._remote
