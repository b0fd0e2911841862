"""A name of this machine that looks like another one's: what is sent there crosses no network."""

from __future__ import annotations

import socket
from typing import Any

import pytest

ELSEWHERE = "lab.test"


def call_this_machine(monkeypatch: pytest.MonkeyPatch, name: str = ELSEWHERE) -> None:
    """Have the system find 127.0.0.1 under a name, and go there without a proxy."""
    real = socket.getaddrinfo

    def found(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == name else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setenv("NO_PROXY", name)
