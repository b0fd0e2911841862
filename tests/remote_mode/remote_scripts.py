"""Scripts that send what they log to a server."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import Scripts
from tests.support.project import PROJECT
from tests.support.seen import TOKEN


def remote_scripts(home: Path, url: str, **python: str) -> Scripts:
    """Return what runs scripts for which ``dash_url=True`` is this URL."""
    home.mkdir()
    environ = {"PYTHONPATH": str(PROJECT), "ML_DASH_API_URL": url, "ML_DASH_TOKEN": TOKEN}
    return Scripts(home, environ=environ, **python)
