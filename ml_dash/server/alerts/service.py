"""All about rules in one server process: who stores rows asks its `watch`, who makes rules its `stored`.

Its task runs on the server's event loop, and works on threads: it looks for silent runs, asks filters, makes messages
and has them sent. A round that fails is logged, and the next one goes on where it was: all that is to be done is in the
database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.alerts.firings import RuleWatch
from ml_dash.server.alerts.guard import Guard, parse_allowed
from ml_dash.server.alerts.mail import parse_mail_server
from ml_dash.server.alerts.rules import StoredRules
from ml_dash.server.alerts.sending import NotDeliveredError, Sender
from ml_dash.server.alerts.silence import Silences
from ml_dash.server.alerts.telling import Teller, test_message
from ml_dash.server.errors import ApiError
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.server.alerts.rules import Rule
    from ml_dash.server.alerts.telling import Message
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.server.settings import ServerSettings

_LOG = logging.getLogger("ml_dash.server")
_ROUND_SECONDS = 5.0
"""Between two rounds, where nothing has fired: another server on the database may have made a rule, or died."""
_BREATH_SECONDS = 0.05
_SILENCE_SECONDS = 15.0
_PRUNE_SECONDS = 3600.0
_AT_ONCE = 32
"""Messages that are under way together: those that hang keep no others waiting, as long as they are fewer."""
_THREADS, _WAITING_THREADS = 2, 8


class Alerts:
    """Rules, firings and messages of one server process."""

    def __init__(
        self, experiments: Experiments, settings: ServerSettings, bring_in: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._clock = experiments.clock
        self._database = experiments.database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awake = asyncio.Event()
        self._threads = Threads(_THREADS, thread_name_prefix="ml-dash-alerts")
        # apart: names and mail servers may hang
        self._waiting = Threads(_WAITING_THREADS, thread_name_prefix="ml-dash-mail")
        self.stored = StoredRules(self._database, self._clock)
        self.watch = RuleWatch(self.wake)
        self.guard = Guard(parse_allowed(settings.alerts_allowed), self._waiting)
        self.mail = parse_mail_server(settings.smtp_url, settings.mail_from, settings.smtp_password)
        self._sender = Sender(self.guard, self.mail, self._waiting, settings.alert_seconds)
        self._teller = Teller(experiments, self.watch, bring_in, self._page_url)
        self._silences = Silences(self._database, self._clock, self.watch)
        self._refreshing = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._looked_at = self._pruned_at = float("-inf")

    def start(self) -> None:
        """Know the rules that there are, before rows are stored.

        Raises:
            SQLAlchemyError: The database cannot be read.
        """
        self.refresh()

    def refresh(self) -> None:
        """Take over the rules that there are, if they have changed; any thread may call it."""
        # one at a time: whoever has read them first must not take them over last
        with self._refreshing:
            version = self.stored.version()
            if version != self._version:
                self.watch.set_rules(self.stored.all())
                self._version = version

    def wake(self) -> None:
        """Have a round begin soon; any thread may call it."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: the next server goes on
                self._loop.call_soon_threadsafe(self._awake.set)

    async def run(self) -> None:
        """Do what is to be done, until this is cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._awake.clear()
                try:
                    await self._round()
                except (SQLAlchemyError, OSError) as error:
                    _LOG.warning("alerts wait for the database: %s", error)
                except Exception:  # noqa: BLE001 - whatever it is, the next round must come
                    _LOG.exception("a round of alerts failed")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), _ROUND_SECONDS)
                # in a storm each request would have a round begin
                await asyncio.sleep(_BREATH_SECONDS)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._sender.close()

    def close(self) -> None:
        """Stop the threads, without waiting for a name or a mail server that hangs."""
        self._waiting.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown()

    async def test(self, rule: Rule) -> str | None:
        """Send a message that says that it is a test; return why it was not taken, or None."""
        try:
            await self._sender.send(test_message(rule, self._clock.time_ns()))
        except NotDeliveredError as error:
            return error.problem
        return None

    async def _round(self) -> None:
        run, now = self._threads.run, self._clock.monotonic()
        await run(self.refresh)
        if not self.watch.rules:
            return
        if now - self._looked_at >= _SILENCE_SECONDS:
            self._looked_at = now
            await run(self._silences.find)
        if now - self._pruned_at >= _PRUNE_SECONDS:
            self._pruned_at = now
            await run(self._teller.prune)
        await run(self._teller.settle)
        await run(self._teller.compose)
        room = _AT_ONCE - len(self._under_way)
        lease_ns = int(self._settings.alert_lease * NANOSECONDS)
        for message in await run(self._teller.claim, room, lease_ns) if room > 0 else ():
            task = asyncio.create_task(self._deliver(message))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _deliver(self, message: Message) -> None:
        """Send a message, and write down what became of it; where that fails, it is sent once more, with its id."""
        try:
            await self._sender.send(message)
        except NotDeliveredError as error:
            done = self._threads.run(self._teller.failed, message, error.problem, for_good=error.for_good)
        else:
            done = self._threads.run(self._teller.delivered, message)
        try:
            await done
        except (SQLAlchemyError, OSError, ApiError) as error:
            _LOG.warning("what became of the message %s was not written down: %s", message.id, error)
        self.wake()

    def _page_url(self, prefix: str) -> str | None:
        base = self._settings.public_url
        return (
            None
            if base is None
            else f"{base.rstrip('/')}/experiments/{quote(prefix, safe='/', errors='replace')}"
        )
