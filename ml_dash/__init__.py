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
    "Audio",
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
    "MLDashError",
    "Mesh",
    "MissingExtraError",
    "NotStartedError",
    "Points3D",
    "ReadOnlyError",
    "RemoteError",
    "ResumeError",
    "ServerUnavailableError",
    "Table",
    "Text",
    "UnknownNameError",
    "ValueWarning",
    "Video",
    "experiments",
    "ml_dash_experiment",
    "open",
]


_MEDIA = {
    "Audio": "sound",
    "Figure": "pictures",
    "Histogram": "tables",
    "Image": "pictures",
    "Mesh": "tables",
    "Points3D": "tables",
    "Table": "tables",
    "Text": "tables",
    "Video": "pictures",
}
"""Media values, and the module of `ml_dash.sdk.media` that has each: imported when they are first used."""

if typing.TYPE_CHECKING:
    from ml_dash.sdk.media.pictures import Figure, Image, Video
    from ml_dash.sdk.media.sound import Audio
    from ml_dash.sdk.media.tables import Histogram, Mesh, Points3D, Table, Text
else:  # with a function of this name, a type checker would take any name

    def __getattr__(name: str) -> object:
        """Import a media value; of a name of another tracker's, say what to write instead."""
        if name in _MEDIA:
            import importlib

            value = getattr(importlib.import_module(f"ml_dash.sdk.media.{_MEDIA[name]}"), name)
            globals()[name] = value
            return value
        if name.startswith("_"):
            raise AttributeError(f"module 'ml_dash' has no attribute {name!r}")
        from ml_dash.sdk.guidance.package import missing_name

        raise missing_name(name, __all__)
