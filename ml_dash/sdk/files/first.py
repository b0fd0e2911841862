"""An experiment's files, before there are any: half of what a script imports is for these, and many save none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.errors import FileStoreError
from ml_dash.forks import guarded_imports
from ml_dash.sdk.guidance.guided import Guided, keep
from ml_dash.spawning import is_last_thread

if TYPE_CHECKING:
    from ml_dash.sdk.files.manager import FilesManager
    from ml_dash.sdk.files.saving import FileSaver
    from ml_dash.sdk.session import Session


class FirstFiles:
    """Makes what saves an experiment's files, when it is asked for first."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._saver: FileSaver | None = None

    def saver(self) -> FileSaver:
        """Return the one saver of the session; or raise `FileStoreError` where that comes too late."""
        if self._saver is None:
            if is_last_thread():  # nothing can be imported any more
                raise FileStoreError(
                    "no file can be saved or read while the interpreter frees its modules: do it before the script "
                    "ends, or in an atexit handler, and not in a __del__"
                )
            with guarded_imports():
                from ml_dash.sdk.files.saving import FileSaver

            with self.session.lock:
                if (saver := self._saver) is None:
                    saver = self._saver = FileSaver(self.session)
            return saver
        return self._saver


class LateFiles:
    """`exp.files`, made when it is asked for first: from then on an attribute, as the other managers are."""

    if TYPE_CHECKING:  # of a class, only what looks at all of its names asks for it

        def __get__(self, experiment: Guided, owner: type) -> FilesManager: ...

    else:

        def __get__(self, experiment: Guided | None, owner: type) -> FilesManager | LateFiles:
            """Make them, or raise `FileStoreError` where that comes too late."""
            if experiment is None:
                return self
            first: FirstFiles = vars(experiment)["_files"]
            saver = first.saver()
            with guarded_imports():
                from ml_dash.sdk.files.manager import FilesManager

            # two threads may come to this, and either one's will do: what they share is the saver
            keep(experiment, files=FilesManager(first.session, saver))
            return vars(experiment)["files"]
