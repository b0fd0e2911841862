"""Sending, in the background, what earlier runs have left below the root of one that starts now."""

from __future__ import annotations

import contextlib
import math
import shlex
import threading
from typing import TYPE_CHECKING

from ml_dash.forks import guarded_imports
from ml_dash.logger import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from ml_dash.client.destination import Destination
    from ml_dash.upload.leftovers import Leftover
    from ml_dash.upload.sender import RunBlocking

__all__ = ["Replay"]


class Replay:
    """Sends what lies below one root and was meant for one server; see `run`.

    Args:
        destination: the root and the server.
        own: returns the writers of this process.
        run_blocking: does what may wait for the disk, on another thread.
        look_up: looks up a host name, on yet another one.
    """

    def __init__(
        self,
        destination: Destination,
        own: Callable[[], Container[str]],
        run_blocking: RunBlocking,
        look_up: RunBlocking,
    ) -> None:
        self._destination = destination
        self._own = own
        self._run_blocking = run_blocking
        self._look_up = look_up
        self.finished = threading.Event()

    async def run(self) -> None:
        """Send what writers left that will write no more, until it is sent or cannot be; an outage is waited for."""
        try:
            await self._run()
        except Exception:  # noqa: BLE001 - a defect of ours must not end the tracking
            logger().exception("What earlier runs left in %s cannot be sent.", self._destination.root)
        finally:
            self.finished.set()

    async def _run(self) -> None:
        with guarded_imports():
            from ml_dash.client.api import Client
            from ml_dash.client.http import AiohttpTransport
            from ml_dash.tokens.current import token_for
            from ml_dash.upload.sync import sync_experiment

        url = str(self._destination.url)
        client = Client(AiohttpTransport(url, lambda: token_for(url), self._look_up))
        for left in await self._run_blocking(self._find):
            report = await sync_experiment(
                left.directory, client, self._run_blocking, only=left.writers.__contains__, patience=math.inf
            )
            if report.left_behind is not None:
                logger().warning(
                    "%s has rows of an earlier run, which %s does not take (%s). They stay there; `ml-dash sync %s` "
                    "tries again.",
                    left.directory,
                    url,
                    report.left_behind,
                    shlex.quote(left.directory),
                )
            elif not self._destination.keeps:
                await self._run_blocking(lambda: self._clear(left))  # noqa: B023 - awaited here

    def _find(self) -> list[Leftover]:
        from ml_dash.errors import InvalidArgumentError
        from ml_dash.storage.survey import survey
        from ml_dash.upload.leftovers import leftovers

        try:
            found = survey(self._destination.root).experiments
        except InvalidArgumentError:
            return []  # there is no such directory any more
        directories = [each.directory for each in found]
        return list(leftovers(directories, str(self._destination.url), self._own()))

    def _clear(self, left: Leftover) -> None:
        from ml_dash.upload.leftovers import clear

        with contextlib.suppress(OSError):  # it stays in the outbox, and the server ignores it
            clear(self._destination.root, left.directory, left.writers)
