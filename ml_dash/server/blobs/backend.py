"""What every part of a store works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from ml_dash.clock import Clock
    from ml_dash.server.blobs.keeper import StoreKeeper
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database
    from ml_dash.server.recent import Recent
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.telemetry import Telemetry


Superseded: TypeAlias = "Recent[tuple[str, int, int], dict[tuple[int, int, float], list[tuple[int, int]]]]"
"""By experiment and series, which rows of a span are not superseded from a step on."""


class Backend(NamedTuple):
    """Where a server process keeps things, by which limits, and who counts it. Any thread may use any of it."""

    database: Database
    objects: ObjectStore
    settings: ServerSettings
    clock: Clock
    telemetry: Telemetry
    keeper: StoreKeeper
    superseded: Superseded
