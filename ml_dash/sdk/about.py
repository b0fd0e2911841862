"""What is said about an experiment besides what it logs: readme, tags, bindrs and metadata."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError, JournalError
from ml_dash.journal.disk import REAL_DISK, is_shortage
from ml_dash.notices import warn_user
from ml_dash.protocol import DESCRIBED, METADATA_BYTES_MAX, README_MAX, SAID, TAG_MAX, TAGS_MAX
from ml_dash.settings import FRAME_BYTES
from ml_dash.storage.side_file import read_side_file
from ml_dash.values.pack import PACK_ERRORS, deferred_in, fetched, pack_plain, plain, represent
from ml_dash.values.tensors import Deferred, take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_dash.query.runs import RunInfo

_BESIDE = 32 << 10
"""Bytes that a start row has besides, at most: paths, names, and the columns' own."""
_ALWAYS_FITS = 32 << 20
"""Bytes of a frame that hold all that may be said of an experiment, whatever that is."""


class About:
    """What was given, and for what was not, what an earlier run stored; see `Experiment` for the arguments."""

    def __init__(
        self,
        directory: str,
        *,
        readme: str | None,
        tags: Iterable[str] | None,
        bindrs: Iterable[str] | None,
        metadata: dict[str, Any] | None,
        description: str | None,
    ) -> None:
        self.directory = directory
        if description is not None:
            warn_user("description= is a synonym of readme=: use readme=", FutureWarning)
            readme = description if readme is None else readme
        said = {"readme": readme, "tags": tags, "bindrs": bindrs, "metadata": metadata}
        self._given = {name: _checked(name, value) for name, value in said.items()}
        self._plain_metadata = _plain_metadata(self._given["metadata"])
        self._said_ns = SYSTEM_CLOCK.time_ns()
        self.is_fixed = False  # where it is, what other runs stored does not count

    @property
    def given(self) -> dict[str, Any]:
        """What was given, as the arguments of `Experiment` that mean it; None for what was not."""
        return dict(self._given)

    def change(self, name: str, value: Any, most: int) -> dict[str, Any]:
        """Replace what was given by that name; return what is to be stored of it, waiting for a device.

        At most `most` bytes go into a frame.

        Raises:
            InvalidArgumentError: the value is of the wrong kind, or too large; nothing has changed.
        """
        if value is None:
            empty = {"readme": "''", "metadata": "{}"}.get(name, "[]")
            raise InvalidArgumentError(
                f"exp.{name} = None says nothing: write exp.{name} = {empty} to take it away"
            )
        given = _checked(name, value)
        before = self._given, self._plain_metadata
        if name == "metadata":
            self._plain_metadata = _plain_metadata(given)
        self._given = {**self._given, name: given}
        said = {name: self.record()[name]}
        try:
            check_fits(said, most)
        except InvalidArgumentError:
            self._given, self._plain_metadata = before
            raise
        return said

    def record(self) -> dict[str, Any]:
        """Return what was given as plain data, waiting for a device of which a value is.

        What was not given is left out, and stays as it is wherever this is stored: here and at a server, which may have
        more of it than this disk does.
        """
        # plain once more: a tensor may have held complex numbers, which msgpack has not
        said = self.given | {"metadata": plain(fetched(self._plain_metadata), represent)}
        return {name: value for name, value in said.items() if value is not None}

    def begin(self) -> None:
        """Say it now, as a run does that starts."""
        self._said_ns = SYSTEM_CLOCK.time_ns()

    def saying(self) -> dict[str, Any]:
        """Return what `record` does, and when each was said, for a server: others may have said something later."""
        record = self.record()
        return {**record, SAID: dict.fromkeys(record, self._said_ns)}

    def known(self, journal: RunInfo) -> dict[str, Any]:
        """Return what the journal's starts say of the experiment, and what is stored of the rest.

        By the journal and not by what was given here: another object or process may have said something else since.

        OSError where there are no descriptors or no memory to read that with: what is stored would be forgotten.
        """
        if self.is_fixed:
            return self.record()
        return _described(self._read()) | self.record() | _described(journal.experiment)

    def stored(self, journal: Callable[[], RunInfo]) -> dict[str, Any]:
        """Return what runs have said, and empty where that is nothing: by the journal, and else by the side file.

        A process that is killed has written its last word to the journal, and may not have replaced the side file.

        OSError where there are no descriptors or no memory to read that with: nothing would be untrue.
        """
        record: dict[str, Any] = {}
        try:
            record = self._read()
            if not self.is_fixed and os.path.isdir(self.directory):
                record |= _described(journal().experiment)
        except JournalError:
            pass  # what the side file says is all that can be told
        except OSError as error:
            if is_shortage(error):
                raise
        return record

    def _read(self) -> dict[str, Any]:
        return {} if self.is_fixed else read_side_file(self.directory, REAL_DISK)


