"""`exp.files(…)`: what is saved to, listed at or done with one path, one file or the files of one pattern."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import FileMissingError, InvalidArgumentError, InvalidCallError
from ml_dash.notices import warn_user
from ml_dash.query.files import LATEST, is_alias
from ml_dash.sdk.files.details import DETAILS, Details, checked_aliases
from ml_dash.sdk.files.directories import Directory
from ml_dash.sdk.files.encoders.images import write_figure, write_image
from ml_dash.sdk.files.finding import present
from ml_dash.sdk.files.names import Place, checked_path, name_on_disk, place_of
from ml_dash.sdk.guidance.calls import explained, flag
from ml_dash.sdk.parts import Part
from ml_dash.storage.blobs import Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    from typing_extensions import Unpack  # for type checkers and completion; not needed when it runs

    from ml_dash.sdk.files.details import DetailArguments, SaveArguments
    from ml_dash.sdk.files.finding import FileFinder
    from ml_dash.sdk.files.saving import FileSaver
    from ml_dash.sdk.parts import Step
    from ml_dash.sdk.session import Session
    from ml_dash.storage.blobs import Staging


class Saves(Part):
    """Saves files below a path: what `exp.files` does from the root on, and `exp.files(path)` from there.

    Every save returns the file's row: ``id``, ``path``, ``filename``, ``description``, ``tags``, ``bindrs``,
    ``contentType``, ``sizeBytes``, ``checksum`` (SHA-256), ``metadata``, ``uploadedAt``, ``updatedAt``, ``deletedAt``.
    Writing raises `NotStartedError` while the run is not open; reading works at any time.

    The details that it was made with count for everything that is saved, unless they are given there.
    """

    __slots__ = ("_details", "_finder", "_path", "_saver")

    def __init__(
        self,
        session: Session,
        saver: FileSaver,
        finder: FileFinder,
        path: Any,
        details: Details,
        *steps: Step,
    ) -> None:
        super().__init__(session, "files", *steps)
        self._saver = saver
        self._finder = finder
        self._path = checked_path(path)
        self._details = details

    @explained("exp.files('models').save('model.pt', tags=['best'])")
    def save(
        self,
        local_path: str | os.PathLike[str],
        *,
        to: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        bindrs: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        aliases: Sequence[str] | None = None,
    ) -> Any:
        """Save a file of this disk, or all files of a directory, as they are now; they may change afterwards.

        Of a directory each file is saved by itself, under its path from there: ``files("ckpt").save("out/")`` saves
        ``out/a/b.pt`` as ``ckpt/a/b.pt``. Links to files are followed. Links to directories, pipes, sockets and devices
        are left out, and a warning names them.

        Args:
            local_path: the file or the directory; a symbolic link is followed.
            to: the name in the experiment, below the builder's path; None, or one that ends with a slash, keeps the
                file's own name. Of a directory, the path below which its files are put.
            description: for people.
            tags: for search.
            bindrs: for organisation.
            metadata: anything else.
            aliases: names that mean this version from now on, and no other version of the file, such as "best".

        Returns:
            The row; of a directory, the list of the rows.

        Raises:
            FileMissingError: there is no such file, or no file in the directory.
            FileStoreError: it cannot be read or stored, as on a full disk. Of a directory, what was saved before stays.
            FileChangedError: it is being written all the time.
            InvalidArgumentError: an argument is of the wrong kind, or the name is one that no file can have.
            NotStartedError: the run is not open.
        """
        details = {"description": description, "tags": tags, "bindrs": bindrs, "metadata": metadata}
        details["aliases"] = checked_aliases(aliases)
        own_name = name_on_disk(local_path)
        source = os.path.expanduser(local_path)
        if os.path.isdir(source):
            return self._save_directory(os.fspath(source), to, details)
        place = place_of(self._path, to, own_name)
        return self._save(place, details, lambda staging: staging.capture(source))

    upload = save

    @explained("exp.files('configs').save_json(content, to='config.json')")
    def save_json(self, content: Any, to: str, **details: Unpack[SaveArguments]) -> dict[str, Any]:
        """Save an object as JSON; numpy's scalars and arrays and NaN are taken, too.

        Args:
            content: the object.
            to: the name, below the builder's path.
            **details: `description`, `tags`, `bindrs`, `metadata`, `aliases`, as for `save`.
        """
        place = self._begin(to)
        from ml_dash.sdk.files.encoders.objects import json_bytes

        data = json_bytes(content)
        return self._write(place, details, lambda file: file.write(data))

    @explained("exp.files('notes').save_text(text, to='note.txt')")
    def save_text(self, text: str, to: str, **details: Unpack[SaveArguments]) -> dict[str, Any]:
        """Save a text, in UTF-8."""
        place = self._begin(to)
        if not isinstance(text, str):
            raise InvalidArgumentError(f"save_text() takes a str, not {type(text).__qualname__}: pass str(…)")
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"the text cannot be encoded in UTF-8 ({error}): use save_blob(bytes, to=…)"
            ) from error
        return self._write(place, details, lambda file: file.write(data))

    @explained("exp.files('data').save_blob(data, to='data.bin')")
    def save_blob(
        self, data: bytes | bytearray | memoryview, to: str, **details: Unpack[SaveArguments]
    ) -> dict[str, Any]:
        """Save bytes as they are."""
        place = self._begin(to)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidArgumentError(
                f"save_blob() takes bytes, not {type(data).__qualname__}: a text goes to save_text(), an object to "
                "save_json() or save_pkl()"
            )
        return self._write(place, details, lambda file: file.write(data))

    @explained("exp.files('models').save_torch(model, to='model.pt')")
    def save_torch(self, model: Any, to: str, **details: Unpack[SaveArguments]) -> dict[str, Any]:
        """Save a PyTorch module, a state dict or any such object by ``torch.save``."""
        place = self._begin(to)
        from ml_dash.sdk.files.encoders.objects import write_torch

        return self._write(place, details, lambda file: write_torch(model, file))

    @explained("exp.files('data').save_pkl(content, to='data.pkl')")
    def save_pkl(self, content: Any, to: str, **details: Unpack[SaveArguments]) -> dict[str, Any]:
        """Save an object by ``pickle``. ML-Dash never loads a pickle."""
        place = self._begin(to)
        from ml_dash.sdk.files.encoders.objects import write_pickle

        return self._write(place, details, lambda file: write_pickle(content, file))

    @explained("exp.files('plots').save_fig(figure, to='plot.png')")
    def save_fig(self, fig: Any = None, to: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Save a matplotlib figure, in the format that the name's extension says; it stays open, as by ``savefig``.

        Args:
            fig: the figure; None for the current one, as of ``plt.gcf()``.
            to: the name, below the builder's path.
            **kwargs: `description`, `tags` and `bindrs` as for `save`; all others go to ``fig.savefig``.
        """
        place = self._begin(to)
        # Not `metadata`: for `savefig` that is what it writes into the file itself.
        details = _taken(kwargs, "description", "tags", "bindrs", "aliases")
        return self._write(place, details, lambda file: write_figure(fig, file, place.extension, **kwargs))

    @explained("exp.files('images').save_image(image, to='sample.png')")
    def save_image(self, image: Any, to: str, **kwargs: Any) -> dict[str, Any]:
        """Save an image: a Pillow image, or an array H×W, H×W×3 or H×W×4 of uint8, or of floats from 0 to 1.

        Args:
            image: the image.
            to: the name, below the builder's path; its extension says the format.
            **kwargs: `description`, `tags`, `bindrs` and `metadata` as for `save`; all others go to Pillow.
        """
        place = self._begin(to)
        details = _taken(kwargs, *DETAILS, "aliases")
        return self._write(place, details, lambda file: write_image(image, file, place.extension, **kwargs))

    @explained("exp.files('videos').save_video(frames, to='sample.mp4', fps=20)")
    def save_video(self, frames: Any, to: str, fps: int = 20, **kwargs: Any) -> dict[str, Any]:
        """Encode frames as a video.

        Args:
            frames: a list or an array of frames H×W, H×W×1 or H×W×3, of uint8, or of floats from 0 to 1.
            to: the name, below the builder's path; its extension says the format.
            fps: frames a second.
            **kwargs: `description`, `tags`, `bindrs` and `metadata` as for `save`; `codec`, `quality` and all others
                go to the encoder.
        """
        place = self._begin(to)
        # Imported at the first video: subprocess and tempfile are not needed to log numbers.
        from ml_dash.sdk.files.encoders.video import write_video

        details = _taken(kwargs, *DETAILS, "aliases")
        suffix = f".{place.extension}" if place.extension else ""

        def encode(path: str) -> None:
            write_video(frames, path, fps=fps, **kwargs)

        return self._save(place, details, lambda staging: staging.encode(suffix, encode))

    @explained("exp.files.duplicate('models/a.pt', to='models/b.pt')")
    def duplicate(self, source: Any, to: str, **details: Unpack[SaveArguments]) -> dict[str, Any]:
        """Save a file of this experiment under another name, too; its blob is neither copied nor sent again.

        Args:
            source: its full name, its id or its row.
            to: the new name, below the builder's path; one that ends with a slash keeps the filename.
            **details: as for `save`; what is not given is as it is in the source.
        """
        self._saver.check()
        given = {**details}
        aliases = checked_aliases(given.pop("aliases", None))
        said = self._given(given)
        row = self._finder.source(source)
        place = place_of(self._path, to, row["filename"])
        own = {name: row[name] for name in DETAILS}
        # It need not be on this disk: a row with its checksum is all that a second name takes.
        blob = Staged(row["checksum"], row["sizeBytes"], self._saver.staging.path_of(row["checksum"]))
        return self._saver.log(place, said.over(Details(**own)), blob, aliases)

    def _save_directory(self, source: str, to: str | None, details: dict[str, Any]) -> list[dict[str, Any]]:
        self._saver.check()
        directory = Directory(source, self._saver.root)
        above = "" if to is None else f"{to.rstrip('/')}/"
        # All names first: half of a directory, for a name that no file can have, would be worse than none of it.
        found = False
        for each in directory.files():
            place_of(self._path, f"{above}{each.name}")
            found = True
        if not found:
            raise directory.missing()
        self._given({name: details[name] for name in DETAILS})
        rows = [
            self._save(
                place_of(self._path, f"{above}{each.name}"),
                details,
                lambda staging, path=each.path: staging.capture(path),  # type: ignore[misc]
            )
            for each in directory.files()
        ]
        if left_out := directory.left_out():
            warn_user(left_out, UserWarning)
        return rows

    def _begin(self, to: Any) -> Place:
        self._saver.check()
        return place_of(self._path, to)

    def _write(
        self, place: Place, details: Mapping[str, Any], produce: Callable[[BinaryIO], object]
    ) -> dict[str, Any]:
        return self._save(place, details, lambda staging: staging.write(produce))

    def _save(
        self, place: Place, details: Mapping[str, Any], stage: Callable[[Staging], Staged]
    ) -> dict[str, Any]:
        said = {**details}
        aliases = checked_aliases(said.pop("aliases", None))
        return self._saver.save(place, self._given(said), stage, aliases)

    def _given(self, details: Mapping[str, Any]) -> Details:
        for name in details:
            if name not in DETAILS:
                known = ", ".join(f"{each}=" for each in DETAILS)
                raise InvalidCallError(
                    f"{name}={details[name]!r:.200} is not among what is said about a file ({known}): pass "
                    f"metadata={{{name!r}: …}}"
                )
        return Details(**details).over(self._details)


