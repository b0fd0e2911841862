"""The calls of the API, typed: what goes out, and what comes back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from ml_dash import shapes
from ml_dash.client.answers import (
    Described,
    Introduced,
    Listed,
    checked,
    decoded,
    is_sendable,
    media_type,
    not_understood,
)
from ml_dash.client.paging import Pages
from ml_dash.client.pieces import PieceSender, size_of
from ml_dash.client.retry import means_the_same_from_a_proxy, retry_after_seconds
from ml_dash.client.transport import Answer, Body, NotMlDashError, ServerError, Stream, Transport
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import (
    API,
    BEGUN_HEADER,
    CLOCK_HEADER,
    DESCRIBED,
    FRAMES,
    MSGPACK,
    OCTETS,
    SAID,
    WRITERS_HEADER,
    frames_path,
)
from ml_dash.storage.stopping import StopRequest, understood

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

_READ_SECONDS = 60.0
# Nobody knows how long a series is before it comes. A server that falls silent is given up much earlier, see `http`.
_STREAM_SECONDS = 3600.0
_SEND_SECONDS = 60.0
_SLOWEST_BYTES_A_SECOND = 16 << 10
"""A line slower than this counts as cut."""
_ERROR_BYTES_MAX = 64 << 10
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Upserted:
    """An experiment as the server has it now: `watermarks` are the numbers up to which it has all frames, by writer."""

    id: str
    created: bool
    watermarks: Mapping[str, int]
    record: Mapping[str, Any] = field(default_factory=dict)


class Sent(NamedTuple):
    """What a server has of a writer's frames: the number up to which it has all; and that its run is asked to stop."""

    watermark: int
    stop: StopRequest | None


Cut: TypeAlias = Literal["if refused", "at once", "never"]
"""When a body is sent in pieces: if something in between takes it for too large, without a try, or not at all."""