def _described(record: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {name: (record or {}).get(name) for name in DESCRIBED}
    return {name: value for name, value in found.items() if value is not None}


def check_fits(said: Mapping[str, Any], most: int) -> None:
    """Refuse what a run would say of its experiment, and no frame of `most` bytes holds: it would not be stored."""
    if most >= _ALWAYS_FITS:
        return
    sizes = {name: len(pack_plain(value)) for name, value in said.items()}
    if sum(sizes.values()) + _BESIDE > most:
        largest = max(sizes, key=lambda name: sizes[name])
        raise InvalidArgumentError(
            f"{largest} has {sizes[largest]:,} bytes, which do not go into a frame of {FRAME_BYTES}={most} bytes: set "
            f"that to {sum(sizes.values()) + _BESIDE} or more, unset it, or shorten {largest}"
        )


def _checked(name: str, value: Any) -> Any:
    """Return a readme, tags, bindrs or metadata as they are given; refuse what is of another kind, or too large.

    Limits are a server's, and hold without one, too: what is here today may be sent by `ml-dash sync` in a year.
    """
    if name == "readme":
        return _within(name, checked_text(name, value), README_MAX)
    if name == "metadata":
        given = checked_mapping(name, value)
        # A copy, as it is now: the user may go on changing theirs.
        return None if given is None else dict(given)
    return _few(name, checked_texts(name, value))


def _plain_metadata(metadata: Any) -> Any:
    """Return metadata as they are stored: all of it as it is now."""
    found = plain(metadata, represent)
    _check_size(found)
    take(deferred_in(found))
    return found


def _within(name: str, text: str | None, most: int) -> str | None:
    """Return a text that is not too long."""
    if text is not None and len(text) > most:
        raise InvalidArgumentError(
            f"{name}={text[:40]!r}… has {len(text):,} characters, and at most {most:,} are stored: shorten it, and "
            "save the whole as a file with exp.files"
        )
    return text


def _few(name: str, texts: list[str] | None) -> list[str] | None:
    """Return a list of texts that are neither too many nor too long."""
    if texts is not None and len(texts) > TAGS_MAX:
        raise InvalidArgumentError(
            f"{name} has {len(texts):,} texts, and at most {TAGS_MAX:,} are stored: pass fewer"
        )
    for text in texts or ():
        _within(f"{name}: a text", text, TAG_MAX)
    return texts


def _check_size(metadata: Any) -> None:
    """Refuse metadata, as plain data, that are too large; numbers that are on a device still, count as none."""
    try:
        size = len(pack_plain(_here(metadata)))
    except PACK_ERRORS:
        return  # said, and stored as far as they can be, where they are stored
    if size > METADATA_BYTES_MAX:
        raise InvalidArgumentError(
            f"metadata has {size:,} bytes, and at most {METADATA_BYTES_MAX:,} are stored: keep what is large as a file "
            "(exp.files) or as parameters (exp.params)"
        )


def _here(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _here(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_here(item) for item in value]
    return None if isinstance(value, Deferred) else value


def checked_text(name: str, value: Any) -> str | None:
    """Return an argument that is a text, or None for one that was not given; refuse anything else."""
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(f"{name}={value!r:.200} is not a string: pass {name}=str(…)")
    return value


def checked_texts(name: str, value: Any) -> list[str] | None:
    """Return an argument that is a list of texts, or None for one that was not given; refuse anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        raise InvalidArgumentError(
            f"{name}={value!r:.200} is one string, not a list of strings: pass {name}=[{value!r:.200}]"
        )
    is_list = isinstance(value, Iterable) and not isinstance(value, (bytes, dict))
    texts: list[Any] = list(value) if is_list else [None]
    if not all(isinstance(item, str) for item in texts):
        raise InvalidArgumentError(f"{name}={value!r:.200} is not a list of strings: pass {name}=['…', '…']")
    return texts


def checked_mapping(name: str, value: Any) -> dict[str, Any] | None:
    """Return an argument that is a dict, or None for one that was not given; refuse anything else."""
    if value is not None and not isinstance(value, dict):
        raise InvalidArgumentError(f"{name}={value!r:.200} is not a dict: pass {name}={{'key': value}}")
    return value