class FileBuilder(Saves, written="exp.files('models')"):
    """Saves files below a path, and lists, downloads, changes and deletes the files that its arguments select.

    What is given here counts for everything that is done with it; what is given to a method counts before that. See
    `FilesManager` for the arguments.
    """

    __slots__ = ("_alias", "_dest_path", "_file_id")

    def __init__(
        self,
        session: Session,
        saver: FileSaver,
        finder: FileFinder,
        path: Any,
        details: Details,
        file_id: Any,
        dest_path: Any,
        alias: Any = None,
    ) -> None:
        if alias is not None and alias != LATEST and not is_alias(alias):
            raise InvalidArgumentError(
                f"alias={alias!r:.200} is no alias: pass one that a version was given, as 'best'"
            )
        if file_id is not None and (not isinstance(file_id, str) or not file_id):
            raise InvalidArgumentError(f"file_id={file_id!r:.200} is not an id: pass the 'id' of a row")
        others = {"path": path, "file_id": file_id, "dest_path": dest_path, "alias": alias}
        super().__init__(session, saver, finder, path, details, {**others, **details.given()})
        self._file_id = file_id
        self._dest_path = dest_path
        self._alias = alias

    @explained("exp.files('models').list(), or exp.files(tags=['best']).list()")
    def list(self) -> list[dict[str, Any]]:
        """Return the rows of the selected files, sorted by path and filename: of each name the newest version.

        A path selects what is at or below it, a pattern what it matches: ``*`` and ``?`` within a segment, ``**``
        across them. Of tags and of bindrs, any is enough. Deleted files are left out.
        """
        if self._file_id is not None:
            row = self._finder.by_id(self._file_id)
            return [] if row["deletedAt"] else [row]
        tags, bindrs = tuple(self._details.tags or ()), tuple(self._details.bindrs or ())
        return self._finder.chosen(self._path, tags, bindrs, self._alias)

    @explained("exp.files('models/model.pt').exists()")
    def exists(self) -> bool:
        """Return whether there is a file of this full name, or with this id, that was not deleted."""
        if self._file_id is not None:
            try:
                return bool(self.list())
            except FileMissingError:
                return False
        row = self._finder.newest(self._named("exists"), self._alias)
        return row is not None and row["deletedAt"] is None

    @explained("exp.files('models/model.pt').download('here.pt')")
    def download(
        self, dest_path: str | os.PathLike[str] | None = None, *, allow_dotfiles: bool = False
    ) -> Any:
        """Copy a file to this disk, checked: there it is whole, or not at all.

        Args:
            dest_path: where to; None for the file's own name in the working directory; an existing directory, or a
                path that ends with a slash, for that name in there. Of a pattern, a directory: the files are put
                below it under their whole names. Of a path that files lie below, as of a directory that was saved,
                the directory that it becomes here: the files keep their paths from there.
            allow_dotfiles: whether names may begin with a dot that this call does not spell out, such as `.bashrc`.

        Returns:
            The path; of a pattern or of a directory, the list of paths.

        Raises:
            FileMissingError: there is no such file, or it was deleted.
            ContentError: the content is not the one that was saved.
            FileStoreError: it cannot be written, or has a name that begins with a dot; nothing was written then.
            ServerUnavailableError: it is at the server only, which cannot be reached.
        """
        dest = self._dest_path if dest_path is None else dest_path
        dotfiles = flag("allow_dotfiles", allow_dotfiles)
        if self._several("download"):
            return self._finder.download_all(self.list(), dest, asked=self._path, dotfiles=dotfiles)
        if self._is_directory() and (rows := self.list()):
            return self._finder.download_directory(rows, self._named("download"), dest, dotfiles=dotfiles)
        return self._finder.download(self._one("download"), dest, asked=self._path, dotfiles=dotfiles)

    @explained("exp.files('models/model.pt').read_bytes()")
    def read_bytes(self) -> bytes:
        """Return the content of a file, checked."""
        return self._finder.read(self._one("read_bytes"))

    @explained("exp.files('notes/note.txt').read_text()")
    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the content of a file as text."""
        row = self._one("read_text")
        data = self._finder.read(row)
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(
                f"{row['filename']!r} is not text in {encoding} ({error}): use read_bytes() or download()"
            ) from error

    @explained("exp.files(file_id='…', tags=['best']).update()")
    def update(self, **details: Unpack[DetailArguments]) -> dict[str, Any]:
        """Change what is said about a file: what was given to the builder or here, and nothing else.

        Args:
            **details: `description`, `tags`, `bindrs`, `metadata`.

        Raises:
            FileMissingError: there is no such file, or it was deleted.
            InvalidArgumentError: there is nothing to change, or no file was named.
        """
        self._saver.check()
        given = self._given(details)
        if not given.given():
            raise InvalidArgumentError(
                "update() has nothing to change: pass description=, tags=, bindrs= or metadata= to files(…)"
            )
        return self._saver.change(present(self._one("update", own_first=True)), given)

    @explained("exp.files('models/model.pt').alias('best')")
    def alias(self, *aliases: str) -> dict[str, Any]:
        """Have aliases mean this version of the file from now on, and no other: the newest, or that of `file_id`.

        Returns:
            Its row.

        Raises:
            FileMissingError: there is no such file, or it was deleted.
            InvalidArgumentError: one cannot be an alias, or there is none.
        """
        return self._rename(aliases, is_given=True)

    @explained("exp.files('models/model.pt', alias='best').unalias('best')")
    def unalias(self, *aliases: str) -> dict[str, Any]:
        """Have aliases mean no version of the file any more, if they mean this one; for the rest as `alias`."""
        return self._rename(aliases, is_given=False)

    def _rename(self, aliases: Sequence[str], *, is_given: bool) -> dict[str, Any]:
        self._saver.check()
        names = checked_aliases(aliases)
        if not names or LATEST in aliases:
            raise InvalidArgumentError(
                "pass aliases such as 'best'; 'latest' is given to nobody, for it always means the newest version"
            )
        return self._saver.name(present(self._one("alias", own_first=True)), names, is_given=is_given)

    @explained("exp.files('models/model.pt').delete()")
    def delete(self) -> Any:
        """Mark a file as deleted: it is not listed any more, and its content is kept for a while.

        Returns:
            Its row; of a pattern, the list of rows.

        Raises:
            FileMissingError: there is no such file.
        """
        self._saver.check()
        if self._several("delete"):
            return [self._saver.delete(row) for row in self.list()]
        row = self._one("delete", own_first=True)
        return row if row["deletedAt"] is not None else self._saver.delete(row)

    def _is_directory(self) -> bool:
        return self._file_id is None and self._finder.newest(self._named("download")) is None

    def _several(self, what: str) -> bool:
        return self._file_id is None and self._finder.is_pattern(self._named(what))

    def _one(self, what: str, *, own_first: bool = False) -> dict[str, Any]:
        if self._file_id is not None:
            return self._finder.by_id(self._file_id, own_first=own_first)
        return self._finder.by_name(self._named(what), self._alias)

    def _named(self, what: str) -> str:
        if self._path is None:
            raise InvalidArgumentError(
                f"{what}() does not know which file: pass files(file_id=row['id']), or its full name as in "
                f"files('models/best.pt')"
            )
        return self._path


def _taken(kwargs: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take arguments of ours out of those of an encoder."""
    return {name: kwargs.pop(name) for name in names if name in kwargs}
