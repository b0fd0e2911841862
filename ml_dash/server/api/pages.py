"""The dashboard's pages: static files, the same for everybody. They get what they show from the other routes."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from ml_dash.protocol import API
from ml_dash.server.dashboard import DIST
from ml_dash.server.forwarding import base_of
from ml_dash.server.http.access import public
from ml_dash.server.http.answers import without_slash

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

# the pages look at the address themselves: it is the same HTML for each
_PATHS = (
    "/",
    "/p/{folder:.+}",
    "/experiments/{prefix:.+}",
    "/compare",
    "/diff",
    "/trash",
    "/rules",
    "/sign-in",
)
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML = "text/html; charset=utf-8"
_FOR_EVER = "public, max-age=31536000, immutable"
_UNBUILT = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>ML-Dash</title>
<h1>The dashboard's pages are not built</h1>
<p>They are built when the package is, which needs Node 20 or newer with npm. Everything else works.</p>
<p>Install them (<a href="https://nodejs.org">nodejs.org</a>), and then:</p>
<pre>
make dashboard          in a clone of the repository
pip install DIRECTORY   elsewhere: once more, of that clone; or of a wheel, which has the pages
</pre>
<p>Then start this server again.</p>
</html>
"""


class _Pages(NamedTuple):
    html: bytes
    assets: dict[str, bytes]


def page_routes(directory: str = DIST) -> list[web.RouteDef]:
    """Return the routes of the pages that are built in this directory."""

    @public
    async def page(request: web.Request) -> web.Response:
        return _page(request, directory)

    @public
    async def asset(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        pages = _read(directory)
        body = None if pages is None else pages.assets.get(name)
        if body is None:
            raise web.HTTPNotFound
        kind = _TYPES.get(os.path.splitext(name)[1], "application/octet-stream")
        # their names change with what is in them
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": _FOR_EVER})

    return [
        *(web.get(path, page, allow_head=False) for path in _PATHS),
        web.get("/assets/{name}", asset, allow_head=False),
    ]


def unknown_pages(directory: str = DIST) -> Middleware:
    """Return the middleware that shows a person who follows a wrong address a page that says so.

    Its status says so, too. Programs get an error in JSON.
    """

    @web.middleware
    async def shown(request: web.Request, handler: Handler) -> web.StreamResponse:
        error = request.match_info.http_exception
        is_person = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
        is_api = request.path.removeprefix(base_of(request)).startswith(f"{API}/")
        if error is None or error.status != 404 or not is_person or is_api:
            return await handler(request)
        place = await without_slash(request)
        if place is not None:
            raise web.HTTPPermanentRedirect(place)
        return _page(request, directory, 404)

    return shown


def _page(request: web.Request, directory: str, status: int = 200) -> web.Response:
    pages = _read(directory)
    if pages is None:
        return web.Response(body=_UNBUILT, status=503, headers={"Content-Type": _HTML})
    # no-cache: it names the assets, whose names another version changes
    headers = {"Content-Type": _HTML, "Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return web.Response(body=_below(base_of(request), pages.html), status=status, headers=headers)


def _below(base: str, html: bytes) -> bytes:
    """Return the page as it is below a path of a host: it finds its assets there, and its script what to ask.

    A path has no character that means anything in HTML, see `forwarding`.
    """
    if not base:
        return html
    path = base.encode()
    html = html.replace(b'="/assets/', b'="' + path + b"/assets/")
    return html.replace(b"<head>", b'<head>\n    <meta name="ml-dash-base" content="' + path + b'" />', 1)


@cache
def _read(directory: str) -> _Pages | None:
    """Read all of it, once: it is small. None if it is not built."""
    try:
        with open(os.path.join(directory, "index.html"), "rb") as file:
            html = file.read()
        assets = {}
        for entry in os.scandir(os.path.join(directory, "assets")):
            with open(entry.path, "rb") as file:
                assets[entry.name] = file.read()
    except OSError:
        return None
    return _Pages(html, assets)
