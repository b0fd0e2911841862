"""Processes and servers for the stories."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.chaos.servers import TOKEN
from tests.chaos.warm import Nursery


@pytest.fixture
def silence() -> Iterator[None]:
    """Nobody reads the warnings of hundreds of bad days."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Gives birth to processes."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that has just been set up."""
    data = tmp_path_factory.mktemp("template") / "data"
    with EmbeddedServer(data=data, admin_token=TOKEN):
        pass
    return data
