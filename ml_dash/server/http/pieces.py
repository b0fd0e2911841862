"""Bodies of requests in pieces, for clients behind a proxy that takes small requests only.

Each piece is a request of its own, and is kept under the token that sent it and the SHA-256 of the whole. Then the
request itself comes with an empty body, and a header that names this SHA-256: it reads the pieces in the place of its
body, is checked and answered as ever, and has used them up when it was answered by a success. A piece may come any
number of times, and pieces of different lengths may lie over one another: what lies at a place is always the same.

What a token may have waiting is bounded, in bytes and in pieces: the bodies that have waited longest make room.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from aiohttp import web
from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from ml_dash.protocol import BODY_HEADER, ErrorCode
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.db.database import upsert
from ml_dash.server.db.tables import BODY_PIECES
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import PIECED
from ml_dash.server.http.query_args import valid_checksum

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler, Middleware
    from sqlalchemy import Connection

    from ml_dash.clock import Clock
    from ml_dash.server.db.database import Database

_LOG = logging.getLogger("ml_dash.server")
_KEPT_SECONDS = 3600
"""How long pieces wait for their request."""
_BYTES_MAX = 512 << 20
_PIECES_MAX = 16_384
"""What waits of one token: eight bodies of the largest size, each in pieces of the smallest that a client sends."""


class Pieces:
    """The pieces of all bodies. Methods are for any thread, but for `body` and `assembled`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        bytes_max: int = _BYTES_MAX,
        pieces_max: int = _PIECES_MAX,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bytes_max = bytes_max
        self._pieces_max = pieces_max

    def add(self, token_id: str, checksum: str, offset: int, data: bytes | bytearray) -> None:
        """Keep a piece, durably; forget those that have waited for too long, and what this token has no room for.

        Raises:
            ApiError: 400: the pieces of this body alone are more than there is room for, and are forgotten.
        """
        now = self._clock.time_ns()
        piece = {"token_id": token_id, "checksum": checksum, "offset": offset}
        with self._database.write() as connection:
            old = now - _KEPT_SECONDS * NANOSECONDS
            connection.execute(delete(BODY_PIECES).where(BODY_PIECES.c.created_ns < old))
            upsert(
                connection,
                BODY_PIECES,
                [{**piece, "size": len(data), "data": bytes(data), "created_ns": now}],
            )
            has_room = self._make_room(connection, token_id, checksum)
        if not has_room:
            raise ApiError(
                400,
                ErrorCode.DAMAGED,
                f"there are too many pieces of body {checksum}, which are forgotten: send it anew, each piece once",
            )

    def _make_room(self, connection: Connection, token_id: str, checksum: str) -> bool:
        """Forget this token's oldest bodies until the others fit; False where that left nothing of this one."""
        mine = BODY_PIECES.c.token_id == token_id
        size, count = func.sum(BODY_PIECES.c.size), func.count()
        total, pieces = connection.execute(select(size, count).where(mine)).one()
        if total <= self._bytes_max and pieces <= self._pieces_max:
            return True
        latest = func.max(BODY_PIECES.c.created_ns)
        bodies = select(BODY_PIECES.c.checksum, size, count).where(mine).group_by(BODY_PIECES.c.checksum)
        # this one last: it is being sent now
        for body, its_size, its_count in connection.execute(
            bodies.order_by(BODY_PIECES.c.checksum == checksum, latest)
        ).all():
            if total <= self._bytes_max and pieces <= self._pieces_max:
                return True
            connection.execute(delete(BODY_PIECES).where(mine, BODY_PIECES.c.checksum == body))
            total, pieces = total - its_size, pieces - its_count
        return False

    def find(self, token_id: str, checksum: str) -> list[tuple[int, int]]:
        """Return offset and length of the pieces that make a body, as far as they do so without a gap."""
        query = (
            select(BODY_PIECES.c.offset, BODY_PIECES.c.size)
            .where(BODY_PIECES.c.token_id == token_id, BODY_PIECES.c.checksum == checksum)
            .order_by(BODY_PIECES.c.offset)
        )
        found: list[tuple[int, int]] = []
        end = 0
        with self._database.read() as connection:
            for offset, size in connection.execute(query):
                if offset == end:
                    found.append((offset, size))
                    end += size
        return found

    def read(self, token_id: str, checksum: str, offset: int) -> bytes | None:
        """Return a piece; None where it is gone."""
        query = select(BODY_PIECES.c.data).where(
            BODY_PIECES.c.token_id == token_id,
            BODY_PIECES.c.checksum == checksum,
            BODY_PIECES.c.offset == offset,
        )
        with self._database.read() as connection:
            data = connection.execute(query).scalar_one_or_none()
        return None if data is None else bytes(data)

    def forget(self, token_id: str, checksum: str) -> None:
        """Forget a body; where that cannot be done now, it is done in an hour."""
        try:
            with self._database.write() as connection:
                connection.execute(
                    delete(BODY_PIECES).where(
                        BODY_PIECES.c.token_id == token_id, BODY_PIECES.c.checksum == checksum
                    )
                )
        except SQLAlchemyError as error:
            _LOG.info("the pieces of a body could not be removed, and are left for later: %s", error)

    async def body(self, token_id: str, checksum: str) -> PiecedBody:
        """Return a body that came in pieces."""
        return PiecedBody(self, token_id, checksum, await self._database.run(self.find, token_id, checksum))

    async def run_add(self, token_id: str, checksum: str, offset: int, data: bytes | bytearray) -> None:
        """Keep a piece, on a worker thread."""
        await self._database.run(self.add, token_id, checksum, offset, data)

    async def run_read(self, token_id: str, checksum: str, offset: int) -> bytes | None:
        """Read a piece on a worker thread."""
        return await self._database.run(self.read, token_id, checksum, offset)

    def assembled(self) -> Middleware:
        """Return the middleware by which requests have the bodies that came in pieces. It comes behind the token."""

        @web.middleware
        async def assembling(request: web.Request, handler: Handler) -> web.StreamResponse:
            given = request.headers.get(BODY_HEADER)
            if given is None:
                return await handler(request)
            checksum = valid_checksum(BODY_HEADER, given)
            token_id = principal(request).token_id
            request[PIECED] = await self.body(token_id, checksum)
            response = await handler(request)
            if response.status < 300:
                await self._database.run(self.forget, token_id, checksum)
            return response

        return assembling


class PiecedBody:
    """The body of one request, which came in pieces."""

    def __init__(self, pieces: Pieces, token_id: str, checksum: str, found: list[tuple[int, int]]) -> None:
        self._pieces = pieces
        self._token_id = token_id
        self._checksum = checksum
        self._found = found
        self.size = sum(size for _, size in found)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield it piece by piece.

        Raises:
            ApiError: 400: it is not whole.
        """
        hashed = hashlib.sha256()
        for offset, _ in self._found:
            piece = await self._pieces.run_read(self._token_id, self._checksum, offset)
            if piece is not None:
                hashed.update(piece)
                yield piece
        if hashed.hexdigest() != self._checksum:
            raise ApiError(
                400,
                ErrorCode.DAMAGED,
                f"the pieces of body {self._checksum} that are here are not the whole of it: send all of them again",
            )
