"""Every exception that ML-Dash raises, in one tree, and the warnings that it gives.

Each is also a subclass of the builtin that a caller would catch::

    MLDashError
    ├── InvalidPrefixError(ValueError)        a prefix that cannot name an experiment
    ├── InvalidArgumentError(ValueError)      a level, aggregation, timestamp… that is not known
    │   └── InvalidFilterError                a filter or an order that cannot be understood
    ├── InvalidParameterError(TypeError)      a parameter that cannot be stored
    ├── InvalidCallError(TypeError)           a call whose arguments do not fit
    ├── UnknownNameError(AttributeError)      an attribute that is not there
    ├── ReadOnlyError(AttributeError)         what cannot be set, or is a copy
    ├── ExperimentMissingError(LookupError)   no experiment of this name, where one is opened for reading
    ├── ExperimentExistsError(LookupError)    an experiment of this name, where another one was to go
    ├── ExperimentRunningError(RuntimeError)  a run goes on of what was to be moved or deleted
    ├── ChangedMeanwhileError(RuntimeError)   a text that somebody else has changed since it was read
    ├── StopError(RuntimeError)               no run to be asked to stop, or it has seen the request already
    ├── LimitError(MemoryError)               a limit (`ulimit`) leaves too little for what was asked for
    ├── NotStartedError(RuntimeError)         a write before `run.start()` or after the end
    ├── ResumeError(RuntimeError)             there is, or is not, an experiment, and `resume=` wants the contrary
    ├── MissingExtraError(ImportError)        an optional package is not installed
    ├── FileMissingError(FileNotFoundError)   no such file on this disk, or none with this id or name
    ├── FileChangedError(RuntimeError)        a file changed while it was copied
    ├── FileStoreError(OSError)               a file cannot be read or stored: permissions, a full disk
    ├── ContentError(OSError)                 a content is not what its checksum and its length say
    ├── RemoteError(RuntimeError)             the server answered, and the answer is an error
    ├── ServerUnavailableError(ConnectionError)  the server cannot be reached, or does not answer
    └── JournalError
        ├── JournalVersionError(RuntimeError) written by a newer version; left untouched
        └── JournalWriteError(OSError)        the journal's directory cannot be written at all

The warnings, `ValueWarning` and `JournalDamageWarning`, are subclasses of `UserWarning`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ml_dash.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ChangedMeanwhileError",
    "ContentError",
    "ExperimentExistsError",
    "ExperimentMissingError",
    "ExperimentRunningError",
    "FileChangedError",
    "FileMissingError",
    "FileStoreError",
    "InvalidArgumentError",
    "InvalidCallError",
    "InvalidFilterError",
    "InvalidParameterError",
    "InvalidPrefixError",
    "JournalDamageWarning",
    "JournalError",
    "JournalVersionError",
    "JournalWriteError",
    "LimitError",
    "MLDashError",
    "MissingExtraError",
    "NotStartedError",
    "ReadOnlyError",
    "RemoteError",
    "ResumeError",
    "ServerUnavailableError",
    "StopError",
    "UnknownNameError",
    "ValueWarning",
]

EXTRAS = {
    "accelerate": "accelerate",
    "clu": "clu",
    "hydra": "hydra-core omegaconf",
    "image": "pillow",
    "importance": "scikit-learn",
    "keras": "keras",
    "keyring": "keyring",
    "lightgbm": "lightgbm",
    "lightning": "lightning",
    "mcp": "mcp",
    "mlflow": "mlflow",
    "mlflow-files": "pyyaml",
    "optuna": "optuna",
    "pandas": "pandas",
    "parquet": "pyarrow",
    "plot": "matplotlib",
    "ray": "'ray[tune]'",
    "server": "sqlalchemy alembic obstore prometheus-client 'psycopg[binary]'",
    "sql": "duckdb pyarrow",
    "stable-baselines3": "stable-baselines3",
    "system": "nvidia-ml-py psutil",
    "torch": "torch",
    "transformers": "transformers",
    "ultralytics": "ultralytics",
    "video": "imageio-ffmpeg pillow",
    "xgboost": "xgboost",
}
"""What `pip install` takes for each extra; a test holds it against pyproject.toml."""

NEWER = "install a newer version of ML-Dash from where this one came from: a clone, a wheel or git, as its README says"
"""The remedy for what a newer version has written: no line to paste, for the package index's ml-dash is another one."""


