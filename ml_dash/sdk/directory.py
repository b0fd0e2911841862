"""The experiment's directory, as a run that starts finds or makes it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ml_dash.client.destination import make_outbox
from ml_dash.errors import JournalWriteError
from ml_dash.journal.disk import REAL_DISK
from ml_dash.storage.folding import taken_name
from ml_dash.storage.side_file import strange_side_file

if TYPE_CHECKING:
    from ml_dash.identity import Identity

_TRIES = 100


def prepare_directory(identity: Identity, root: str, *, keeps: bool) -> None:
    """Make the directory of an experiment that `keeps` its journal, or of one in the outbox.

    Raises:
        JournalWriteError: it cannot be made or written, or what lies there is not ours and would be replaced, or is
            another experiment's, of a name that this disk takes for the same.
    """
    prefix, directory = identity.prefix, identity.directory(root)
    journal = os.path.join(directory, "journal")
    try:
        strange = strange_side_file(directory, REAL_DISK)
        check_folding(identity, root)
        if not keeps:
            make_outbox()
        if strange is None:
            _make(journal)
            check_folding(
                identity, root
            )  # once more: another process may have made it meanwhile, under its own name
        # Asked for as well: of a directory that is there already, `makedirs` does not say that it is read-only.
        may_write = strange is not None or os.access(journal, os.W_OK | os.X_OK) or not os.path.isdir(journal)
        refused = None if may_write else "permission denied"
    except JournalWriteError:
        raise
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


def _make(journal: str) -> None:
    """Make a directory, though another run of the experiment ends at this moment.

    In the outbox such a run removes what is empty, also directories above, in the middle of our making them. What it
    removes once they are made is made again with the journal's first file.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(
            FileNotFoundError, FileExistsError
        ):  # the latter: it was there when it was made
            os.makedirs(journal, exist_ok=True)
            return
    os.makedirs(journal, exist_ok=True)


def check_folding(identity: Identity, root: str) -> None:
    """Raise `JournalWriteError` where the disk would put an experiment into another one's directory."""
    taken = taken_name(root, identity.segments)
    if taken is not None:
        raise JournalWriteError(
            f"{identity.prefix!r} would lie in the directory of {'/'.join(taken)!r}: the disk of {root!r} takes these "
            "names for the same. Write the prefix as it is there, or choose another one"
        )
