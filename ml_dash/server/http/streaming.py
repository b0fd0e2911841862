"""Answers that are sent as they are read: only one piece is in memory at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

_LOG = logging.getLogger("ml_dash.server")


async def stream(
    request: web.Request,
    response: web.StreamResponse,
    first: bytes,
    following: Callable[[], Awaitable[bytes]],
) -> web.StreamResponse:
    """Send pieces until there is an empty one, and return the response.

    Args:
        request: Who asked.
        response: What is sent before them.
        first: The first piece: it is read before, because an error in it can still be answered.
        following: Reads the next one. If that fails, the answer can only be cut off.
    """
    await response.prepare(request)
    piece = first
    try:
        while piece:
            await response.write(piece)
            piece = await following()
    except ConnectionError:
        return response  # the client went away
    except (ApiError, OSError) as error:
        # an answer that ends without its end: the client must not take it for all there is
        _LOG.error("%s breaks off: %s", request.path, error)
        if request.transport is not None:
            request.transport.abort()
    else:
        await response.write_eof()
    return response