class MLDashError(Exception):
    """The root of all errors raised by ML-Dash.

    A message may quote a server, a journal or a name from elsewhere, and is shown on a terminal by whoever catches it,
    or by the interpreter: what a terminal would obey in it is escaped here, once for all.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(visible(arg) if isinstance(arg, str) else arg for arg in args))


class InvalidPrefixError(MLDashError, ValueError):
    """A prefix (or one segment of it) cannot name an experiment."""


class InvalidArgumentError(MLDashError, ValueError):
    """An argument has a value that is not among those allowed."""


class InvalidFilterError(InvalidArgumentError):
    """A filter, or what to sort by, cannot be understood.

    Attributes:
        problems: Of each, where it begins in the text, behind which character it ends, and what is wrong.
    """

    problems: Sequence[tuple[int, int, str]] = ()

    @classmethod
    def of(cls, what: str, text: str, problems: Iterable[tuple[int, int, str]]) -> InvalidFilterError:
        """Return the error of an argument that was given this text."""
        found = [(start, stop, message) for start, stop, message in problems]
        told = "; ".join(
            f"at ‘{text[start:stop]}’ (character {start + 1}): {message}" if text[start:stop] else message
            for start, stop, message in found
        )
        error = cls(f"{what}={text!r} cannot be understood {told}")
        error.problems = found
        return error


class InvalidParameterError(MLDashError, TypeError):
    """A parameter's value has a type that cannot be stored."""


class InvalidCallError(MLDashError, TypeError):
    """A call's arguments do not fit; the message has the call that is meant."""


class UnknownNameError(MLDashError, AttributeError):
    """There is no such attribute; the message has what to write instead."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = (
            name  # and no `obj`: Python 3.12 would look through its names, and say what is meant once more
        )


class ReadOnlyError(MLDashError, AttributeError):
    """Something cannot be set or changed; the message has what to write instead."""


class ExperimentMissingError(MLDashError, LookupError):
    """There is no experiment of this name on this disk, or at this server; or it may not be seen."""


class ExperimentExistsError(MLDashError, LookupError):
    """There is an experiment of this name where another one was to be moved, or restored."""


class ExperimentRunningError(MLDashError, RuntimeError):
    """An experiment was not deleted or moved: a run of it goes on."""


class ChangedMeanwhileError(MLDashError, RuntimeError):
    """A note or a readme was not replaced: somebody else has changed it since it was read."""


class StopError(MLDashError, RuntimeError):
    """A run was not asked to stop, for none goes on; or that was not taken back, for the run has seen it."""


class LimitError(MLDashError, MemoryError):
    """What was asked for needs more than a limit on this process (`ulimit`, a container's) leaves; the text has it."""


class NotStartedError(MLDashError, RuntimeError):
    """Something was written before the run started or after it ended."""


class ResumeError(MLDashError, RuntimeError):
    """A run was not started: there is an experiment where `resume=` wants none, or none where it wants one."""


class MissingExtraError(MLDashError, ImportError):
    """An optional package is needed and not installed.

    The message says which packages to install, and never ``ml-dash[…]``: on the public package index that name belongs
    to another project.

    Args:
        feature: what needs it, such as ``"to_pandas()"``.
        package: the package that could not be imported.
        extra: the extra of this distribution that it belongs to, all packages of which are named.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        self._arguments = feature, package, extra
        if sys.is_finalizing():  # where it cannot be told whether it is installed
            super().__init__(
                f"{feature} needs the package {package!r}, which cannot be imported while the interpreter frees its "
                "modules: do it before the script ends"
            )
        else:
            super().__init__(
                f"{feature} needs the package {package!r}, which is not installed: pip install {EXTRAS[extra]}"
            )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Pickle and copy by the arguments, of which the message is made."""
        return type(self), self._arguments


class FileMissingError(MLDashError, FileNotFoundError):
    """There is no such file on this disk, or none with this id or name in the experiment, or it was deleted."""


class FileChangedError(MLDashError, RuntimeError):
    """A file changed while it was copied, so that the copy matches the file at no single moment."""


class FileStoreError(MLDashError, OSError):
    """A file cannot be read, or its copy cannot be stored."""


class ContentError(MLDashError, OSError):
    """A content has another checksum or length than it should have."""


class ServerUnavailableError(MLDashError, ConnectionError):
    """The server cannot be reached, or does not answer in time."""


class RemoteError(MLDashError, RuntimeError):
    """The server answered, and the answer is an error or makes no sense."""


class JournalError(MLDashError):
    """Something is wrong with a journal on disk, or it cannot be read any more."""


class JournalVersionError(JournalError, RuntimeError):
    """A journal was written by a newer version of ML-Dash than this one."""


class JournalWriteError(JournalError, OSError):
    """A journal's directory cannot be created or written."""


class ValueWarning(UserWarning):
    """A value could not be stored as it is, and its `repr` was stored instead."""


class JournalDamageWarning(UserWarning):
    """Bytes of a journal cannot be read: the answer lacks their rows, and everything else is in it."""
