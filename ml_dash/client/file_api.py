"""The calls of the API that read files: their rows, checked, and the stream of a content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from ml_dash.client.api import experiment_path
from ml_dash.errors import InvalidArgumentError, RemoteError
from ml_dash.query.files import is_checksum

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from ml_dash.client.api import Client
    from ml_dash.client.transport import Stream
    from ml_dash.query.files import FileQuery

__all__ = [
    "FilePage",
    "blob_path",
    "checked_page",
    "checked_row",
    "file_path",
    "list_path",
    "open_blob",
]

_PAGE_ROWS = 1000
_CONNECT_SECONDS = 60.0
_SLOWEST_BYTES_A_SECOND = 16 << 10
"""A line slower than this counts as cut."""


class FilePage(NamedTuple):
    """Rows of files, and where the next page begins; None at the end."""

    rows: list[dict[str, Any]]
    cursor: str | None


def list_path(experiment_id: str, query: FileQuery, cursor: str | None = None) -> str:
    """Return the path, with its query, of a page of an experiment's files.

    Raises:
        InvalidArgumentError: Something in the query cannot be part of a URL.
    """
    asked = [("path", query.path), ("pattern", query.pattern), *(("tag", tag) for tag in query.tags)]
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
    """Return the path of one file's content."""
    return file_path(experiment_id, file_id) + "/content"


def checked_page(url: str, answer: Any, cursor: str | None) -> FilePage:
    """Return the page that an answer is.

    Args:
        url: The server's.
        answer: What came.
        cursor: The page's own, which must not be the next one's.

    Raises:
        RemoteError: It is no page of files, or the pages go round in circles.
    """
    match answer:
        case {"data": list(rows), "hasMore": bool(more)}:
            following = answer.get("cursor") if more else None
            if (isinstance(following, str) and following != cursor) or not more:
                return FilePage([checked_row(url, row) for row in rows], following)
    raise _senseless(url, answer)


def checked_row(url: str, row: Any) -> dict[str, Any]:
    """Return the row of a file as readers see it: the keys that they know, of the types that they expect.

    Names are texts here, whatever is in them: they become names on this disk in one place, where they are made safe.

    Raises:
        RemoteError: It is no such row.
    """
    if not isinstance(row, dict) or not all(is_right(row.get(key)) for key, is_right in _ROW.items()):
        raise _senseless(url, row)
    return {key: row.get(key) for key in _ROW}


def open_blob(
    client: Client, path: str, headers: dict[str, str], size: int
) -> AbstractAsyncContextManager[Stream]:
    """Ask for a content, and give the answer as it comes.

    Args:
        client: The server.
        path: The content's.
        headers: Of the request.
        size: Bytes that are expected, for the time that it may take.

    Raises:
        ServerError: The server has no content to give.
        TransportError: There is no answer; raised in the block too.
    """
    return client.stream(
        path,
        lambda stream: stream.status in {200, 206},
        # Bytes as they are: a compressed answer could not be resumed at one of the content's bytes.
        headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
        timeout=_CONNECT_SECONDS + size / _SLOWEST_BYTES_A_SECOND,
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_ROW: dict[str, Callable[[Any], bool]] = {
    "id": _is_text,
    "path": _is_text,
    "filename": _is_text,
    "description": _is_text_or_none,
    "tags": _is_texts,
    "bindrs": _is_texts,
    "contentType": _is_text,
    "sizeBytes": _is_size,
    "checksum": is_checksum,
    "metadata": lambda value: value is None or isinstance(value, dict),
    "uploadedAt": _is_text,
    "updatedAt": _is_text,
    "deletedAt": _is_text_or_none,
}


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"{name} {value!r} has a lone surrogate, which no URL can carry: it can only be asked for locally"
        ) from None


def _senseless(url: str, answer: Any) -> RemoteError:
    return RemoteError(f"{url} answers {answer!r:.200}, which makes no sense as files of an experiment")
