"""The files of an experiment at a server: their rows, and their contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ml_dash.client.api import ServerError
from ml_dash.client.download import Wanted, fetch_blob
from ml_dash.client.file_api import FilePage, blob_path, checked_page, checked_row, file_path, list_path
from ml_dash.errors import FileMissingError
from ml_dash.protocol import ErrorCode
from ml_dash.query.files import FileQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.blocking import Call

__all__ = ["RemoteFiles"]

_T = TypeVar("_T")


class _Known(Protocol):
    """Asks, and gives what stands for nothing where the server does not have the experiment."""

    def __call__(self, ask: Callable[[], Coroutine[Any, Any, _T]], nothing: _T, /) -> _T: ...


class RemoteFiles:
    """Answers what is asked of files; any thread may ask.

    Args:
        client: The server.
        call: Runs coroutines of the client.
        experiment_id: Gives the server's id of the experiment; None where the server does not have it.
        known: Asks something of an experiment that may not be there any more.
    """

    def __init__(
        self, client: Client, call: Call, experiment_id: Callable[[], str | None], known: _Known
    ) -> None:
        self._client = client
        self._call = call
        self._id = experiment_id
        self._known = known

    def list(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows that a query means, from as many pages as there are."""
        id_ = self._id()
        if id_ is None:
            return []
        rows: list[dict[str, Any]] = []
        page = self._page(id_, query or FileQuery(), None)
        while page.cursor is not None:
            rows += page.rows
            page = self._page(id_, query or FileQuery(), page.cursor)
        return rows + page.rows

    def _page(self, id_: str, query: FileQuery, cursor: str | None) -> FilePage:
        path = list_path(id_, query, cursor)
        answer = self._known(lambda: self._client.get(path), None)
        return FilePage([], None) if answer is None else checked_page(self._client.url, answer, cursor)

    def get(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of one file, deleted or not; None where there is none."""
        id_ = self._id()
        if id_ is None:
            return None
        path = file_path(id_, file_id)
        answer = self._known(lambda: self._client.get(path), None)
        return None if answer is None else checked_row(self._client.url, answer)

    def fetch(
        self, row: Mapping[str, Any], dest: str, on_progress: Callable[[int], None] | None = None
    ) -> None:
        """Download the content of a file.

        Args:
            row: The file's.
            dest: Where to put it: a path, at which it is when all of it is there and right.
            on_progress: Called with the number of bytes that are there, and now and then with a smaller one.

        Raises:
            ContentError: The server sends something else.
            FileMissingError: The file is not there, was deleted, or has not been uploaded yet.
            FileStoreError: It cannot be written.
            InvalidArgumentError: `dest` is a directory.
        """
        named = f"{row['filename']!r} ({row['id']})"
        id_ = self._id()
        if id_ is None:
            raise FileMissingError(f"{self._client.url} does not have the experiment of {named}")
        wanted = Wanted(blob_path(id_, row["id"]), row["checksum"], row["sizeBytes"], row["filename"])
        try:
            fetch_blob(self._client, self._call, wanted, dest, on_progress)
        except ServerError as error:
            reason = self._why_missing(row, error)
            if reason is None:
                raise
            raise FileMissingError(f"{named} {reason}") from error

    def _why_missing(self, row: Mapping[str, Any], error: ServerError) -> str | None:
        if error.status == 410:
            since = (self.get(row["id"]) or row).get("deletedAt")
            return f"was deleted at {self._client.url}" + (f" at {since}" if since else "")
        if error.code == ErrorCode.CONTENT_MISSING:
            return (
                f"has not been uploaded to {self._client.url} yet: the run that saved it does that, or `ml-dash sync` "
                "on its machine"
            )
        return f"is not at {self._client.url}" if error.status == 404 else None
