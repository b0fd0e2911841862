"""`wandb.Artifact`: its files are saved below ``artifacts/<name>/v<number>``, with its aliases as their tags."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ml_dash.errors import FileMissingError, InvalidCallError
from ml_dash.integrations.tracked import save_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.sdk.experiment import Experiment

FOLDER = "artifacts"


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
        number = max(_versions(experiment, self.name), default=-1) + 1
        self.version, self.aliases = f"v{number}", list(aliases or ["latest"])
        place = f"{FOLDER}/{self.name}/{self.version}"
        told = {
            "type": self.type,
            "version": number,
            **({"references": self._references} if self._references else {}),
        }
        details: Any = {
            "metadata": {**self.metadata, **told},
            "tags": self.aliases,
            "description": self.description,
        }
        if not save_directory(experiment, self._folder, place, **details):
            experiment.files(place).save_json(self._references, to="references.json", **details)
        self._stored = experiment, place
        return self

    def use(self, experiment: Experiment, place: str) -> Artifact:
        """Stand for a version that is stored."""
        self._stored, self.version = (experiment, place), place.rpartition("/")[2]
        newest = experiment.files(place).list()[0]
        self.metadata, self.aliases = dict(newest["metadata"] or {}), list(newest["tags"])
        self.description, self.type = newest["description"], self.metadata.get("type", self.type)
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
        for row in experiment.files(place).list():
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


def find_artifact(experiments: Sequence[Experiment], wanted: str, type: str | None = None) -> Artifact:
    """Return a version of an artifact, of the first experiment that has it.

    Args:
        experiments: where to look.
        wanted: ``name``, ``name:latest``, ``name:v3`` or ``name:alias``.
        type: what it is said to be, where it does not say so itself.

    Raises:
        FileMissingError: none of them has one.
    """
    name, _, version = wanted.rpartition("/")[2].partition(":")
    for experiment in experiments:
        numbers = sorted(_versions(experiment, name), reverse=True)
        for number in numbers:
            place = f"{FOLDER}/{name}/v{number}"
            if (
                version in {"", "latest", f"v{number}"}
                or version in experiment.files(place).list()[0]["tags"]
            ):
                return Artifact(name, type or "unspecified").use(experiment, place)
    looked = ", ".join(experiment.prefix for experiment in experiments)
    raise FileMissingError(
        f"there is no artifact {wanted!r} in {looked}: one of another experiment is "
        f"ml_dash.open('owner/project/name').files('{FOLDER}/{name}/*').download('here/')"
    )


def _versions(experiment: Experiment, name: str) -> set[int]:
    pattern = re.compile(rf"/{FOLDER}/{re.escape(name)}/v(\d+)(?:/|$)")
    rows = experiment.files(f"{FOLDER}/{name}").list()
    return {int(match[1]) for row in rows if (match := pattern.match(row["path"]))}
