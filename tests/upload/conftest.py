"""A server of its own for each test, and a loop on another thread."""

from tests.support.one_server import call, client, server

__all__ = ["call", "client", "server"]
