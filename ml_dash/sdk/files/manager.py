"""`exp.files`: the way to an experiment's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.sdk.files.builder import FileBuilder
from ml_dash.sdk.files.details import Details
from ml_dash.sdk.files.finding import FileFinder
from ml_dash.sdk.files.saving import FileSaver

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from ml_dash.sdk.session import Session

__all__ = ["FilesManager"]


class FilesManager:
    """Gives builders; and does by itself, from the root on, what they do: there ``to="directory/name"`` says where."""

    def __init__(self, session: Session) -> None:
        self._saver = FileSaver(session)
        self._finder = FileFinder(session, self._saver)

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

        Raises:
            InvalidArgumentError: an argument is of the wrong kind, or no file can have the path.
        """
        details = Details(description, tags, bindrs, metadata)
        return FileBuilder(self._saver, self._finder, path, details, file_id, dest_path)

    def save(
        self, local_path: str | os.PathLike[str], *, to: str | None = None, **details: Any
    ) -> dict[str, Any]:
        """Save a file of this disk; see `FileBuilder.save`."""
        return self().save(local_path, to=to, **details)

    upload = save

    def save_json(self, content: Any, to: str, **details: Any) -> dict[str, Any]:
        """Save an object as JSON; see `FileBuilder.save_json`."""
        return self().save_json(content, to, **details)

    def save_text(self, text: str, to: str, **details: Any) -> dict[str, Any]:
        """Save a text; see `FileBuilder.save_text`."""
        return self().save_text(text, to, **details)

    def save_blob(self, data: bytes | bytearray | memoryview, to: str, **details: Any) -> dict[str, Any]:
        """Save bytes; see `FileBuilder.save_blob`."""
        return self().save_blob(data, to, **details)

    def save_torch(self, model: Any, to: str, **details: Any) -> dict[str, Any]:
        """Save a PyTorch model; see `FileBuilder.save_torch`."""
        return self().save_torch(model, to, **details)

    def save_pkl(self, content: Any, to: str, **details: Any) -> dict[str, Any]:
        """Save an object by pickle; see `FileBuilder.save_pkl`."""
        return self().save_pkl(content, to, **details)

    def save_fig(self, fig: Any = None, to: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Save a figure; see `FileBuilder.save_fig`."""
        return self().save_fig(fig, to, **kwargs)

    def save_image(self, image: Any, to: str, **kwargs: Any) -> dict[str, Any]:
        """Save an image; see `FileBuilder.save_image`."""
        return self().save_image(image, to, **kwargs)

    def save_video(self, frames: Any, to: str, fps: int = 20, **kwargs: Any) -> dict[str, Any]:
        """Encode a video; see `FileBuilder.save_video`."""
        return self().save_video(frames, to, fps, **kwargs)

    def duplicate(self, source: Any, to: str, **details: Any) -> dict[str, Any]:
        """Save a file under another name, too; see `FileBuilder.duplicate`."""
        return self().duplicate(source, to, **details)

    def list(self, path: str | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Return rows: of all files, or as of ``files(path, tags=…)``; see `FileBuilder.list`."""
        return self(path, **filters).list()

    def exists(self, path: str) -> bool:
        """Whether there is the file of this full name; see `FileBuilder.exists`."""
        return self(path).exists()

    def download(
        self,
        path: str | None = None,
        dest_path: str | os.PathLike[str] | None = None,
        *,
        file_id: str | None = None,
    ) -> Any:
        """Copy a file, or those of a pattern, to this disk; see `FileBuilder.download`."""
        return self(path, file_id=file_id).download(dest_path)

    def read_bytes(self, path: str) -> bytes:
        """Return a content; see `FileBuilder.read_bytes`."""
        return self(path).read_bytes()

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Return a content as text; see `FileBuilder.read_text`."""
        return self(path).read_text(encoding)

    def update(
        self, path: str | None = None, *, file_id: str | None = None, **details: Any
    ) -> dict[str, Any]:
        """Change what is said about a file; see `FileBuilder.update`."""
        return self(path, file_id=file_id, **details).update()

    def delete(self, path: str | None = None, *, file_id: str | None = None) -> Any:
        """Mark a file, or those of a pattern, as deleted; see `FileBuilder.delete`."""
        return self(path, file_id=file_id).delete()
