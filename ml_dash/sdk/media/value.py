"""What every media value is: something that is taken at the call, and encoded later, on another thread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from ml_dash.errors import FileMissingError, InvalidArgumentError
from ml_dash.sdk.about import checked_text

if TYPE_CHECKING:
    from ml_dash.storage.blobs import Staged, Staging

_CAPTION_MAX = 10_000


class MediaValue:
    """A value of a row with contents of its own, see `ml_dash.sdk.media.store`.

    Attributes:
        kind: What the row calls it.
        extension: Of the file that has its contents.
        size: Bytes that it holds until it is encoded.
        source: The file of this disk that has its contents, and may change after the call; None where it holds them.
    """

    kind: ClassVar[str]

    def __init__(
        self, extension: str, size: int, caption: str | None = None, source: str | None = None
    ) -> None:
        checked_text("caption", caption)
        if caption is not None and len(caption) > _CAPTION_MAX:
            raise InvalidArgumentError(
                f"caption= has {len(caption):,} characters, and at most {_CAPTION_MAX:,} are kept: log a longer text "
                "as a value of its own, with ml_dash.Text(…)"
            )
        self.extension = extension
        self.size = size
        self.source = source
        self.caption = caption

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to be logged>"

    def about(self) -> dict[str, Any]:
        """Return what the row says of it besides its file: plain data."""
        return {"_type": self.kind, **({} if self.caption is None else {"caption": self.caption})}

    def stage(self, staging: Staging) -> Staged:
        """Store the contents."""
        return staging.write(self.write) if self.source is None else staging.capture(self.source)

    def write(self, file: BinaryIO) -> object:
        """Encode the contents, where there is no `source`."""
        raise NotImplementedError


def file_of(path: str | os.PathLike[str], extensions: frozenset[str], what: str) -> tuple[str, str]:
    """Return the path of a file that is `what` by its name, and its extension."""
    found = os.path.expanduser(os.fspath(path))
    extension = os.path.splitext(found)[1][1:].lower()
    if extension not in extensions:
        raise InvalidArgumentError(
            f"{path!r} does not look like {what}: its name should end with one of .{', .'.join(sorted(extensions))}; "
            "save any other file by exp.files.save()"
        )
    if not os.path.isfile(found):
        raise FileMissingError(f"there is no file {found!r} to log as {what}")
    return found, extension


def is_path(value: Any) -> bool:
    """Say whether a value names a file."""
    return isinstance(value, (str, os.PathLike))
