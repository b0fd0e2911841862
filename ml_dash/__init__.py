"""ML-Dash: experiment tracking that never blocks, never raises and never loses a point."""

from ml_dash.errors import (
    ContentError,
    FileChangedError,
    FileMissingError,
    FileStoreError,
    InvalidArgumentError,
    InvalidParameterError,
    InvalidPrefixError,
    JournalDamageWarning,
    JournalError,
    JournalVersionError,
    JournalWriteError,
    MissingExtraError,
    MLDashError,
    NotStartedError,
    RemoteError,
    ServerUnavailableError,
    ValueWarning,
)

try:
    from ml_dash.sdk.experiment import Experiment, ml_dash_experiment
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
    "ExperimentStatus",
    "FileChangedError",
    "FileMissingError",
    "FileStoreError",
    "FlushResult",
    "InvalidArgumentError",
    "InvalidParameterError",
    "InvalidPrefixError",
    "JournalDamageWarning",
    "JournalError",
    "JournalVersionError",
    "JournalWriteError",
    "MLDashError",
    "MissingExtraError",
    "NotStartedError",
    "RemoteError",
    "ServerUnavailableError",
    "ValueWarning",
    "ml_dash_experiment",
]
