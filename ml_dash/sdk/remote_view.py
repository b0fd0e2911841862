"""Asking a server from any thread: the questions run on the background thread's loop, and the caller waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.forks import guarded_imports
from ml_dash.pipeline.runtime import RUNTIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.client.view import RemoteView

__all__ = ["open_remote_view"]


def open_remote_view(url: str, prefix: str, experiment_id: Callable[[], str | None]) -> RemoteView:
    """Return what answers questions about an experiment at a server.

    Args:
        url: the server's.
        prefix: the experiment's.
        experiment_id: gives the server's id of it, where that is known.
    """
    with guarded_imports():
        from ml_dash.client.api import Client
        from ml_dash.client.http import AiohttpTransport
        from ml_dash.client.view import RemoteView
        from ml_dash.tokens.current import token_for

    transport = AiohttpTransport(url, lambda: token_for(url), RUNTIME.look_up)
    return RemoteView(Client(transport), RUNTIME.ask, experiment_id, prefix)
