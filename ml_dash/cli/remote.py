"""Servers, as the commands that speak with one have them: clients, which token they get, and views of experiments.

It is imported inside functions: aiohttp takes a fifth of a second, which commands that stay on this disk need not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from ml_dash.cli.text import complain
from ml_dash.client.api import Client
from ml_dash.client.bridge import Call
from ml_dash.client.destination import default_url, server_url
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.client.view import RemoteView
from ml_dash.errors import InvalidArgumentError
from ml_dash.origins import parse_address
from ml_dash.storage.manifest import Manifest
from ml_dash.storage.survey import Located
from ml_dash.tokens import Token
from ml_dash.tokens.current import ORIGIN_VARIABLE, environment_token, is_meant_for, token_for

_T = TypeVar("_T")


def token_for_server(url: str, *, named: bool, option: str = "--url") -> Callable[[], Token | None]:
    """Return what gives the token for a server, which the `option` of the command names.

    ``ML_DASH_TOKEN`` is sent where the user has said to, by an option, by ``ML_DASH_API_URL`` or by
    ``ML_DASH_TOKEN_ORIGIN``; and not to any address that a journal from somewhere else may hold, this machine's ports
    included. Where it is kept back, and there is no other token, standard error says so.
    """
    place = parse_address(url).origin
    # An origin, not a prefix of the text: https://dash.ml.evil.example begins like ours.
    is_named = named or place == parse_address(default_url()).origin
    kept_back = environment_token() is not None and not is_meant_for(place, named=is_named)
    if kept_back and token_for(url, named=is_named) is None:
        complain(
            f"ML_DASH_TOKEN is not sent to {place}, for nothing but a journal says that it is for this server: name "
            f"the server by {option} {url}, set {ORIGIN_VARIABLE}={place}, or run `ml-dash login {place}`"
        )
    return lambda: token_for(url, named=is_named)


def home_of(located: Located) -> tuple[str, str] | None:
    """Return server and prefix of an experiment that was meant for a server."""
    manifest = Manifest(located.directory, disk=located.disk)
    about = manifest.describe()
    url = about.get("url") or next(filter(None, manifest.meant_for().values()), None)
    prefix = about.get("prefix")
    return (url, prefix) if isinstance(url, str) and isinstance(prefix, str) else None


@asynccontextmanager
async def open_clients(*, named: bool, option: str = "--url") -> AsyncIterator[Callable[[str], Client]]:
    """Give what returns the client of a server, one for each; their connections are closed when the block ends.

    Args:
        named: Whether the user has named these servers.
        option: By which option of the command they would.
    """

    @functools.cache
    def client_of(url: str) -> Client:
        return Client(AiohttpTransport(url, token_for_server(url, named=named, option=option)))

    try:
        # One client a server: its connections are used again for the next experiment.
        yield client_of
    finally:
        await close_session()


@contextmanager
def open_remote(url: str, prefix: str, *, named: bool) -> Iterator[RemoteView]:
    """Give a view of an experiment at a server, for the thread that opens it.

    `named` says whether the user has named this server.
    """
    with open_line(url, named=named) as (client, call):
        record = call(client.find(prefix))
        if record is None:
            raise InvalidArgumentError(
                f"{url} has no experiment {prefix!r}, or none that this token may see: give the whole prefix, "
                "owner/project/name"
            )
        id_ = record["id"]
        yield RemoteView(client, call, lambda: id_, prefix)


@contextmanager
def open_line(url: str, *, named: bool) -> Iterator[tuple[Client, Call]]:
    """Give a client of a server, and what asks it, for the thread that opens it; `named` is as of `open_remote`."""
    # `asyncio.Runner` would be all this, and is not there before Python 3.11.
    loop = asyncio.new_event_loop()
    call = _Caller(loop)
    try:
        yield Client(AiohttpTransport(server_url(url), token_for_server(url, named=named))), call
    finally:
        call.let_interrupts_be()
        call(close_session())  # on the same loop, to which aiohttp's connections belong
        loop.close()


class _Caller:
    """Runs coroutines on a loop, one after the other, and ends the one that runs at Ctrl-C.

    A KeyboardInterrupt would be raised wherever the loop is, and aiohttp's parser takes one that comes while it works
    for an error of the connection: the download would go on. So the loop hears of the signal, as a callback.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        with contextlib.suppress(
            NotImplementedError, ValueError
        ):  # Windows; another thread than the main one
            loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def __call__(self, coroutine: Coroutine[Any, Any, _T], /) -> _T:
        self._task = task = self._loop.create_task(coroutine)
        try:
            found = self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # a task that is left would complain when the loop is closed
                task.cancel()
                self._loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            self._raise_interrupt()
            raise
        self._raise_interrupt()  # it came when the task was just done
        return found

    def let_interrupts_be(self) -> None:
        """Leave Ctrl-C to the interpreter again."""
        with contextlib.suppress(NotImplementedError, ValueError):
            self._loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    def _raise_interrupt(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt
