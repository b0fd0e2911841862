"""Whether an experiment stands in a directory: asked by scripts that log, which need nothing else of a root."""

from __future__ import annotations

import os


def is_experiment(directory: str) -> bool:
    """Say whether a directory is an experiment's.

    It has a directory `journal` in it, which in turn has none: so an owner or a project that is called journal is not
    taken for one.
    """
    journal = os.path.join(directory, "journal")
    try:
        with os.scandir(journal) as entries:
            return not any(entry.is_dir(follow_symlinks=False) for entry in entries)
    except (OSError, ValueError):
        # one that may not be read is there all the same; ValueError: no file can have such a name
        return os.path.isdir(journal)
