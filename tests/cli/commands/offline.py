"""Runs that were logged while their server was down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.support.scripts import python

ROWS = 300


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    """A server that has been started once, so that it has an address and a token, and is down."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    embedded = EmbeddedServer(data=tmp_path / "server").start()
    monkeypatch.setenv("ML_DASH_TOKEN", embedded.admin_token)
    monkeypatch.setenv("ML_DASH_API_URL", embedded.url)
    embedded.stop()
    yield embedded
    embedded.stop()


def log_offline(url: str | None, prefix: str, root: str | None = ".dash", *, end: str = "") -> None:
    """Log in a process of its own, while the server is down."""
    python(
        f"""
        import os
        from ml_dash import Experiment

        exp = Experiment({prefix!r}, dash_url={url!r}, dash_root={root!r}, echo=False, tags=["t"]).run.start()
        for step in range({ROWS}):
            exp.metrics("train").log(step=step)
        exp.flush()
        {end}
        """,
        Path.cwd(),
    )


def steps_at(server: EmbeddedServer, prefix: str) -> list[int]:
    """Return what the server has, by its own word."""
    remote = Experiment(prefix, dash_url=server.url, dash_root=None)
    rows = remote.metrics("train").read(limit=10 * ROWS)["data"]
    return [row["data"]["step"] for row in rows]
