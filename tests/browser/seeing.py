"""What axe finds on a page that somebody could not use: labels that lack, contrast that is too low, and so on."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.support.project import PROJECT

_AXE = PROJECT / "dashboard/node_modules/axe-core/axe.min.js"


def barriers(page: Page) -> list[str]:
    """Return what is serious or critical, each with the first element that has it."""
    page.evaluate(_AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({len(each['nodes'])}): {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
