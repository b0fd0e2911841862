"""What people do with the experiments of a local root, answered as a server answers it.

An id stands for a name here. So a move answers with another id, and a deletion with that of what lies in the trash: by
it, or by the one that the experiment had, it is restored.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ml_dash.errors import (
    ChangedMeanwhileError,
    ExperimentExistsError,
    ExperimentMissingError,
    ExperimentRunningError,
    InvalidArgumentError,
    InvalidPrefixError,
    JournalError,
    JournalWriteError,
    MLDashError,
    StopError,
)
from ml_dash.identity import parse_prefix
from ml_dash.places.changing import NewTags
from ml_dash.places.local_changes import LocalChanges
from ml_dash.protocol import ErrorCode
from ml_dash.series import Kind
from ml_dash.server.catalogue.records import no_such_experiment, time_or_none
from ml_dash.server.errors import ApiError
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor
from ml_dash.server.http.query_args import invalid
from ml_dash.server.local.view import LocalView
from ml_dash.storage.summaries.records import experiment_id as id_of
from ml_dash.storage.survey import Located
from ml_dash.storage.trash import entry_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ml_dash import shapes
    from ml_dash.identity import Identity
    from ml_dash.places.changing import Deleted
    from ml_dash.query.pages import Take
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.local.library import LocalLibrary
    from ml_dash.storage.trash import Trashed

_CODES: tuple[tuple[type[MLDashError], int, ErrorCode], ...] = (
    (ExperimentMissingError, 404, ErrorCode.NOT_FOUND),
    (ExperimentExistsError, 409, ErrorCode.EXISTS),
    (ExperimentRunningError, 409, ErrorCode.RUNNING),
    (ChangedMeanwhileError, 412, ErrorCode.CHANGED),
    (StopError, 409, ErrorCode.NOT_STOPPED),
    (InvalidArgumentError, 400, ErrorCode.INVALID),
    (InvalidPrefixError, 400, ErrorCode.INVALID),
    (JournalWriteError, 403, ErrorCode.FORBIDDEN),
)
"""What is answered to the errors of `LocalChanges`."""


class LocalVerbs:
    """Changes the experiments of a library; see `ml_dash.server.rows.library.LibraryVerbs`."""

    def __init__(self, library: LocalLibrary) -> None:
        self._library = library
        self._changes = LocalChanges(library.root)
        self.run = library.change

    def delete(self, experiment_id: str, who: Principal, *, unless_running: bool) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.delete`."""
        prefix = self._named(experiment_id)
        record = self._library.record(experiment_id)
        with _answered():
            deleted = self._changes.delete(prefix, force=not unless_running)
        self._library.forget(experiment_id)
        # by where it lies, for another one of its name may have been deleted before
        return {**record, "id": entry_id(deleted.id), **_times(deleted)}

    def restore(self, experiment_id: str, who: Principal, to: Identity | None) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.restore`."""
        found = self._library.find(experiment_id)
        entry = self._library.trashed(experiment_id)
        if found is not None and not found.deleted:
            if to is not None and to.prefix != found.prefix:
                raise invalid("to", to.prefix, f"{found.prefix!r} is not in the trash: move it instead")
            return self._library.record(experiment_id)
        if entry is None:
            raise no_such_experiment(experiment_id)
        with _answered():
            prefix = self._changes.restore_entry(entry.id, None if to is None else to.prefix)
        return self._renamed(prefix)

    def move(self, experiment_id: str, who: Principal, to: Identity) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.move`."""
        prefix = self._named(experiment_id)
        with _answered():
            moved = self._changes.move(prefix, to.prefix)
        self._library.forget(experiment_id)
        return self._renamed(moved)

    def tag(self, experiment_id: str, who: Principal, news: shapes.NewTags) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.tag`."""
        with _answered():
            self._changes.tag(self._named(experiment_id), NewTags(news.add, news.remove, news.only))
        return self._library.record(experiment_id)

    def note(self, experiment_id: str, who: Principal, text: str, before: str | None) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.note`."""
        with _answered():
            self._changes.note(self._named(experiment_id), text, before)
        return self._library.record(experiment_id)

    def readme(self, experiment_id: str, who: Principal, text: str, before: str | None) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.readme`."""
        with _answered():
            self._changes.readme(self._named(experiment_id), text, before)
        return self._library.record(experiment_id)

    def stop(self, experiment_id: str, who: Principal, reason: str | None, *, cancel: bool) -> dict[str, Any]:  # noqa: ARG002
        """See `LibraryVerbs.stop`."""
        prefix = self._named(experiment_id)
        with _answered():
            if cancel:
                self._changes.cancel_stop(prefix)
            else:
                self._changes.stop(prefix, reason)
        return self._library.record(experiment_id)

    def trash(
        self, take: Take, owners: Collection[str] | None, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """See `LibraryVerbs.trash`."""
        place = attrgetter("deleted_ns", "id")
        entries = [each for each in self._library.trash.entries if owners is None or _owner(each) in owners]
        found = sorted(entries, key=place, reverse=True)
        if cursor is not None:
            behind = _parse(cursor)
            found = [each for each in found if place(each) < behind]
        taken = 0
        for entry in found[:limit]:
            if not take(_as_trashed(entry)):
                break
            taken += 1
        has_more = len(found) > taken
        return {
            "hasMore": has_more,
            "cursor": write_cursor(list(place(found[taken - 1]))) if has_more and taken else None,
        }

    # --- what they have in common

    def _named(self, experiment_id: str) -> str:
        """Return the name by which an experiment is changed."""
        located = self._library.place_of(experiment_id)
        root = self._library.root
        if not _is_whole(located, root):
            raise ApiError(
                403,
                ErrorCode.FORBIDDEN,
                f"{located.prefix!r} is not changed, for {root!r} is only a part of a root, in which names are whole: "
                "open the dashboard over the root itself (`ml-dash ui ROOT`, mostly .dash)",
            )
        return located.prefix

    def _renamed(self, prefix: str) -> dict[str, Any]:
        """Return the record of an experiment that has just got its name."""
        experiment_id = id_of(prefix)
        self._library.forget(experiment_id)
        return self._library.record(experiment_id)


def _is_whole(located: Located, root: str) -> bool:
    """Whether an experiment is called under a root what it is called everywhere."""
    try:
        identity = parse_prefix(located.prefix, user=str, now_ns=time.time_ns)
        directory = identity.directory(root)
    except InvalidPrefixError:
        return False
    return identity.prefix == located.prefix and directory == os.path.abspath(located.directory)


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what `LocalChanges` raises into answers."""
    try:
        yield
    except MLDashError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ApiError(507, ErrorCode.DISK_FULL, str(error)) from error
        for kind, status, code in _CODES:
            if isinstance(error, kind):
                raise ApiError(status, code, str(error)) from error
        raise


def _owner(entry: Trashed) -> str:
    return entry.prefix.partition("/")[0]


def _times(entry: Trashed | Deleted) -> dict[str, str | None]:
    return {"deletedAt": time_or_none(entry.deleted_ns), "purgeAt": time_or_none(entry.purge_ns)}


def _as_trashed(entry: Trashed) -> dict[str, Any]:
    return {
        "id": entry.id,
        "prefix": entry.prefix,
        "owner": _owner(entry),
        "rows": _rows(entry),
        "deletedBy": entry.deleted_by,
        **_times(entry),
    }


def _rows(entry: Trashed) -> int:
    """Return how many rows its metrics have; 0 where nothing of them can be read."""
    if entry.rows is not None:
        return entry.rows
    # deleted by an older version
    try:
        with LocalView(Located(entry.prefix, entry.directory), 0.0).reading() as index:
            return sum(map(index.count, index.series(Kind.METRIC)))
    except (JournalError, OSError):
        return 0


def _parse(cursor: str) -> tuple[int, str]:
    match read_cursor(cursor):
        case [int() as deleted_ns, str() as last]:
            return deleted_ns, last
    raise invalid_cursor(cursor)
