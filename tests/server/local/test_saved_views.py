"""Views that people save in a root."""

from __future__ import annotations

import json
from pathlib import Path

from ml_dash.protocol import API
from ml_dash.server.http.access import BY_PAGE
from tests.server.local.ui import serving

STATE = {"charts": [{"metric": "val/loss", "x": "step"}], "filter": 'a "b" ü', "n": 2**60}


def path(owner: str, view: str = "") -> str:
    return f"/owners/{owner}/projects/vision/views" + (f"/{view}" if view else "")


async def test_views_of_a_root_are_files_that_people_can_read_and_write(tmp_path: Path) -> None:
    at = f"{API}{path('alice', 'losses')}"
    body = {"name": "Losses", "format": 1, "state": STATE, "default": True}
    async with serving(tmp_path) as ui:
        headers = {BY_PAGE: "1"}
        async with ui.client.put(at, json=body, headers=headers) as answer:
            saved = await answer.json()
            assert answer.status == 200, saved
            assert (answer.status, answer.headers["ETag"]) == (200, f'"{saved["version"]}"')
        file = tmp_path / "alice" / "vision" / "views" / "losses.json"
        assert json.loads(file.read_text()) == body
        assert (await ui.get(path("alice", "losses")[1:]))["state"] == STATE
        # somebody edits it
        file.write_text(json.dumps({**body, "name": "By hand"}))
        async with ui.client.put(
            at, json=body, headers={**headers, "If-Match": f'"{saved["version"]}"'}
        ) as answer:
            told = (await answer.json())["error"]
            assert (answer.status, told["code"], told["current"]["name"]) == (412, "changed", "By hand")
        (file.parent / "broken.json").write_text("{")
        (file.parent / "no id.json").write_text("{}")
        async with ui.client.put(f"{at}2", json=body, headers=headers) as answer:
            assert answer.status == 200
        listed = (await ui.get(path("alice")[1:]))["data"]
        assert [(each["name"], each["default"]) for each in listed] == [("By hand", False), ("Losses", True)]
        version = (await ui.get(path("alice", "losses")[1:]))["version"]
        async with ui.client.delete(at, headers={**headers, "If-Match": f'"{version}"'}) as answer:
            assert (answer.status, file.exists()) == (200, False)
        await ui.get(path("alice", "losses")[1:], 404)
        await ui.get("owners/.../projects/vision/views", 404)
        assert {each.name for each in file.parent.iterdir()} == {"broken.json", "no id.json", "losses2.json"}
