"""`exp.files`: the way to an experiment's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.sdk.files.builder import FileBuilder, Saves
from ml_dash.sdk.files.details import Details
from ml_dash.sdk.files.finding import FileFinder
from ml_dash.sdk.guidance.calls import explained

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from ml_dash.sdk.files.details import BuilderArguments, DetailArguments
    from ml_dash.sdk.files.saving import FileSaver
    from ml_dash.sdk.session import Session


class FilesManager(Saves, written="exp.files"):
    """Gives builders; and does by itself, from the root on, what they do: there ``to="directory/name"`` says where."""

    def __init__(self, session: Session, saver: FileSaver) -> None:
        super().__init__(session, saver, FileFinder(session, saver), None, Details())

    @explained("exp.files('models'), exp.files(tags=['best']) or exp.files(file_id='…')")
    def __call__(
        self,
        path: str | None = None,
        *,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        bindrs: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        file_id: str | None = None,
        dest_path: str | os.PathLike[str] | None = None,
        alias: str | None = None,
    ) -> FileBuilder:
        """Return a builder.

        Args:
            path: the directory to save to; or a path, a full name or a pattern to list, download, update or delete.
                A leading slash does not matter.
            description: for people.
            tags: for search; of what is listed, only files with any of them.
            bindrs: the same for organisation.
            metadata: anything else.
            file_id: a file's id, for what is done with one file.
            dest_path: where to download to.
            alias: which version of each name is meant, where something is listed, read or downloaded; None, as
                "latest", for the newest.

        Raises:
            InvalidArgumentError: an argument is of the wrong kind, or no file can have the path.
        """
        details = Details(description, tags, bindrs, metadata)
        return FileBuilder(self._session, self._saver, self._finder, path, details, file_id, dest_path, alias)

    @explained("exp.files.list('models/*')")
    def list(self, path: str | None = None, **filters: Unpack[BuilderArguments]) -> list[dict[str, Any]]:
        """Return rows: of all files, or as of ``files(path, tags=…)``; see `FileBuilder.list`."""
        return self(path, **filters).list()

    @explained("exp.files.exists('models/model.pt')")
    def exists(self, path: str) -> bool:
        """Return whether there is a file of this full name; see `FileBuilder.exists`."""
        return self(path).exists()

    @explained("exp.files.download('models/model.pt', 'here.pt')")
    def download(
        self,
        path: str | None = None,
        dest_path: str | os.PathLike[str] | None = None,
        *,
        file_id: str | None = None,
        alias: str | None = None,
        allow_dotfiles: bool = False,
    ) -> Any:
        """Copy a file, or those of a pattern, to this disk; see `FileBuilder.download`."""
        return self(path, file_id=file_id, alias=alias).download(dest_path, allow_dotfiles=allow_dotfiles)

    @explained("exp.files.read_bytes('models/model.pt')")
    def read_bytes(self, path: str) -> bytes:
        """Return the content of a file; see `FileBuilder.read_bytes`."""
        return self(path).read_bytes()

    @explained("exp.files.read_text('notes/note.txt')")
    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Return the content of a file as text; see `FileBuilder.read_text`."""
        return self(path).read_text(encoding)

    @explained("exp.files.update('models/model.pt', tags=['best'])")
    def update(
        self, path: str | None = None, *, file_id: str | None = None, **details: Unpack[DetailArguments]
    ) -> dict[str, Any]:
        """Change what is said about a file; see `FileBuilder.update`."""
        return self(path, file_id=file_id, **details).update()

    @explained("exp.files.delete('models/model.pt')")
    def delete(self, path: str | None = None, *, file_id: str | None = None) -> Any:
        """Mark a file, or those of a pattern, as deleted; see `FileBuilder.delete`."""
        return self(path, file_id=file_id).delete()
