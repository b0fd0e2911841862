"""`ml-dash sync --watch`: the relay in a terminal, or in a job that reads its lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from typing import TYPE_CHECKING

import typer

from ml_dash.cli.roots import default_roots
from ml_dash.cli.text import complain, local_time
from ml_dash.errors import InvalidArgumentError
from ml_dash.storage.survey import may_be_directory
from ml_dash.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.upload.relay import Event


def follow(paths: Sequence[str], *, to: str | None, recreate: bool, as_json: bool) -> None:
    """Follow roots until SIGTERM or Ctrl-C.

    Raises:
        InvalidArgumentError: One of them is not a directory, or is followed already.
    """
    from ml_dash.upload.relay import relay_lock

    roots = list(dict.fromkeys(paths or default_roots().all))
    for root in roots:
        if not may_be_directory(root):
            raise InvalidArgumentError(
                f"there is no directory {root!r}: name the one that experiments are in"
            )
    with contextlib.ExitStack() as locks:
        for root in roots:
            holder = locks.enter_context(relay_lock(root))
            if holder is not None:
                raise InvalidArgumentError(
                    f"{root} is followed already, by {holder}: one relay is enough, and another one would send nothing "
                    "that it does not"
                )
        asyncio.run(_follow(roots, to=to, recreate=recreate, as_json=as_json))


async def _follow(roots: list[str], *, to: str | None, recreate: bool, as_json: bool) -> None:
    from ml_dash.cli.remote import open_clients
    from ml_dash.upload.relay import Relay

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends it at once, and loses nothing
            loop.add_signal_handler(number, stop.set)
    async with open_clients(named=to is not None, option="--to") as client_of:
        relay = Relay(
            roots, client_of, asyncio.to_thread, _tell_json if as_json else _tell, to=to, recreate=recreate
        )
        await relay.run(stop)


def _tell(event: Event) -> None:
    line = visible(f"{local_time(time.time_ns())} {event.message}")
    if event.kind in {"away", "trouble", "local"}:
        complain(line)
    else:
        typer.echo(line)


def _tell_json(event: Event) -> None:
    typer.echo(json.dumps(event.fields))
