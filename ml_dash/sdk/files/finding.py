"""Finding files by id, by name and by pattern, and getting at their blobs."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from ml_dash.errors import (
    ContentError,
    FileMissingError,
    FileStoreError,
    InvalidArgumentError,
    ServerUnavailableError,
)
from ml_dash.notices import warn_user
from ml_dash.query.files import FileQuery, full_name
from ml_dash.query.patterns import is_pattern
from ml_dash.sdk.files.targets import Below, hidden_error, is_hidden, safe_name, target_of
from ml_dash.storage.copying import copy_blob

if TYPE_CHECKING:
    from ml_dash.sdk.files.saving import FileSaver
    from ml_dash.sdk.session import Session


class FileFinder:
    """Reads the files of one experiment, whether its run is open or not; for any thread."""

    def __init__(self, session: Session, saver: FileSaver) -> None:
        self._session = session
        self._saver = saver

    def by_id(self, file_id: str, *, own_first: bool = False) -> dict[str, Any]:
        """Return the row of a file, of an older version or a deleted one too.

        With `own_first` what this machine has saved is looked at first, so that no server is waited for.
        """
        row = self._session.local_view.file(file_id) if own_first else None
        row = row or self._session.view.file(file_id)
        if row is None:
            raise FileMissingError(
                f"{self._session.prefix!r} has no file with the id {file_id!r}: exp.files.list() has all"
            )
        return row

    def newest(self, name: str, alias: str | None = None) -> dict[str, Any] | None:
        """Return a version of the file of this full name, deleted or not: the newest, or the one that an alias means.

        None where there is no such file.
        """
        rows = self._session.view.files(FileQuery(path=name, alias=alias, deleted=True))
        return next((row for row in rows if full_name(row) == name), None)

    def by_name(self, name: str, alias: str | None = None) -> dict[str, Any]:
        """Return the version that `newest` does; raise `FileMissingError` if it was deleted, too."""
        row = self.newest(name, alias)
        if row is None and alias is not None and self.newest(name) is not None:
            raise FileMissingError(
                f"no version of {name!r} has the alias {alias!r}: exp.files({name!r}).list() shows those of the "
                f"newest, and exp.files({name!r}).alias({alias!r}) gives it"
            )
        if row is None:
            raise FileMissingError(
                f"{self._session.prefix!r} has no file {name!r}; the files below a path are {name + '/**'!r}, and "
                "exp.files.list() has all there are"
            )
        return present(row)

    def chosen(
        self,
        path: str | None,
        tags: tuple[str, ...],
        bindrs: tuple[str, ...],
        alias: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return the files at or below a path or of a pattern, with any of the tags and any of the bindrs.

        Of each the newest version, or the one that an alias means.
        """
        view = self._session.view
        rows = view.files(FileQuery(path=path, tags=tags, alias=alias))
        if not rows and path is not None and is_pattern(path):  # a name may have such characters in it, too
            rows = view.files(FileQuery(pattern=path, tags=tags, alias=alias))
        return [row for row in rows if not bindrs or set(bindrs) & set(row["bindrs"])]

    def is_pattern(self, path: str) -> bool:
        """Return whether a path is a pattern: it has the characters of one, and no file has it as its name."""
        return is_pattern(path) and self.newest(path) is None

    def download(
        self, row: dict[str, Any], dest_path: Any, *, asked: str | None = None, dotfiles: bool = False
    ) -> str:
        """Copy a file's blob to where the user wants it, checked; return the path. See `target_of`."""
        target = target_of(present(row), dest_path, asked=asked, dotfiles=dotfiles)
        self.fetch(row, target)
        return target

    def download_all(
        self, rows: list[dict[str, Any]], directory: Any, *, asked: str | None = None, dotfiles: bool = False
    ) -> list[str]:
        """Copy files' blobs to below a directory, under the files' paths; return those on this disk."""
        below = Below(rows, directory)
        hidden = [] if dotfiles else [row for row in rows if is_hidden(row, asked)]
        if hidden:  # before anything is written, as what follows
            raise hidden_error(
                hidden, "Pass allow_dotfiles=True if you want them, or name files that you want"
            )
        for row in rows:
            below.place(row)  # raises, should links lead out of the directory, before anything is written
        targets = []
        renamed = {}
        for row in rows:
            target = below.place(row)
            self.fetch(row, target)
            below.take(target)
            targets.append(target)
            if below.is_renamed(row, target):
                renamed[full_name(row)] = target
        if renamed:
            listed = ", ".join(f"{name!r} is {target!r}" for name, target in renamed.items())
            warn_user(f"names that this disk cannot have beside others were changed: {listed}", UserWarning)
        return targets

    def download_directory(
        self, rows: list[dict[str, Any]], path: str, directory: Any, *, dotfiles: bool = False
    ) -> list[str]:
        """Copy the files below a path to below a directory, under their paths from there; return those on this disk."""
        own = path.rpartition("/")[2]
        inner = [{**row, "path": f"/{row['path'].strip('/')[len(path) :].strip('/')}"} for row in rows]
        return self.download_all(inner, safe_name(own) if directory is None else directory, dotfiles=dotfiles)

    def fetch(self, row: dict[str, Any], dest: str) -> None:
        """Copy a file's blob to a file: from this disk, or from the server."""
        session, staging = self._session, self._saver.staging
        parent = os.path.dirname(os.path.abspath(dest))
        try:
            os.makedirs(parent, exist_ok=True)
        except OSError as error:
            raise FileStoreError(
                f"cannot make the directory {parent!r}: {error.strerror or error}; choose another dest_path="
            ) from error
        damaged: ContentError | None = None
        # One that cannot be looked at is not gone by that: it is only had from the server, if there is one.
        out_of_reach = session.destination.url is None and staging.is_out_of_reach(row["checksum"])
        if staging.has(row["checksum"], row["sizeBytes"]) or out_of_reach:
            try:
                copy_blob(staging.path_of(row["checksum"]), dest, row["checksum"], row["sizeBytes"])
            except (ContentError, FileMissingError) as error:
                if session.destination.url is None:
                    raise
                damaged = error if isinstance(error, ContentError) else None
            else:
                return
        if session.destination.url is None:
            raise FileMissingError(
                f"the content of {full_name(row)!r} ({row['id']}) is not in {session.directory!r} any more: "
                "somebody has removed it"
            )
        try:
            session.server_view().fetch(row, dest)
        except (FileMissingError, ServerUnavailableError) as error:
            if damaged is None:
                raise
            raise ContentError(f"{damaged}; and {error}") from error

    def read(self, row: dict[str, Any]) -> bytes:
        """Return what a file holds, checked."""
        # By way of a file, as a download: that is checked as it is copied, and a server's blob may come in pieces.
        with tempfile.TemporaryDirectory(prefix="ml-dash-") as directory:
            path = os.path.join(directory, "blob")
            self.fetch(present(row), path)
            with open(path, "rb") as file:
                return file.read()

    def source(self, given: Any) -> dict[str, Any]:
        """Return the row of what is to be duplicated: a row, an id or a full name."""
        if isinstance(given, dict):
            given = given.get("id")
        if not isinstance(given, str) or not given.strip("/"):
            raise InvalidArgumentError(
                f"source={given!r:.200} is not a file: pass a row, an id or a name like 'models/a.pt'"
            )
        if given.startswith("file_") and "/" not in given:
            row = self._session.local_view.file(given) or self._session.view.file(given)
            if row is not None:
                return present(row)
        return self.by_name(given.strip("/"))


def present(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a file; raise `FileMissingError` if it was deleted."""
    if row["deletedAt"] is not None:
        raise FileMissingError(f"{full_name(row)!r} ({row['id']}) was deleted at {row['deletedAt']}")
    return row
