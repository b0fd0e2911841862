"""`dxp`: an experiment that is ready on import, for notebooks and quick tries.

It logs to ``.dash`` in the working directory as ``<user>/scratch/dxp`` and is completed when Python exits.
"""

from __future__ import annotations

from ml_dash.identity import current_user
from ml_dash.sdk.experiment import Experiment

__all__ = ["dxp"]

dxp = Experiment(f"{current_user()}/scratch/dxp", dash_root=".dash").run.start()
