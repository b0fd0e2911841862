"""Lines of many charts in one answer: what a page draws that is in sight."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_dash.protocol import LINES_MAX, MEMBERS_MAX, ErrorCode
from ml_dash.server.api import contract
from ml_dash.server.charts.lines import LineRequest
from ml_dash.server.charts.smoothing import Smooth
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import encoded_answer, wants_msgpack
from ml_dash.server.recent import RecentBytes
from ml_dash.server.rows.drawing import Asked, Drawing, Members

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.http.paging import Page
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library
    from ml_dash.shapes import AskedLine, AskedPanel, AskedPanels

_SLICE_SECONDS = 0.05
"""How long one thread draws: then others have their turn, and it is seen whether anybody waits for the rest."""
_ANSWER_SECONDS = 2.0
"""How long an answer is drawn at: the rest is asked for again, so that a page shows what there is meanwhile."""
_AT_ONCE = 2
"""Threads that draw: lists, and whoever asks for one run, have the others."""
_MEMBERS_BYTES = 64 << 20
"""Of members of bands that are kept: 10 kB each."""


@dataclass(slots=True)
class _Wanted:
    panel: int
    line: int
    asked: Asked


def line_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the route."""
    members: Members = RecentBytes(_MEMBERS_BYTES)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def draw(request: web.Request, panels: AskedPanels) -> web.Response:
        waiting = _wanted(panels)
        page = bind.page(request)
        drawing = Drawing(library, principal(request), members, as_bytes=wants_msgpack(request))
        until = time.monotonic() + _ANSWER_SECONDS
        await library.query(drawing.look_up, [each.asked for each in waiting])
        is_full = False
        try:
            # one at least: whoever asks for the rest must get on
            while waiting and not is_full and (time.monotonic() < until or not page.count):
                async with turns:
                    is_full = await library.query(_fill, page, drawing, waiting)
                if request.transport is None or request.transport.is_closing():
                    break  # nobody waits for it any more
        finally:
            await library.query(drawing.close)
        rest = [(each.panel, each.line) for each in reversed(waiting)]
        return encoded_answer(request, await library.query(page.body, "data", {"rest": rest}))

    return [bind(contract.LINES, draw)]


def _wanted(panels: AskedPanels) -> list[_Wanted]:
    """Return the lines that are asked for, the first one last.

    Raises:
        ApiError: 400: there are too many, or one of them makes no sense.
    """
    count = sum(len(panel.lines) for panel in panels.panels)
    members = sum(len(each.experiments or ()) for panel in panels.panels for each in panel.lines)
    for what, found, most in (("lines", count, LINES_MAX), ("members", members, MEMBERS_MAX)):
        if found > most:
            raise _refused(f"the panels have {found:,} {what} together: ask for at most {most:,} at once")
    return [
        _Wanted(at, number, _asked(panel, each))
        for at, panel in enumerate(panels.panels)
        for number, each in enumerate(panel.lines)
    ][::-1]


def _asked(panel: AskedPanel, each: AskedLine) -> Asked:
    if (each.experiment is None) == (each.experiments is None):
        raise _refused("a line is of one experiment, or of experiments together: give one of the two")
    if (each.field is None) == (each.expression is None) or (
        each.expression is not None and each.metric is not None
    ):
        raise _refused("a line shows a field of a metric, or an expression: give one of the two")
    smooth = None if panel.smooth is None else Smooth(panel.smooth.kind, panel.smooth.amount)
    field = each.field or "expression"
    request = LineRequest(field, panel.x, panel.start, panel.stop, panel.width, smooth).checked()
    experiments = (each.experiment,) if each.experiment is not None else tuple(each.experiments or ())
    is_band = each.experiment is None
    return Asked(
        request,
        experiments,
        is_band,
        each.metric,
        each.expression,
        each.attempt,
        each.rank,
        each.fill,
        each.after,
    )


def _refused(message: str) -> ApiError:
    return ApiError(400, ErrorCode.INVALID, message)


def _fill(page: Page, drawing: Drawing, waiting: list[_Wanted]) -> bool:
    """Draw for a moment, and say whether there is no room for more."""
    until = time.monotonic() + _SLICE_SECONDS
    while waiting:
        next_one = waiting[-1]
        told = drawing.told(next_one.asked, until)
        if told is None:
            return False
        if not page.take({"panel": next_one.panel, "line": next_one.line, **told}):
            return True
        waiting.pop()
        if time.monotonic() >= until:
            return False
    return False
