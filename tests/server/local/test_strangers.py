"""The dashboard of a root that somebody sent."""

from __future__ import annotations

from pathlib import Path

from ml_dash import Experiment
from ml_dash.protocol import API
from tests.server.local.ui import serving
from tests.support.strangers import deep_values, long_frame

QUESTIONS = (
    *("", "/metrics", "/logs", "/parameters", "/tracks", "/files", "/runs"),
    *(
        "/metrics/rows?name=train",
        "/metrics/series?name=train&field=deep",
        "/metrics/stats?name=train",
        "/tracks/entries?topic=pose",
    ),
)


async def test_the_dashboard_shows_what_strangers_left(tmp_path: Path) -> None:
    """Every question is answered, whatever the values are; those about a long frame too."""
    exp = Experiment("alice/vision/first", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("train").log(step=1)
    for leave in (long_frame, deep_values):
        path = leave(Path(exp.directory))
        async with serving(tmp_path) as ui:
            (record,) = (await ui.get("experiments"))["data"]
            for question in QUESTIONS:
                async with ui.client.get(f"{API}/experiments/{record['id']}{question}") as response:
                    assert response.status in {200, 404}, (question, await response.text())
        path.unlink()
