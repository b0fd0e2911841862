"""A TCP proxy that stands before a real server and does to each request what a schedule says.

It understands HTTP/1.1 well enough to know where a request ends on a connection that is kept alive, and passes
the bytes on as they are. It runs in a thread of its own, and is used from plain tests::

    with ChaosProxy(server_port, [LoseAnswer(), Pass(), CutRequest(0.5)]) as proxy:
        client = Client(proxy.url)

A request takes the first fault of the schedule, the next request the next one, on whatever connection it comes;
when the schedule is used up, what `always` says happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import Counter, deque
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, final

from tests.chaos.faults import (
    PASS,
    Answer,
    CloseDoor,
    CutAnswer,
    CutRequest,
    Delay,
    Drip,
    Fault,
    FlipAnswer,
    FlipRequest,
    LoseAnswer,
    Postpone,
    Redirect,
    Refuse,
    Replay,
    Silence,
)
from tests.chaos.http1 import Body, Head, Message, read_answer, read_request
from tests.chaos.line import BUFFER, PATIENCE, Line, bound_socket, reset

__all__ = ["ChaosProxy", "Incident"]

T = TypeVar("T")

_REMEMBERED = 32
"""Requests with a body that may be replayed: the latest ones."""
_FRAMES = "application/vnd.ml-dash.frames"
_TOKEN = re.compile(rb"mld_[\w-]+")


class Incident(NamedTuple):
    """What happened to one request.

    Attributes:
        fault: what the schedule said.
        request: method and path; empty for a connection that was refused.
        outcome: the status of the answer that the client was sent, or how it ended.
    """

    fault: Fault
    request: str
    outcome: str


class _Cut(Exception):  # noqa: N818 - not an error: the end of a connection, by the schedule
    """The client's connection is to be reset."""


@final
class ChaosProxy:
    """A proxy at a free port of 127.0.0.1, or at the port given.

    Args:
        port: the server's port at 127.0.0.1. `target` may be changed while the proxy runs.
        schedule: what happens to the requests, one after the other.
        always: what happens when the schedule is used up.
        only: requests whose path does not contain this take nothing from the schedule, and pass.

    Attributes:
        incidents: what happened, in order.
        counts: how often each kind of fault happened, by the name of its class.
        leaks: requests that showed a token in their path, in another header than Authorization or in their body.
    """

    def __init__(
        self, port: int, schedule: Iterable[Fault] = (), *, always: Fault = PASS, only: str = ""
    ) -> None:
        self.target = port
        self.always = always
        self.only = only
        self.incidents: list[Incident] = []
        self.counts: Counter[str] = Counter()
        self.leaks: list[str] = []
        self._schedule = deque(schedule)
        self._seen: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._postponed: deque[bytes] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._porters: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._door = asyncio.Lock()
        self._server: asyncio.Server | None = None
        # This socket never listens. It keeps the port ours while the door is closed.
        self._holder = bound_socket(0)
        self.port: int = self._holder.getsockname()[1]

    @property
    def url(self) -> str:
        """The address that clients are given."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def left(self) -> int:
        """How many faults are still in the schedule."""
        return len(self._schedule)

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Put faults at the end of the schedule."""
        self._schedule.extend(faults)

    def calm(self) -> None:
        """End all faults: what was postponed arrives, the door opens, and from now on all requests pass."""
        self.always = PASS
        self._call(self._calm())

    def hang_up(self) -> None:
        """Reset all connections, as a cable does that is pulled."""
        self._call(self._hang_up())

    def story(self) -> str:
        """Return what happened, a line an incident."""
        return "\n".join(f"{fault}: {request} -> {outcome}" for fault, request, outcome in self.incidents)

    def __enter__(self) -> ChaosProxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos proxy")
        self._thread.start()
        self._call(self._open_door())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._schedule.clear()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()
        if self._errors and error is None:
            raise self._errors[0]

    # --- from other threads

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _calm(self) -> None:
        self._schedule.clear()
        await self._open_door()
        await self._deliver_postponed()

    async def _hang_up(self) -> None:
        await _cancel(self._tasks)

    async def _end(self) -> None:
        await _cancel(self._porters)
        await self._close_door()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            # asyncio's own too, of connections that are just being accepted
            await _cancel(others)
            for _ in range(3):  # the transports have a last word each
                await asyncio.sleep(0)

    # --- the door

    async def _open_door(self) -> None:
        async with self._door:
            if self._server is None:
                listener = bound_socket(self.port)
                self._server = await asyncio.start_server(self._welcome, sock=listener, limit=BUFFER)

    async def _close_door(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            for listener in server.sockets:
                # First accept no more: CPython 3.11 loses a connection that it is accepting when a server closes.
                self._loop.remove_reader(listener.fileno())
            await asyncio.sleep(0)
            server.close()

    async def _open_door_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._open_door()

    def _start(self, work: Coroutine[Any, Any, None], crew: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        def ended(task: asyncio.Task[None]) -> None:
            crew.discard(task)
            if not task.cancelled() and (error := task.exception()):
                self._errors.append(error)

        task = self._loop.create_task(work)
        crew.add(task)
        task.add_done_callback(ended)
        return task

    # --- connections

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._start(self._serve(reader, writer), self._tasks)
        # Should it be cancelled before it begins, it has no chance to do this itself.
        task.add_done_callback(lambda _: reset(writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(self.target)
        try:
            if self._schedule and isinstance(self._schedule[0], Refuse):
                self._note(self._schedule.popleft(), "", "refused")
                raise _Cut
            if not self._schedule and isinstance(self.always, Refuse):
                self._note(self.always, "", "refused")
                raise _Cut
            while await self._serve_one(line, reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError, _Cut):
            reset(writer)
        except asyncio.CancelledError:
            reset(writer)
            raise
        finally:
            line.hang_up()

    async def _serve_one(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve a request; return whether another may follow."""
        request = await read_request(reader)
        if request is None:
            return False
        self._look_for_tokens(request)
        fault = self._draw(request)
        said = f"{request.method} {request.target}"
        try:
            answer = await self._apply(fault, request, line, reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.TimeoutError, _Cut) as end:
            self._note(fault, said, "cut" if isinstance(end, _Cut) else f"{type(end).__name__}: {end}")
            raise _Cut from end
        self._note(fault, said, str(answer.status))
        if request.body.size:
            self._seen.append(request.raw)
        return answer.keeps_alive and request.keeps_alive

    def _draw(self, request: Message) -> Fault:
        if self.only not in request.target:
            return PASS
        return self._schedule.popleft() if self._schedule else self.always

    def _note(self, fault: Fault, request: str, outcome: str) -> None:
        self.incidents.append(Incident(fault, request, outcome))
        self.counts[type(fault).__name__] += 1

    def _look_for_tokens(self, request: Message) -> None:
        lines = request.head.raw.split(b"\r\n")
        shown = [line for line in lines if not line.lower().startswith(b"authorization:")]
        if _TOKEN.search(b"\n".join([*shown, request.body.raw])):
            self.leaks.append(f"{request.method} {request.target}")

    # --- faults

    async def _apply(
        self,
        fault: Fault,
        request: Message,
        line: Line,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Message:
        """Do to a request what the fault says; return the answer that the client was sent."""
        match fault:
            case Refuse():
                raise _Cut
            case CloseDoor(seconds):
                await self._close_door()
                self._start(self._open_door_after(seconds), self._porters)
                raise _Cut
            case Silence(seconds):
                await self._be_silent(reader, seconds)
                raise _Cut
            case CutRequest(at):
                await line.send(request.head.raw + request.body.raw[: int(at * len(request.body.raw))])
                raise _Cut
            case Postpone():
                self._postponed.append(request.raw)
                raise _Cut
            case Answer() | Redirect():
                return await _give(writer, _own_answer(fault, request.target))
            case _:
                return await self._pass_on(fault, request, line, writer)

    async def _be_silent(self, reader: asyncio.StreamReader, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), seconds)

    async def _pass_on(
        self, fault: Fault, request: Message, line: Line, writer: asyncio.StreamWriter
    ) -> Message:
        """Have the server answer a request, and do something to either on the way."""
        match fault:
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Replay(at) if self._seen:
                await self._deliver(self._seen[int(at * len(self._seen))])
            case FlipRequest(at) if request.head.get("Content-Type") == _FRAMES:
                request = request._replace(body=request.body.flipped(at))
        answer = await line.ask(request)
        await self._deliver_postponed()
        match fault:
            case LoseAnswer():
                raise _Cut
            case CutAnswer(at):
                await _give_raw(writer, answer.raw[: int(at * len(answer.raw))])
                raise _Cut
            case Drip(pause, seconds):
                return await self._drip(writer, answer, pause, seconds)
            case FlipAnswer(at):
                return await _give(writer, answer._replace(body=answer.body.flipped(at)))
        return await _give(writer, answer)

    async def _drip(
        self, writer: asyncio.StreamWriter, answer: Message, pause: float, seconds: float
    ) -> Message:
        end = self._loop.time() + seconds
        for value in answer.raw:
            if self._loop.time() > end:
                raise _Cut
            await _give_raw(writer, bytes((value,)))
            await asyncio.sleep(pause)
        return answer

    async def _deliver_postponed(self) -> None:
        while self._postponed:
            await self._deliver(self._postponed.popleft())

    async def _deliver(self, raw: bytes) -> None:
        """Have an old request reach the server by itself. Nobody waits for the answer."""
        line = Line(self.target)
        try:
            await line.send(raw)
            await asyncio.wait_for(read_answer(await line.reader(), "POST"), PATIENCE)
        except (OSError, EOFError, TimeoutError, asyncio.TimeoutError):
            self.counts["deliveries that failed"] += 1
        finally:
            line.hang_up()


def _own_answer(fault: Answer | Redirect, target: str) -> Message:
    location = ""
    if isinstance(fault, Redirect):
        location = f"Location: {fault.origin}{target}\r\n"
        fault = Answer(fault.status)
    again = "" if fault.retry_after is None else f"Retry-After: {fault.retry_after}\r\n"
    body = fault.body.encode()
    head = (
        f"HTTP/1.1 {fault.status} Chaos\r\nContent-Type: {fault.content_type}\r\n{location}{again}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return Message(Head(head.encode()), Body(body, ((0, len(body)),)))


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    left = {*tasks}
    while left:
        for task in left:
            task.cancel()
        # again and again: up to Python 3.11, `wait_for` loses a cancellation that comes at the wrong moment
        _, left = await asyncio.wait(left, timeout=0.1)


async def _give(writer: asyncio.StreamWriter, answer: Message) -> Message:
    await _give_raw(writer, answer.raw)
    return answer


async def _give_raw(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
