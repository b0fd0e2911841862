"""The pages of `ml-dash ui` over a root that somebody else has made: what lies outside of it is not shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.server.local.ui import serving
from tests.support.foreign_roots import KINDS, PLACES, ROOT, experiment, made

__all__ = ["experiment", "made"]  # fixtures


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_the_pages_show_nothing_that_lies_outside_of_their_root(
    experiment: Path, place: str, kind: str
) -> None:
    KINDS[kind](PLACES[place](experiment))

    async def look() -> None:
        async with serving(ROOT) as ui:
            found = (await ui.get("experiments"))["data"]
            assert len(found) == (0 if place == "journal" and kind != "link" else 1)
            for each in found:
                assert bool(each["problem"]) == (not place.startswith("blob") or place == "blobs")
                if place in {"segment", "journal"}:
                    assert each["rows"] == 0
                if place == "side file":
                    continue
                files = (await ui.get(f"experiments/{each['id']}/files"))["data"] if each["rows"] else []
                assert [row["available"] for row in files] == [not place.startswith("blob")] * len(files)

    asyncio.run(look())