class Client:
    """Speaks the API with one server."""

    def __init__(self, transport: Transport, clock: Clock = SYSTEM_CLOCK) -> None:
        self._transport = transport
        self._clock = clock
        self._pieces = PieceSender(transport, clock, _is_too_large_elsewhere)

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._transport.url

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        return self._transport.is_loopback

    async def upsert(
        self,
        prefix: str,
        about: Mapping[str, Any] | None = None,
        *,
        recreate: bool = False,
        anew: bool = False,
        only_new: bool = False,
        writers: Sequence[str] = (),
        begun: Sequence[str] = (),
    ) -> Upserted:
        """Create an experiment at the server, or update it, and return what the server has of it.

        Of `about`, ``readme``, ``tags``, ``bindrs`` and ``metadata`` that are not given stay as they are, and so do
        those of which somebody has said something later, by its ``saidNs``. `recreate` brings back one that was deleted
        at the server; `anew` begins another one then, without its data. With `only_new` there must be none, but for a
        deleted one: of several who ask at once, one gets it. By the `writers` of its journal the server knows one that
        was moved since: the record has the prefix that it has now. Those that have `begun` a run since one of this name
        was deleted go on in the next one; what others write is of the deleted one, and is refused.
        """
        fields = {key: (about or {}).get(key) for key in DESCRIBED}
        body = {"prefix": prefix, **{key: value for key, value in fields.items() if value is not None}}
        if said := (about or {}).get(SAID):
            body[SAID] = said
        if recreate:
            body["recreate"] = True
        if anew:
            body["anew"] = True
        if only_new:
            body |= {"onlyNew": True, "anew": True}
        told = {WRITERS_HEADER: ",".join(writers), BEGUN_HEADER: ",".join(begun)}
        headers = {CLOCK_HEADER: str(self._clock.time_ns()), **told}
        answer = await self._post(
            f"{API}/experiments", to_msgpack(body), MSGPACK, headers=headers, timeout=_READ_SECONDS
        )
        record = checked(self.url, answer, Introduced)
        # of thousands of writers the answer has the first ones
        cursor = record.get("watermarksCursor")
        if cursor is not None and not is_sendable(cursor):
            raise not_understood(self.url, answer, "nobody can ask with its watermarksCursor")
        rest = await self.watermarks(record["id"], cursor) if cursor is not None else {}
        return Upserted(record["id"], record["created"], {**record["watermarks"], **rest}, record)

    async def watermarks(self, experiment_id: str, cursor: str | None = None) -> Mapping[str, int]:
        """Return the number up to which the server has all frames, by writer; with a cursor, of those behind it."""
        found: dict[str, int] = {}
        pages = Pages(self.url, cursor)
        while not pages.over:
            answer = await self.get(
                experiment_path(experiment_id, "writers"), {"cursor": pages.cursor} if pages.cursor else None
            )
            known = checked(self.url, answer, shapes.Watermarks)["watermarks"]
            found |= known
            pages.follow(answer, known)
        return found

    async def send_frames(
        self,
        experiment_id: str,
        writer: str,
        body: bytes,
        *,
        encoding: str | None = None,
        cut: Cut = "if refused",
    ) -> Sent:
        """Send frames that lie back to back, or none to ask; return what the server has of this writer."""
        headers = {CLOCK_HEADER: str(self._clock.time_ns())}
        if encoding:
            headers["Content-Encoding"] = encoding
        answer = await self._post(
            frames_path(experiment_id, writer),
            body,
            FRAMES,
            headers=headers,
            timeout=_SEND_SECONDS + len(body) / _SLOWEST_BYTES_A_SECOND,
            cut=cut,
        )
        found = checked(self.url, answer, shapes.Watermark)
        return Sent(int(found["watermark"]), understood(found.get("stop")))

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return what the server answers to a question, as plain data."""
        answer = await self._transport.request(
            "GET", path, query=query, headers={"Accept": MSGPACK}, timeout=_READ_SECONDS
        )
        return self._content(answer)

    async def frames(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """Yield the pieces of an answer that is frames, back to back; a frame may begin in one and end in the next."""
        headers = {"Accept": f"{FRAMES}, {MSGPACK};q=0.1"}

        def is_meant(stream: Stream) -> bool:
            return stream.status == 200 and media_type(stream.headers) == FRAMES

        opened = self.stream(path, is_meant, query=query, headers=headers, timeout=_STREAM_SECONDS)
        async with opened as stream:
            async for piece in stream.pieces:
                yield piece

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        is_meant: Callable[[Stream], bool],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> AsyncIterator[Stream]:
        """Ask for something large, and give the answer as it comes, if it is what was meant.

        Raises:
            RemoteError: It is something else: the error that this means.
            TransportError: There is no answer; raised in the block too.
        """
        async with self._transport.stream(path, query=query, headers=headers, timeout=timeout) as stream:
            if not is_meant(stream):
                await self._refuse(stream)
            yield stream

    async def record(self, prefix: str) -> Mapping[str, Any] | None:
        """Return the whole record of the experiment with this prefix; None as of `find`."""
        found = await self.find(prefix)
        if found is None:
            return None
        try:
            record = await self.get(experiment_path(found["id"]))
        except ServerError as error:
            if error.status not in {404, 410}:
                raise
            return None  # it was deleted a moment ago
        return checked(self.url, record, Described)

    async def find(self, prefix: str) -> Mapping[str, Any] | None:
        """Return what lists have of the experiment with this prefix, which is all but the readme.

        None where there is none, or it may not be seen.
        """
        async for record in self._below(prefix):
            # the server's `prefix` asks for all that begin with it, so the one itself may be on any page
            if record.get("prefix") == prefix:
                return record
        return None

    async def prefixes(self, above: str) -> list[str]:
        """Return the prefixes of the experiments below this one."""
        found = [str(record.get("prefix")) async for record in self._below(above)]
        return [prefix for prefix in found if prefix.startswith(f"{above}/")]

    async def _below(self, prefix: str) -> AsyncIterator[Mapping[str, Any]]:
        pages = Pages(self.url)
        while not pages.over:
            query = {"prefix": prefix, "limit": "100", **({"cursor": pages.cursor} if pages.cursor else {})}
            answer = await self.get(f"{API}/experiments", query)
            records: list[dict[str, Any]] = checked(self.url, answer, Listed)["data"]
            for record in records:
                yield record
            pages.follow(answer, (each["id"] for each in records))

    async def post(self, path: str, value: Mapping[str, Any], *, timeout: float = _READ_SECONDS) -> Any:
        """Send plain data, and return what the server answers."""
        return await self._post(path, to_msgpack(value), MSGPACK, timeout=timeout)

    async def put_value(
        self, path: str, body: bytes, media_type: str, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Put data that are encoded already, and return what the server answers."""
        sent = {"Content-Type": media_type, "Accept": MSGPACK, **(headers or {})}
        return await self._send("PUT", path, body, sent, _READ_SECONDS)

    async def delete(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Delete something, and return what the server answers."""
        answer = await self._transport.request(
            "DELETE", path, query=query, headers={"Accept": MSGPACK}, timeout=_READ_SECONDS
        )
        return self._content(answer)

    async def put(self, path: str, body: Body, *, headers: Mapping[str, str] | None = None) -> Any:
        """Send bytes, and return what the server answers."""
        sent = {"Content-Type": OCTETS, "Accept": MSGPACK, **(headers or {})}
        timeout = _SEND_SECONDS + body.size / _SLOWEST_BYTES_A_SECOND
        return await self._send("PUT", path, body, sent, timeout)

    async def _post(
        self,
        path: str,
        body: bytes,
        media_type: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        cut: Cut = "if refused",
    ) -> Any:
        sent = {"Content-Type": media_type, "Accept": MSGPACK, **(headers or {})}
        return await self._send("POST", path, body, sent, timeout, cut)

    async def _refuse(self, stream: Stream) -> None:
        body = b""
        async for piece in stream.pieces:
            body = (body + piece)[:_ERROR_BYTES_MAX]  # it may be anything, a film too
            if len(body) == _ERROR_BYTES_MAX:
                break
        found = self._content(Answer(stream.status, stream.headers, body))
        raise not_understood(self.url, found, "something else was asked for")

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | Body,
        headers: Mapping[str, str],
        timeout: float,
        cut: Cut = "if refused",
    ) -> Any:
        """Send a request, in pieces where that is what gets through, and return what the server answers."""
        size = size_of(body)
        answer: Answer | None = None
        if cut == "at once" or (cut == "if refused" and self._pieces.is_needed(size)):
            answer = await self._pieces.request(method, path, body, headers, timeout)
        if answer is None:
            answer = await self._transport.request(method, path, body=body, headers=headers, timeout=timeout)
            if _is_too_large_elsewhere(answer):
                self._pieces.refused(size)
                if cut == "if refused" and size:
                    answer = await self._pieces.request(method, path, body, headers, timeout) or answer
        if _is_too_large_elsewhere(answer):
            raise self._error(answer, "", f"not an answer of ML-Dash: {_excerpt(answer)}", {"bytes": size})
        return self._content(answer)

    def _content(self, answer: Answer) -> Any:
        """Return the data of an answer, or raise the error that it is."""
        data = decoded(answer)
        if 200 <= answer.status < 300:
            if data is None:
                raise self._foreign(answer)
            return data
        if _is_error(data):
            error = data["error"]
            raise self._error(answer, error["code"], error["message"], error)
        # a load balancer's 503 is as good as the server's own; its 404 says nothing about the experiment
        if means_the_same_from_a_proxy(answer.status):
            raise self._error(answer, "", f"not an answer of ML-Dash: {_excerpt(answer)}", {})
        raise self._foreign(answer)

    def _error(self, answer: Answer, code: str, message: str, details: Mapping[str, Any]) -> ServerError:
        headers = answer.headers
        seconds = retry_after_seconds(headers.get("retry-after"), self._clock.time_ns, headers.get("date"))
        return ServerError(self.url, answer.status, code, message, retry_after=seconds, details=details)

    def _foreign(self, answer: Answer) -> NotMlDashError:
        if 300 <= answer.status < 400:
            target = answer.headers.get("location", "elsewhere").split("?", 1)[0]
            return NotMlDashError(
                f"{self.url} redirects to {target:.{_SHOWN}}, and redirects are not followed, for the token is for "
                f"{self.url} alone. If that is the server's address, use it in place of {self.url}"
            )
        return NotMlDashError(
            f"what answers at {self.url} is not an ML-Dash server with {API}: {answer.status}, {_excerpt(answer)}. "
            "Check the URL; an older server or a proxy in between answers so too"
        )


def experiment_path(experiment_id: str, *parts: str) -> str:
    """Return the path of something that belongs to an experiment."""
    return "/".join([f"{API}/experiments", quote(experiment_id, safe=""), *parts])


def _is_too_large_elsewhere(answer: Answer) -> bool:
    """Say whether an answer is a 413 that is not in the server's own words: whose limit it is, nobody knows."""
    return answer.status == 413 and not _is_error(decoded(answer))


def _is_error(data: Any) -> bool:
    match data:
        case {"error": {"code": str(), "message": str()}}:
            return True
    return False


def _excerpt(answer: Answer) -> str:
    text = answer.body[:_SHOWN].decode("utf-8", "replace")
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"{media_type(answer.headers) or 'no media type'}, {words!r}" if words else "an empty answer"
