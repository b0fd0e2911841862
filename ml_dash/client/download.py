"""What is downloaded as a stream: frames, and a file's blob.

Frames are put together from pieces, checked and decoded. A blob goes to a temporary file, is checked, resumed after
a cut, and renamed when it is whole. The caller's thread writes and hashes; on the event loop, which also uploads,
nothing is done but wait for the network: what has been read there and not been taken is a few MiB at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ml_dash.client.retry import Attempts, Patience, patience_of
from ml_dash.client.transport import ServerError, Stream, TransportError
from ml_dash.errors import ContentError, FileStoreError, MLDashError, RemoteError
from ml_dash.journal.checked import known_blocks
from ml_dash.journal.frame import FRAME_HEADER, decode_meta, parse_frame_header, split_frame, weigh_frame
from ml_dash.journal.objects import READ_CONTAINERS_MAX
from ml_dash.protocol import ANSWERED_FRAME_BYTES_MAX, ErrorCode
from ml_dash.storage.placing import placing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call
    from ml_dash.journal.blocks import Block

_TRIES = 6
"""Tries in a row that may bring nothing."""
_LONGEST_WAIT = 10.0
_TAKEN_BYTES = 2 << 20  # at a time from the event loop: few hops between the threads, and little memory
_CONNECT_SECONDS = 60.0
_SLOWEST_BYTES_A_SECOND = 16 << 10
"""A line slower than this counts as cut."""


class Wanted(NamedTuple):
    """A blob to download: its path at the server, its sha256 in hexadecimal digits, its bytes, a name for messages."""

    path: str
    checksum: str
    size: int
    name: str


def fetch_blob(
    client: Client,
    call: Call,
    wanted: Wanted,
    dest: str,
    on_progress: Callable[[int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    *,
    new: bool = False,
) -> None:
    """Download a blob to a file, which is there when all of it is, and is right.

    A file of that name is replaced, unless a `new` one was asked for; what is no file is written into, see
    `storage.placing`. `on_progress` is called with the number of bytes that are there.

    Raises:
        ContentError: What the server sends has another checksum or length.
        FileStoreError: It cannot be written.
        InvalidArgumentError: `dest` is a directory.
        ServerError: The server has nothing to give.
        ServerUnavailableError: The server cannot be reached, or not for long enough.
    """
    with _temporary(dest, new=new) as out:
        download = _Download(client, call, wanted, out, on_progress or (lambda _: None))
        attempts = Attempts(tries=_TRIES, longest_wait=_LONGEST_WAIT)
        while True:
            before = download.size
            try:
                download.go_on()
                break
            except (TransportError, ServerError) as error:
                if download.size > before:
                    attempts.succeeded()  # a line that is cut again and again, and brings some each time, is of use
                wait = attempts.failed(_patience(error), getattr(error, "retry_after", None))
                if wait is None:
                    raise
                sleep(wait)
        download.check()


def _patience(error: TransportError | ServerError) -> Patience:
    if isinstance(error, ServerError):
        # Another process has yet to upload it, which may take days: whoever waits is told so at once.
        # Nor is what was lost back in a moment.
        is_away = error.code in {ErrorCode.CONTENT_MISSING, ErrorCode.CONTENT_LOST}
        return "rarely" if is_away else patience_of(error)
    # a background upload waits for a certificate to be mended; the person who waits for this one wants to know
    return "rarely" if error.kind == "tls" else "soon"


@contextlib.contextmanager
def _temporary(dest: str, *, new: bool) -> Iterator[BinaryIO]:
    """Open a file that gets to `dest` when the block ends well, and is gone when it does not."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(dest)), exist_ok=True)
        with placing(dest, new=new) as path, open(path, "xb", buffering=0) as out:
            yield out
    except MLDashError:  # some are OSErrors as well, and say what they are
        raise
    except OSError as error:
        raise FileStoreError(
            f"cannot store {dest!r}: {error.strerror or error}; what had been downloaded of it is removed. Make room, "
            "or choose another place"
        ) from error


