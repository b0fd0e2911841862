"""The files of an experiment, with everything in its journal that was logged by the time of the look."""

from __future__ import annotations

import os

from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.storage.recovery import catch_up


class LiveDisk(ForeignDisk):
    """A `ForeignDisk` that has processes write, and what dead ones have left, before it lists a journal."""

    def list(self, directory: str) -> list[str]:
        """See `Disk.list`."""
        experiment, name = os.path.split(directory)
        if name == "journal":
            catch_up(experiment, ForeignDisk(experiment))
        return super().list(directory)
