"""Bodies of requests in pieces: see `ml_dash.server.http.pieces`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.protocol import BODY_PIECE_BYTES_MAX, PART_BYTES_MAX, ErrorCode
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.api import contract
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import answer, read_body, too_large
from ml_dash.server.http.query_args import valid_checksum
from ml_dash.shapes import BodyPiece

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.http.budget import Memory
    from ml_dash.server.http.pieces import Pieces
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.settings import ServerSettings


def body_routes(bind: Binder, pieces: Pieces, settings: ServerSettings, memory: Memory) -> list[web.RouteDef]:
    """Return the route."""
    largest = max(settings.request_bytes, settings.json_bytes, PART_BYTES_MAX)

    async def keep(request: web.Request, asked: contract.PieceOf) -> web.Response:
        who = principal(request)
        if not (who.admin or any(scope >= Scope.WRITE for scope in who.grants.values())):
            raise ApiError(
                403,
                ErrorCode.FORBIDDEN,
                f"token {who.name!r} may only read, and this is for who sends: use a token that may write",
            )
        checksum = valid_checksum("checksum", request.match_info["checksum"])
        with memory.budget(who.token_id) as budget:
            data = await read_body(request, BODY_PIECE_BYTES_MAX, settings.body_timeout, budget)
            if asked.offset + len(data) > largest:
                raise too_large(largest)
            if data:
                await pieces.run_add(who.token_id, checksum, asked.offset, data)
        return answer(request, BodyPiece(offset=asked.offset, size_bytes=len(data)))

    return [bind(contract.PUT_BODY, keep)]
