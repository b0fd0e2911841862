"""The logger for what the background thread meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def logger() -> logging.Logger:
    """Return the package's logger; `logging` is imported at the first need, to keep `import ml_dash` cheap."""
    import logging

    return logging.getLogger("ml_dash")
