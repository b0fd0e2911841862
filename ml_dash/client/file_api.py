"""The files of an experiment at a server: their rows, checked, and their blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from ml_dash.client.answers import not_understood
from ml_dash.client.api import Client, experiment_path
from ml_dash.client.download import Wanted, fetch_blob
from ml_dash.client.paging import Pages
from ml_dash.client.transport import ServerError
from ml_dash.errors import FileMissingError, InvalidArgumentError
from ml_dash.protocol import ErrorCode
from ml_dash.query.files import FileQuery, is_checksum, is_size, is_text_or_none, is_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from ml_dash.client.bridge import Call

_T = TypeVar("_T")

_PAGE_ROWS = 1000  # usually some hundred KiB: well below what the transport keeps whole


class _Known(Protocol):
    """Asks, and gives what stands for nothing where the server does not have the experiment."""

    def __call__(self, ask: Callable[[], Coroutine[Any, Any, _T]], nothing: _T, /) -> _T: ...


class RemoteFiles:
    """Answers what is asked of files; any thread may ask.

    `known` asks something of an experiment that may not be there any more.
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
        pages = Pages(self._client.url)
        while not pages.over:
            path = list_path(id_, query or FileQuery(), pages.cursor)
            answer = self._known(lambda: self._client.get(path), None)  # noqa: B023 - awaited before the next one
            if answer is None:
                break  # it is not there any more
            found = checked_page(self._client.url, answer)
            pages.follow(answer, (row["id"] for row in found))
            rows += found
        return rows

    def get(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of one file, deleted or not; None where there is none."""
        id_ = self._id()
        if id_ is None:
            return None
        path = file_path(id_, file_id)
        answer = self._known(lambda: self._client.get(path), None)
        return None if answer is None else checked_row(self._client.url, answer)

    def fetch(
        self,
        row: Mapping[str, Any],
        dest: str,
        on_progress: Callable[[int], None] | None = None,
        *,
        new: bool = False,
    ) -> None:
        """Download a file's blob to a path, at which it is when all of it is there and right; see `fetch_blob`.

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
            fetch_blob(self._client, self._call, wanted, dest, on_progress, new=new)
        except ServerError as error:
            reason = self._why_missing(row, error)
            if reason is None:
                raise
            raise FileMissingError(f"{named} {reason}") from error

    def _why_missing(self, row: Mapping[str, Any], error: ServerError) -> str | None:
        if error.code == ErrorCode.CONTENT_LOST:
            return f"was lost at {self._client.url}: {error}"
        if error.status == 410:
            since = (self.get(row["id"]) or row).get("deletedAt")
            return f"was deleted at {self._client.url}" + (f" at {since}" if since else "")
        if error.code == ErrorCode.CONTENT_MISSING:
            return (
                f"has not been uploaded to {self._client.url} yet: the run that saved it does that, or `ml-dash sync` "
                "on its machine"
            )
        return f"is not at {self._client.url}" if error.status == 404 else None


def list_path(experiment_id: str, query: FileQuery, cursor: str | None = None) -> str:
    """Return the path, with its query, of a page of an experiment's files.

    Raises:
        InvalidArgumentError: Something in the query cannot be part of a URL.
    """
    asked = [("path", query.path), ("pattern", query.pattern), *(("tag", tag) for tag in query.tags)]
    asked.append(("alias", query.alias))
    asked += [(name, "true") for name in ("versions", "deleted") if getattr(query, name)]
    asked += [("limit", str(_PAGE_ROWS)), ("cursor", cursor)]
    given = [(name, value) for name, value in asked if value is not None]
    for name, value in given:
        _check_text(name, value)
    return experiment_path(experiment_id, "files") + "?" + urlencode(given, quote_via=quote)


def file_path(experiment_id: str, file_id: str) -> str:
    """Return the path of one file's row."""
    _check_text("file id", file_id)
    return experiment_path(experiment_id, "files", quote(file_id, safe=""))


def blob_path(experiment_id: str, file_id: str) -> str:
    """Return the path of one file's blob."""
    return file_path(experiment_id, file_id) + "/content"


def checked_page(url: str, answer: Any) -> list[dict[str, Any]]:
    """Return the rows of the page that an answer is.

    Raises:
        RemoteError: It is no page of files.
    """
    match answer:
        case {"data": list(rows), "hasMore": bool()}:
            return [checked_row(url, row) for row in rows]
    raise not_understood(url, answer, "no page of files")


def checked_row(url: str, row: Any) -> dict[str, Any]:
    """Return the row of a file as readers see it: the keys that they know, of the types that they expect.

    Names are texts here, whatever is in them: they become names on this disk in one place, where they are made safe.

    Raises:
        RemoteError: It is no such row.
    """
    if not isinstance(row, dict) or not all(is_right(row.get(key)) for key, is_right in _ROW.items()):
        raise not_understood(url, row, "no file")
    # a server that is older than aliases says nothing of them
    return {key: [] if key == "aliases" and row.get(key) is None else row.get(key) for key in _ROW}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_ROW: dict[str, Callable[[Any], bool]] = {
    "id": _is_text,
    "path": _is_text,
    "filename": _is_text,
    "description": is_text_or_none,
    "tags": is_texts,
    "bindrs": is_texts,
    "contentType": _is_text,
    "sizeBytes": is_size,
    "checksum": is_checksum,
    "metadata": lambda value: value is None or isinstance(value, dict),
    "aliases": lambda value: value is None or is_texts(value),
    "uploadedAt": _is_text,
    "updatedAt": _is_text,
    "deletedAt": is_text_or_none,
}


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"{name} {value!r} has a lone surrogate, which no URL can carry: it can only be asked for locally"
        ) from None
