"""What ML-Dash says by itself: the logger of the background thread, and warnings about the user's own line."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

_PASSED_OVER = ("ml_dash.", "contextlib")  # a context manager of ours is left by way of `contextlib`


def logger() -> logging.Logger:
    """Return the package's logger; `logging` is imported at the first need, to keep `import ml_dash` cheap."""
    import logging

    return logging.getLogger("ml_dash")


def _user_level() -> int:
    """Return the `stacklevel` with which its caller's `warnings.warn` points to the user's own line."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001 - it is what `warnings` itself counts by
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PASSED_OVER):
        frame = frame.f_back
        level += 1
    return level


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn about the user's own line. A broken standard error is no reason to raise in the training loop."""
    try:
        warnings.warn(message, category, stacklevel=_user_level())
    except Warning:
        raise  # by the user's filters it is an error
    except Exception:  # noqa: BLE001 - whatever a closed or foreign stream raises
        return
