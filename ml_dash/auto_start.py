"""`dxp`: an experiment that is ready on import, for notebooks and quick tries.

It logs to ``.dash`` in the working directory as ``<user>/scratch/dxp`` and is completed when Python exits. Its rows
follow those of the scripts before; their parameters it does not have.
"""

from __future__ import annotations

from ml_dash.identity import current_user
from ml_dash.sdk.experiment import started_scratch

__all__ = ["dxp"]

dxp = started_scratch(f"{current_user()}/scratch/dxp", ".dash")
