"""By which names `ml-dash ui` may be asked: this machine's own, through whatever port of a tunnel they come."""

from __future__ import annotations

import ipaddress
import re
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError
from ml_dash.server.http.bodies import error_answer

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:]*))(?::[0-9]{1,5})?")
_SHOWN_MAX = 100
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>ML-Dash</title>
<h1>This address is refused</h1>
<p>{told}</p>
<p>{remedy}</p>
<pre>{address}</pre>
<p>For another machine, forward the port, then open the address there:</p>
<pre>ssh -L {port}:127.0.0.1:{port} this-machine</pre>
</html>
"""


def only_here(port: int) -> Middleware:
    """Return the middleware that refuses requests by other names than this machine's own.

    A page of another site may point a name of its own at this machine, and then read what it serves (DNS rebinding).
    The port of the name says nothing: behind an SSH tunnel it is the tunnel's.
    """

    @web.middleware
    async def checking(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_loopback(request.host):
            return await handler(request)
        told = f"`ml-dash ui` serves this machine only, and was asked for {request.host!r:.{_SHOWN_MAX}}"
        remedy = "Ask by 127.0.0.1 or localhost, with the token of the address that `ml-dash ui` printed"
        if "text/html" not in request.headers.get("Accept", ""):
            return error_answer(
                request, ApiError(403, ErrorCode.FORBIDDEN, f"{told}: {remedy[0].lower()}{remedy[1:]}")
            )
        page = _PAGE.format(
            told=escape(f"{told}."),
            remedy=escape(f"{remedy}:"),
            address=escape(f"http://127.0.0.1:{port}/#token=…"),
            port=port,
        )
        return web.Response(text=page, status=403, content_type="text/html")

    return checking


def is_loopback(host: str) -> bool:
    """Say whether the Host of a request is this machine, whatever the port: an address of loopback, or localhost."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["six"] or found["name"]).lower().removesuffix(".")
    # browsers look these names up nowhere (RFC 6761, 6.3), so that nobody can point them elsewhere
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
