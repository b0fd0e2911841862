"""The experiment's directory, as a run that starts finds or makes it."""

from __future__ import annotations

import os

from ml_dash.client.destination import make_outbox
from ml_dash.errors import JournalWriteError
from ml_dash.journal.disk import REAL_DISK
from ml_dash.storage.side_file import strange_side_file


def prepare_directory(prefix: str, directory: str, *, keeps: bool) -> None:
    """Make the directory of an experiment that `keeps` its journal, or of one in the outbox.

    Raises:
        JournalWriteError: it cannot be made or written, or what lies there is not ours and would be replaced.
    """
    journal = os.path.join(directory, "journal")
    try:
        strange = strange_side_file(directory, REAL_DISK)
        if not keeps:
            make_outbox()
        if strange is None:
            os.makedirs(journal, exist_ok=True)
        # Asked for as well: of a directory that is there already, `makedirs` does not say that it is read-only.
        refused = None if strange or os.access(journal, os.W_OK | os.X_OK) else "permission denied"
    except OSError as error:
        strange, refused = None, error.strerror or str(error)
    if strange is not None:
        raise JournalWriteError(
            f"the run of {prefix!r} would replace {strange!r}, which this ML-Dash has not written; the public package "
            "of the same name leaves such files. Pass another prefix or dash_root=, or move that directory away; "
            "`ml-dash import ml-dash DIR` brings in what that package has written, below another root"
        )
    if refused is not None:
        raise JournalWriteError(
            f"cannot write the journal of {prefix!r} in {journal!r}: {refused}. "
            "Pass another dash_root=, or make that directory writable"
        )
