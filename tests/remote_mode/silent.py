"""A server that takes connections and never says a word."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

__all__ = ["silent_server"]


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Listen on a free port of this machine, and give the URL: the system takes the connections, and nobody reads."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
