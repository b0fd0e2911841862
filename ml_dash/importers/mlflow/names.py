"""What names and texts of MLflow's mean here."""

from __future__ import annotations

import re
from typing import Any

from ml_dash.identity import current_user, made_safe

_SEGMENT = 255  # bytes
_NUMBER = re.compile(r"[-+]?\d")


def folder_of(name: str) -> str:
    """Return the folder of an experiment's runs: ``owner/project`` of a name with a slash, else ``<user>/name``."""
    safe = [segment_of(part, "mlflow") for part in name.split("/") if part]
    return "/".join(safe if len(safe) > 1 else [current_user(), *(safe or ["mlflow"])])


def segment_of(name: str, otherwise: str) -> str:
    """Return a name as a segment of a prefix."""
    return made_safe(name, fallback=otherwise, limit=_SEGMENT).replace("{", "(").replace("}", ")")


def typed(text: Any) -> Any:
    """Return what a parameter's text stands for: MLflow makes a text of each value."""
    if not isinstance(text, str):
        return text
    plain = {"True": True, "False": False, "None": None}
    if text in plain:
        return plain[text]
    for kind in (int, float) if _NUMBER.match(text) else ():
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text:
            return value
    return text
