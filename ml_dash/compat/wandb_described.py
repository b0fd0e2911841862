"""What a run of wandb's says of itself, told of its experiment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.sdk.experiment import Experiment


class Described:
    """A run's names, tags and places.

    Args:
        experiment: its experiment; None for a run that logs nothing.
        said: what `wandb.init` was told.
    """

    def __init__(self, experiment: Experiment | None, said: Mapping[str, Any]) -> None:
        self.experiment = experiment
        self._said = said

    @property
    def id(self) -> str:
        """The last part of the prefix."""
        return self.experiment.name if self.experiment is not None else "disabled"

    @property
    def name(self) -> str:
        """The name that `init` was given, else the last part of the prefix."""
        return str(self._said.get("name") or self.id)

    @property
    def project(self) -> str:
        """The project."""
        return self.experiment.project if self.experiment is not None else "disabled"

    @property
    def entity(self) -> str:
        """The owner."""
        return self.experiment.owner if self.experiment is not None else "disabled"

    @property
    def path(self) -> str:
        """The prefix."""
        return self.experiment.prefix if self.experiment is not None else "disabled"

    @property
    def group(self) -> str:
        """The folder between project and name."""
        return self.experiment.folder if self.experiment is not None else ""

    @property
    def job_type(self) -> str:
        """As it was given."""
        return str(self._said.get("job_type") or "")

    @property
    def dir(self) -> str:
        """Where the run lies on disk."""
        return self.experiment.directory if self.experiment is not None else os.curdir

    @property
    def url(self) -> str | None:
        """The address of the experiment's page; None in local mode."""
        return self.experiment.page if self.experiment is not None else None

    project_url = url

    def get_url(self) -> str | None:
        """Return the address."""
        return self.url

    @property
    def disabled(self) -> bool:
        """Whether it logs nothing."""
        return self.experiment is None

    @property
    def offline(self) -> bool:
        """Whether it has no server."""
        return self.experiment is None or self.experiment.url is None

    @property
    def tags(self) -> tuple[str, ...]:
        """The experiment's tags."""
        return tuple(self.experiment.tags) if self.experiment is not None else ()

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        if self.experiment is not None:
            self.experiment.tags = list(tags)

    @property
    def notes(self) -> str | None:
        """The experiment's readme."""
        return self.experiment.readme if self.experiment is not None else None

    @notes.setter
    def notes(self, text: str) -> None:
        if self.experiment is not None:
            self.experiment.readme = text
