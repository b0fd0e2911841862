"""ML-Dash: experiment tracking that never blocks, never raises and never loses a point."""

import _thread
import typing

from ml_dash.errors import (
    ChangedMeanwhileError,
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
    LimitError,
    MissingExtraError,
    MLDashError,
    NotStartedError,
    ReadOnlyError,
    RemoteError,
    ResumeError,
    ServerUnavailableError,
    StopError,
    UnknownNameError,
    ValueWarning,
)

try:
    if not getattr(_thread, "daemon_threads_allowed", lambda: True)():
        # An isolated one: what a run needs later cannot be loaded there, which is better said now.
        import msgspec  # noqa: F401
    from ml_dash.sdk.experiment import Experiment, ml_dash_experiment, open_experiment as open  # noqa: A004
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
    "Audio",
    "ChangedMeanwhileError",
    "ContentError",
    "Experiment",
    "ExperimentExistsError",
    "ExperimentMissingError",
    "ExperimentRunningError",
    "ExperimentStatus",
    "Figure",
    "FileChangedError",
    "FileMissingError",
    "FileStoreError",
    "FlushResult",
    "Histogram",
    "Image",
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
    "Mesh",
    "MissingExtraError",
    "NotStartedError",
    "Points3D",
    "ReadOnlyError",
    "RemoteError",
    "ResumeError",
    "ServerUnavailableError",
    "StopError",
    "Table",
    "Text",
    "UnknownNameError",
    "ValueWarning",
    "Video",
    "experiments",
    "ml_dash_experiment",
    "open",
]


_LATER = {
    "Audio": "media.sound",
    "Figure": "media.pictures",
    "Histogram": "media.tables",
    "Image": "media.pictures",
    "Mesh": "media.tables",
    "Points3D": "media.tables",
    "Table": "media.tables",
    "Text": "media.tables",
    "Video": "media.pictures",
    "experiments": "listing.experiments",
}
"""What most scripts have no use for, and the module of `ml_dash.sdk` that has it: imported when it is first used."""

if typing.TYPE_CHECKING:
    from ml_dash.sdk.listing.experiments import experiments
    from ml_dash.sdk.media.pictures import Figure, Image, Video
    from ml_dash.sdk.media.sound import Audio
    from ml_dash.sdk.media.tables import Histogram, Mesh, Points3D, Table, Text
else:  # with a function of this name, a type checker would take any name

    def __getattr__(name: str) -> object:
        """Import what comes later; of a name of another tracker's, say what to write instead."""
        if name in _LATER:
            import importlib

            from ml_dash.forks import guarded_imports

            with guarded_imports():  # a child that is forked meanwhile would have half of it
                value = getattr(importlib.import_module(f"ml_dash.sdk.{_LATER[name]}"), name)
            globals()[name] = value
            return value
        if name.startswith("_"):
            raise AttributeError(f"module 'ml_dash' has no attribute {name!r}")
        from ml_dash.sdk.guidance.package import missing_name

        raise missing_name(name, __all__)

    def __dir__() -> list[str]:
        """Name what comes later, too: completion would not offer it."""
        return sorted({*globals(), *__all__})