class _Download:
    """A blob on its way into an open file."""

    def __init__(
        self, client: Client, call: Call, wanted: Wanted, out: BinaryIO, on_progress: Callable[[int], None]
    ) -> None:
        self._client = client
        self._call = call
        self._wanted = wanted
        self._out = out
        self._on_progress = on_progress
        self._begin()

    def _begin(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._out.seek(0)
        self._out.truncate()

    def go_on(self) -> None:
        """Get what is missing in one request. What has come is kept where that is cut, by a TransportError."""
        headers: dict[str, str] = {}
        if self.size:
            # RFC 9110, 13.1.5: with If-Range, a blob that has changed comes whole, and not its end alone
            headers = {"Range": f"bytes={self.size}-", "If-Range": f'"{self._wanted.checksum}"'}
        stack = AsyncExitStack()
        opened = self._client.stream(
            self._wanted.path,
            lambda stream: stream.status in {200, 206},
            # Bytes as they are: a compressed answer could not be resumed at one of the blob's bytes.
            headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
            timeout=_CONNECT_SECONDS + self._wanted.size / _SLOWEST_BYTES_A_SECOND,
        )
        try:
            stream = self._call(stack.enter_async_context(opened))
            self._place(stream)
            while self._take(stack, stream):
                pass
        finally:
            self._call(stack.aclose())
        if self.size < self._wanted.size:
            raise TransportError("cut", f"{self._client.url} sends {self.size} of {self._wanted.size} bytes")

    def check(self) -> None:
        found = self._digest.hexdigest()
        if found != self._wanted.checksum:
            raise ContentError(
                f"{self._client.url} sends another content for {self._wanted.name!r}: its sha256 is {found}, and not "
                f"{self._wanted.checksum}; nothing was stored"
            )

    def _place(self, stream: Stream) -> None:
        """See where the server begins, and whether that is the same blob."""
        start, total = _range_of(stream)
        if total is not None and total != self._wanted.size:
            raise self._other_length(f"{total}")
        if start == 0:
            self._begin()  # it knows no ranges, or has another blob now
        elif start != self.size:
            raise ContentError(
                f"{self._client.url} was asked for {self._wanted.name!r} from byte {self.size} on, and answers with "
                f"{stream.headers.get('content-range', 'no range')!r:.100}; nothing was stored"
            )

    def _take(self, stack: AsyncExitStack, stream: Stream) -> bool:
        """Write what comes next; False at the end."""
        pieces: list[bytes] = []  # filled, and not returned: what came before a cut is kept
        try:
            more = self._call(_read(stack, stream, pieces))
        except TransportError:
            self._write(pieces)
            raise
        self._write(pieces)
        return more

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if self.size + len(piece) > self._wanted.size:
                raise self._other_length(f"more than {self._wanted.size}")
            self._digest.update(piece)
            view = memoryview(piece)
            while view:
                view = view[self._out.write(view) :]
            self.size += len(piece)
        if pieces:
            self._on_progress(self.size)

    def _other_length(self, found: str) -> ContentError:
        return ContentError(
            f"{self._client.url} sends {found} bytes for {self._wanted.name!r}, and its row says "
            f"{self._wanted.size}; nothing was stored"
        )


async def _read(stack: AsyncExitStack, stream: Stream, pieces: list[bytes]) -> bool:
    """Append what comes next to `pieces`, some MiB at most; False at the end.

    An error passes through the context of the stream, which says what it means.
    """
    size = 0
    try:
        async for piece in stream.pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= _TAKEN_BYTES:
                return True
    except Exception as error:  # whatever it is, it is raised again
        await stack.__aexit__(type(error), error, error.__traceback__)
        raise
    return False


def _range_of(stream: Stream) -> tuple[int | None, int | None]:
    """Return at which byte an answer begins, and how many the whole blob has; None where it does not say."""
    if stream.status == 200:
        length = stream.headers.get("content-length", "")
        is_plain = "content-encoding" not in stream.headers
        return 0, int(length) if is_plain and length.isdecimal() else None
    unit, _, said = stream.headers.get("content-range", "").partition(" ")
    place, _, total = said.partition("/")
    start = place.partition("-")[0]
    if unit != "bytes" or not start.isdecimal():
        return None, None
    return int(start), int(total) if total.isdecimal() else None


class Frames:
    """Takes pieces of frames that lie back to back, numbered 1, 2, …; a frame may begin in one and end in the next."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = FRAME_HEADER.size
        self._seq = 0

    def add(self, piece: bytes) -> None:
        """Take a piece, or raise RemoteError where it is not what a frame is made of."""
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size >= self._wanted:
            raw = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            length = self._length(raw)
            if length > len(raw):
                self._pieces, self._wanted = [raw], length
                return
            self._take(raw[:length])
            rest = raw[length:]
            self._pieces, self._size, self._wanted = [rest], len(rest), FRAME_HEADER.size

    def finish(self) -> list[Block]:
        """Return the blocks of all frames, or raise RemoteError where the last one is not whole."""
        if self._size:
            raise RemoteError(f"the server's answer ends in the middle of frame {self._seq + 1}: ask again")
        return self._blocks

    def _length(self, raw: bytes) -> int:
        header = parse_frame_header(raw)
        if header is None or header.seq != self._seq + 1 or header.length > ANSWERED_FRAME_BYTES_MAX:
            raise self._damaged()
        return header.length

    def _take(self, raw: bytes) -> None:
        frame = split_frame(raw)
        if frame is None or not frame.is_sound:
            raise self._damaged()
        seq, data = frame.header.seq, bytes(frame.data)
        try:
            heads = decode_meta(frame.meta, len(data))
            weigh_frame(heads, data, READ_CONTAINERS_MAX)
            self._blocks += known_blocks(heads, data)
        except ValueError as error:
            raise RemoteError(f"frame {seq} of the server's answer makes no sense: {error}") from error
        self._seq = seq

    def _damaged(self) -> RemoteError:
        return RemoteError(f"frame {self._seq + 1} of the server's answer is damaged: ask again")
