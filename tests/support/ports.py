"""Ports of servers in this process: none is given twice, to this process or to one that runs other tests beside it.

What a run could not send by its end goes on being sent while its process lives. A test that ends in an outage leaves
such runs behind, and they would send their rows to the server of a later test that the system has given the same port:
tests use the same names and the same token. Nor are these ports those that the system gives to connections: one of
those could take the port of a server while it is stopped.
"""

from __future__ import annotations

import os
import random
import socket
from itertools import islice
from pathlib import Path

import pytest

from ml_dash.errors import MLDashError
from ml_dash.server.runner import _listen

__all__ = ["give_each_once"]

_FIRST = 10_000
_TRIES = 200


def give_each_once(patch: pytest.MonkeyPatch) -> None:
    """Have every server that takes a free port take one that none had before it."""
    ports = iter(_share())

    def listen(host: str, port: int) -> socket.socket:
        if port:
            return _listen(host, port)
        for each in islice(ports, _TRIES):
            try:
                return _listen(host, each)
            except MLDashError:
                continue  # somebody else has it
        return _listen(host, 0)

    patch.setattr("ml_dash.server.runner._listen", listen)


def _share() -> list[int]:
    """Return the ports of this process, beginning anywhere: another run of the tests may be going on."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(_FIRST + number, _first_of_connections(), count)
    start = random.randrange(len(ports))
    return [*ports[start:], *ports[:start]]


def _first_of_connections() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 0
    return first if first > 2 * _FIRST else 32_768
