"""A server in a process of its own, whose memory can be asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import Client, ServerProcess, running

PEAK_KIB = 600 << 10
"""What the server may take in memory at any time: its budget for bodies is a part of it, and no body here is large."""


@pytest.fixture(scope="session")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server, for all inputs; at the end its memory must have stayed within bounds."""
    with running(tmp_path_factory.mktemp("fuzzed"), memory_bytes=64 << 20) as server:
        yield server
        if sys.platform == "linux":
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
            peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
            assert int(peak) < PEAK_KIB


@pytest.fixture
def client(fuzzed: ServerProcess) -> Iterator[Client]:
    """A connection that may do everything; the server must be well at the end."""
    client = fuzzed.client()
    yield client
    client.close()
    after = fuzzed.client()
    assert after.get("/health")["status"] == "ok"
    after.close()
