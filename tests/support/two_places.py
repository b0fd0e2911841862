"""Both kinds of place, for tests that hold for either: a local root, and a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN

KINDS = ("root", "server")


@dataclass(frozen=True)
class TestPlace:
    """A place of experiments, which a test may write to."""

    __test__ = False

    kind: str
    where: str
    directory: Path
    server: EmbeddedServer | None = None

    def settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give this process the token of the server, and a directory for its outbox."""
        monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(self.directory / "config"))
        if self.server is not None:
            monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
            monkeypatch.setenv("ML_DASH_API_URL", self.server.url)

    def experiment(self, prefix: str, **arguments: Any) -> Experiment:
        """Return an experiment that is written here, and nowhere else."""
        here = (
            {"dash_root": self.where} if self.server is None else {"dash_url": self.where, "dash_root": None}
        )
        return Experiment(prefix, echo=False, **here, **arguments)


def new_place(kind: str, directory: Path) -> TestPlace:
    """Return an empty place; a server has to be stopped."""
    if kind == "root":
        (directory / "dash").mkdir()
        return TestPlace(kind, str(directory / "dash"), directory)
    server = EmbeddedServer(data=directory / "server", admin_token=TOKEN).start()
    return TestPlace(kind, server.url, directory, server)


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestPlace]:
    """An empty place."""
    found = new_place(request.param, tmp_path)
    found.settings(monkeypatch)
    yield found
    if found.server is not None:
        found.server.stop()
