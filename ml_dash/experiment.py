"""Where a pickled experiment looks for what rebuilds it: a name that pickles keep, wherever the class lives."""

from ml_dash.sdk.experiment import rebuild as _rebuild

__all__ = ["_rebuild"]
