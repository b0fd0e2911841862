"""One message to one destination: by a webhook, to Slack, by mail."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import aiohttp

from ml_dash.server.alerts.guard import GuardedResolver, RefusedAddressError
from ml_dash.server.alerts.mail import send_mail
from ml_dash.server.alerts.rules import MAIL, SLACK
from ml_dash.server.alerts.wording import slack_of
from ml_dash.server.http.bodies import to_json
from ml_dash.version import __version__

if TYPE_CHECKING:
    from ml_dash.server.alerts.guard import Guard
    from ml_dash.server.alerts.mail import MailServer
    from ml_dash.server.alerts.telling import Message
    from ml_dash.server.threads import Threads

_GONE = 410


class NotDeliveredError(Exception):
    """A message was not taken.

    Args:
        problem: Why, for people.
        for_good: Whether it makes no sense to try again.
    """

    def __init__(self, problem: str, *, for_good: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.for_good = for_good


class Sender:
    """Sends messages. On one event loop.

    Args:
        guard: Where they may go.
        mail: Where mail is handed in; None: there is none.
        threads: On which mail is handed in.
        seconds: How long one message may take.
    """

    def __init__(self, guard: Guard, mail: MailServer | None, threads: Threads, seconds: float) -> None:
        self._guard = guard
        self._mail = mail
        self._threads = threads
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            NotDeliveredError: It was not taken.
        """
        try:
            if message.rule.destination.kind == MAIL:
                await asyncio.wait_for(self._by_mail(message), self._seconds)
            else:
                await self._by_request(message)
        except RefusedAddressError as error:
            raise NotDeliveredError(f"nothing is sent there: {error}") from None
        except asyncio.TimeoutError:
            raise NotDeliveredError(f"it has not answered within {self._seconds:g} s") from None
        except (OSError, aiohttp.ClientError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise NotDeliveredError(f"it cannot be reached, or refuses: {reason}"[:500]) from None

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def _by_mail(self, message: Message) -> None:
        if self._mail is None:
            raise NotDeliveredError("this server sends no mail: the operator names a mail server by --smtp")
        await self._threads.run(send_mail, message, self._mail)

    async def _by_request(self, message: Message) -> None:
        destination = message.rule.destination
        url = self._guard.checked_url(destination.address)
        is_slack = destination.kind == SLACK
        body = to_json(slack_of(message.body) if is_slack else message.body)
        headers = {"Content-Type": "application/json", "User-Agent": f"ml-dash/{__version__}"}
        if not is_slack:
            headers |= _signed(message.id, body, destination.secret)
        # no redirect is followed: what it leads to was checked by nobody, and gets what was meant for somebody else
        async with self._opened().post(url, data=body, headers=headers, allow_redirects=False) as answer:
            status = answer.status
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise NotDeliveredError(f"it answers by a redirect ({status}), and none is followed")
        raise NotDeliveredError(f"it answers by {status}", for_good=status == _GONE)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    # each request looks its host up anew, and connects to what was checked
                    resolver=GuardedResolver(self._guard),
                    use_dns_cache=False,
                    force_close=True,
                ),
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                # a proxy of the environment would look names up itself
                trust_env=False,
            )
        return self._session


def _signed(message_id: str, body: bytes, secret: str | None) -> dict[str, str]:
    """Return the headers by which a receiver knows a message: again, and as ours."""
    moment = str(int(time.time()))
    headers = {"ML-Dash-Delivery": message_id, "ML-Dash-Timestamp": moment}
    if secret is not None:
        digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256)
        headers["ML-Dash-Signature"] = f"sha256={digest.hexdigest()}"
    return headers
