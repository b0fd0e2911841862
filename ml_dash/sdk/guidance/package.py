"""Names that the package does not have: asked for as ``ml_dash.init``, or by ``from ml_dash import init``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ml_dash.sdk.guidance.guided import unknown_name
from ml_dash.sdk.guidance.names import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

_IMPORTER = "_handle_fromlist"
"""The function of `importlib` that asks a package for each name behind ``from … import``."""


def missing_name(name: str, there: Iterable[str]) -> Exception:
    """Return the error of a name that the package does not have; for its `__getattr__`, which raises it.

    Of an AttributeError ``from ml_dash import init`` would make an error of its own, which says nothing. What still can
    fail: an interpreter whose `importlib` asks in another way does that.
    """
    error = unknown_name("ml_dash", name, there, PACKAGE)
    asks = sys._getframe(2).f_code.co_name  # noqa: SLF001 - two above: `__getattr__`, and who asked it
    # a module of the package that was not imported yet is found by the statement itself
    if asks == _IMPORTER and find_spec(f"ml_dash.{name}") is None:
        return ImportError(f"cannot import {name!r}: {error}", name="ml_dash")
    return error
