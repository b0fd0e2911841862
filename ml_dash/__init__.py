"""ML-Dash: experiment tracking that never blocks, never raises and never loses a point."""

import typing

from ml_dash.errors import (
    ContentError,
    ExperimentExistsError,
    ExperimentMissingError,
    ExperimentRunningError,
    FileChangedError,
    FileMissingError,
    FileStoreError,
    InvalidArgumentError,
    InvalidCallError,
    InvalidFilterError,
    InvalidParameterError,
    InvalidPrefixError,
    JournalDamageWarning,
    JournalError,
    JournalVersionError,
    JournalWriteError,
    MissingExtraError,
    MLDashError,
    NotStartedError,
    ReadOnlyError,
    RemoteError,
    ResumeError,
    ServerUnavailableError,
    UnknownNameError,
    ValueWarning,
)

try:
    from ml_dash.sdk.experiment import Experiment, ml_dash_experiment, open_experiment as open  # noqa: A004
    from ml_dash.sdk.listing.experiments import experiments
except ImportError as error:
    if "subinterpreter" not in str(error):
        raise
    raise ImportError(
        f"ml_dash cannot be imported in an isolated subinterpreter ({error}): log in the main interpreter, or in a "
        "process of its own"
    ) from error
from ml_dash.status import ExperimentStatus, FlushResult
from ml_dash.version import __version__ as __version__

__all__ = [
    "ContentError",
    "Experiment",
    "ExperimentExistsError",
    "ExperimentMissingError",
    "ExperimentRunningError",
    "ExperimentStatus",
    "FileChangedError",
    "FileMissingError",
    "FileStoreError",
    "FlushResult",
    "InvalidArgumentError",
    "InvalidCallError",
    "InvalidFilterError",
    "InvalidParameterError",
    "InvalidPrefixError",
    "JournalDamageWarning",
    "JournalError",
    "JournalVersionError",
    "JournalWriteError",
    "MLDashError",
    "MissingExtraError",
    "NotStartedError",
    "ReadOnlyError",
    "RemoteError",
    "ResumeError",
    "ServerUnavailableError",
    "UnknownNameError",
    "ValueWarning",
    "experiments",
    "ml_dash_experiment",
    "open",
]


if not typing.TYPE_CHECKING:  # with it, a type checker would take any name

    def __getattr__(name: str) -> object:
        """Say what to write instead of a name of another tracker's."""
        if name.startswith("_"):
            raise AttributeError(f"module 'ml_dash' has no attribute {name!r}")
        from ml_dash.sdk.guidance.package import missing_name

        raise missing_name(name, __all__)
