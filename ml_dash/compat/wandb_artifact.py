"""`wandb.Artifact`: its files are saved below ``artifacts/<name>``, and its versions are those of the files.

Each version of a file has the alias ``v<number>`` of the artifact's version that it belongs to, and that one's
aliases: so ``exp.files("artifacts/model/a.pt", alias="best")`` is the file of the version that is called so. Where an
alias goes on to another version, files that this one lacks lose it.

What still can fail: whoever dies in the middle of `Artifact.log` leaves a version without some of its files. It is told
by their number, which each has in its metadata, and is not found.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ml_dash.errors import FileMissingError, InvalidCallError
from ml_dash.integrations.tracked import save_directory
from ml_dash.query.files import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_dash.sdk.experiment import Experiment

FOLDER = "artifacts"
_OURS = "artifact"
"""The key of a file's metadata with what is known of the artifact; all others are the script's."""


class Artifact:
    """Files that belong together, collected here until the artifact is logged; what is added is copied at once.

    Args:
        name: of all its versions.
        type: what it is: ``model``, ``dataset``.
        description: for people.
        metadata: anything else.
        **_: other settings, which mean nothing here.
    """

    def __init__(
        self,
        name: str,
        type: str = "unspecified",
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        self.name = name
        self.type = type
        self.description = description
        self.metadata = dict(metadata or {})
        self.version = ""
        self.aliases: list[str] = []
        self._references: dict[str, str] = {}
        self._folder = tempfile.mkdtemp(prefix="ml-dash-artifact-")
        self._removed = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._stored: tuple[Experiment, str] | None = None

    def add_file(self, local_path: str | os.PathLike[str], name: str | None = None, **_: Any) -> None:
        """Add a file, as it is now."""
        shutil.copyfile(local_path, self._place(name or os.path.basename(os.fspath(local_path))))

    def add_dir(self, local_path: str | os.PathLike[str], name: str | None = None, **_: Any) -> None:
        """Add all files below a directory, as they are now."""
        for above, _directories, names in os.walk(local_path):
            for each in names:
                path = os.path.join(above, each)
                below = os.path.relpath(path, local_path)
                shutil.copyfile(path, self._place(os.path.join(name or "", below)))

    @contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None) -> Iterator[IO[Any]]:
        """Open a new file of the artifact, to be written in a block."""
        with open(self._place(name), mode.replace("x", "w"), encoding=encoding) as file:
            yield file

    def add_reference(self, uri: str, name: str | None = None, **_: Any) -> None:
        """Note where a content is, which is not copied."""
        self._references[name or os.path.basename(str(uri))] = str(uri)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Return at once: what was logged is durable with the experiment, and sent in the background."""
        return self

    def log(self, experiment: Experiment, aliases: Sequence[str] | None) -> Artifact:
        """Save the files as the next version."""
        number = _newest(experiment, self.name) + 1
        self.version, self.aliases = f"v{number}", list(aliases or [LATEST])
        place = f"{FOLDER}/{self.name}"
        count = sum(len(names) for _above, _directories, names in os.walk(self._folder))
        told = {"type": self.type, "version": number, "files": count or 1, "references": self._references}
        details: Any = {
            "metadata": {**self.metadata, _OURS: told},
            "aliases": [self.version, *self.aliases],
            "description": self.description,
        }
        if not save_directory(experiment, self._folder, place, **details):
            experiment.files(place).save_json(self._references, to="references.json", **details)
        for alias in self.aliases:
            for row in experiment.files(place, alias=alias).list() if alias != LATEST else ():
                if _version_of(row) != number:
                    experiment.files(file_id=row["id"]).unalias(alias)
        self._stored = experiment, place
        return self

    def use(self, experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> Artifact:
        """Stand for a version that is stored, of these files."""
        self._stored = experiment, f"{FOLDER}/{self.name}"
        self.metadata = dict(rows[0]["metadata"])
        told = self.metadata.pop(_OURS)
        self.type, self.version, self._references = told["type"], f"v{told['version']}", told["references"]
        self.aliases = [alias for alias in rows[0]["aliases"] if alias != self.version]
        self.description = rows[0]["description"]
        return self

    def download(self, root: str | os.PathLike[str] | None = None, **_: Any) -> str:
        """Copy the files to a directory, checked, and return it."""
        if self._stored is None:
            raise InvalidCallError(
                f"the artifact {self.name!r} is not stored yet: call run.log_artifact(artifact)"
            )
        experiment, place = self._stored
        target = os.path.abspath(root or os.path.join(FOLDER, f"{self.name}-{self.version}"))
        os.makedirs(target, exist_ok=True)
        for row in experiment.files(place, alias=self.version).list():
            below = f"{row['path']}/{row['filename']}".removeprefix(f"/{place}/")
            path = os.path.join(target, *below.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            experiment.files(file_id=row["id"]).download(path)
        return target

    def file(self, root: str | None = None) -> str:
        """Copy the only file to a directory, and return its path."""
        directory = self.download(root)
        paths = [os.path.join(above, name) for above, _, names in os.walk(directory) for name in names]
        if len(paths) != 1:
            raise InvalidCallError(f"the artifact {self.name!r} has {len(paths)} files: call download()")
        return paths[0]

    def _place(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self._folder, name))
        if not path.startswith(self._folder + os.sep):
            raise InvalidCallError(f"{name!r} is not a name within the artifact")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path


def find_artifact(experiments: Sequence[Experiment], wanted: str) -> Artifact:
    """Return a version of an artifact, of the first experiment that has it.

    Args:
        experiments: where to look.
        wanted: ``name``, ``name:latest``, ``name:v3`` or ``name:alias``.

    Raises:
        FileMissingError: none of them has one.
    """
    name, _, version = wanted.rpartition("/")[2].partition(":")
    for experiment in experiments:
        if rows := _rows(experiment, name, version or LATEST):
            return Artifact(name).use(experiment, rows)
    looked = ", ".join(experiment.prefix for experiment in experiments)
    raise FileMissingError(
        f"there is no artifact {wanted!r} in {looked}: one of another experiment is "
        f"ml_dash.open('owner/project/name').files('{FOLDER}/{name}').download('here/')"
    )


def _rows(experiment: Experiment, name: str, alias: str) -> list[dict[str, Any]]:
    """Return the rows of the files of the version that an alias means; none where there is no such version."""
    path = f"{FOLDER}/{name}"
    if alias == LATEST:
        numbers = list(range(_newest(experiment, name), -1, -1))
    else:
        # several where an alias is just going on to another version, whose files come one by one
        numbers = sorted(
            {_version_of(row) for row in experiment.files(path, alias=alias).list()}, reverse=True
        )
    for number in numbers:
        stored = experiment.files(path, alias=f"v{number}").list()
        rows = [row for row in stored if _version_of(row) == number]
        if rows and len(rows) >= _told(rows[0]).get("files", 1):
            return rows
    return []


def _newest(experiment: Experiment, name: str) -> int:
    """Return the number of the newest version of an artifact; -1 where there is none."""
    path = f"{FOLDER}/{name}"
    number = max(map(_version_of, experiment.files(path).list()), default=-1)
    while experiment.files(
        path, alias=f"v{number + 1}"
    ).list():  # of which somebody has saved a newer one by hand
        number += 1
    return number


def _version_of(row: Mapping[str, Any]) -> int:
    """Return the number of the version that a file belongs to; -1 of one that somebody has saved there by hand."""
    number = _told(row).get("version")
    return number if isinstance(number, int) else -1


def _told(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a file's metadata say of its artifact."""
    told = (row["metadata"] or {}).get(_OURS)
    return told if isinstance(told, dict) else {}
