"""A run's page beyond its charts: what is changed there, what differs between runs, and how little a page asks."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import ml_dash
from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.browser.ui import Ui
from tests.browser.window import Window, sign_in
from tests.support.project import PROJECT
from tests.support.seen import TOKEN

NOTE = "Better with **warmup**.\n\n- next: larger batches"
COUNT_LOOKS = """
window.looks = 0;
const observe = IntersectionObserver.prototype.observe;
IntersectionObserver.prototype.observe = function (element) {
  window.looks += 1;
  return observe.call(this, element);
};
"""
RUNS = [f"alice/sweep/run-{number}" for number in (2, 9, 10)]


@pytest.fixture(scope="module")
def sweep(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with three runs that have ended, of which one was begun twice."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patched.setenv("ML_DASH_TOKEN", TOKEN)
        root = str(tmp_path_factory.mktemp("dash"))
        for number, prefix in enumerate(RUNS):
            for attempt in range(2 if prefix == RUNS[0] else 1):
                with Experiment(prefix, dash_url=server.url, dash_root=root, echo=False).run as exp:
                    exp.params.set(lr=0.1 * 2**number, model={"depth": 4, "layers": [1, 2]}, seed=3)
                    for step in range(40):
                        loss = 4.0 / (number + 1) / (step + 1)
                        exp.metrics("train").log(step=step, loss=loss + attempt)
                        exp.metrics("val").log(step=step, acc=min(0.9, step / 40) - 0.1 * number)
        yield server


def reading_token(server: EmbeddedServer) -> str:
    body = {"name": "looks", "grants": [{"owner": "alice", "scope": "read"}]}
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v1/tokens", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["token"])


def test_what_is_changed_is_kept_and_can_be_taken_back(sweep: EmbeddedServer, window: Window) -> None:
    """Name, tags, note, archive and trash; each is at the server, and one click away from what it was."""
    window.expected = ["410", "404"]
    page = window.page
    page.goto(f"{sweep.url}/experiments/{RUNS[0]}?tab=overview")
    page.get_by_role("button", name="+ tag").click()
    page.get_by_label("New tag").fill("promising")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("group", name="Tags")).to_contain_text("promising")
    page.get_by_role("button", name="Write a note").click()
    page.get_by_label("Note in Markdown").fill(NOTE)
    page.keyboard.press("Control+Enter")
    note = page.get_by_role("region", name="Note")
    expect(note.locator("strong")).to_have_text("warmup")

    page.get_by_text("Change", exact=True).click()
    page.get_by_role("button", name="Rename or move…").click()
    name = page.get_by_role("dialog").get_by_role("textbox")
    name.fill("bob/sweep/run-2")
    expect(page.get_by_role("dialog")).to_contain_text("stays with its owner")
    expect(page.get_by_role("button", name="Rename", exact=True)).to_be_disabled()
    name.fill("alice/sweep/best one")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page).to_have_url(re.compile("/experiments/alice/sweep/best%20one"))
    expect(page.get_by_role("heading", name="best one")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="run-2")).to_be_visible()
    expect(page.get_by_role("group", name="Tags")).to_contain_text("promising")

    page.get_by_text("Change", exact=True).click()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("group", name="Tags")).to_contain_text("archived")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("group", name="Tags")).not_to_contain_text("archived")

    page.get_by_text("Change", exact=True).click()
    page.get_by_role("button", name="Move to trash").click()
    expect(page.get_by_text(f"{RUNS[0]} is in the trash.")).to_be_visible()
    page.goto(f"{sweep.url}/trash")
    page.get_by_role("button", name=f"Restore {RUNS[0]}").click()
    expect(page.get_by_role("heading", name="run-2")).to_be_visible()
    page.get_by_role("tab", name="Overview").click()
    expect(page.get_by_role("region", name="Note").locator("strong")).to_have_text("warmup")
    expect(page.get_by_role("region", name="Attempts").get_by_role("listitem")).to_have_count(2)


@pytest.mark.slow
@pytest.mark.usefixtures("at_home")
def test_a_readme_is_edited_with_a_preview_and_two_who_do_lose_nothing(
    sweep: EmbeddedServer, window: Window
) -> None:
    window.expected = ["412"]
    page, run = window.page, ml_dash.open(RUNS[2], sweep.url)
    page.goto(f"{sweep.url}/experiments/{RUNS[2]}?tab=overview")
    readme = page.get_by_role("region", name="Readme")
    readme.get_by_role("button", name="Write a readme").click()
    text = page.get_by_label("Readme in Markdown")
    text.fill("# Mine\n\n<b>no tag</b>")
    readme.get_by_role("button", name="Preview").click()
    expect(readme.get_by_role("heading", name="Mine")).to_be_visible()
    expect(readme).to_contain_text("<b>no tag</b>")
    assert run.describe("theirs") == "theirs"
    readme.get_by_role("button", name="Save").click()
    expect(readme.get_by_role("alert")).to_contain_text("Somebody has changed this readme meanwhile")
    expect(text).to_have_value("theirs\n\n# Mine\n\n<b>no tag</b>")
    assert run.describe() == "theirs"
    readme.get_by_role("button", name="Save").click()
    expect(readme.get_by_role("button", name="Edit the readme")).to_be_visible()
    assert run.describe() == "theirs\n\n# Mine\n\n<b>no tag</b>"
    page.get_by_role("button", name="Undo").click()
    expect(readme).to_have_text(re.compile(r"Edittheirs\s*$"))
    assert run.describe() == "theirs"


@pytest.mark.slow
def test_what_is_begun_is_there_after_other_pages_a_reload_and_another_sign_in(
    sweep: EmbeddedServer, window: Window
) -> None:
    """Until it is saved or cancelled, and only of the run that it is about."""
    window.expected.append("401")
    page = window.page
    path = f"{sweep.url}/experiments/{RUNS[1]}?tab=overview"
    page.goto(path)
    page.get_by_role("button", name="Write a note").click()
    note = page.get_by_label("Note in Markdown")
    note.fill(NOTE)
    page.get_by_role("tab", name="Console").click()
    page.get_by_role("tab", name="Overview").click()
    expect(note).to_have_value(NOTE)
    page.reload()
    expect(note).to_have_value(NOTE)
    page.goto(f"{sweep.url}/experiments/{RUNS[2]}?tab=overview")
    expect(page.get_by_role("button", name="Write a note")).to_be_visible()
    expect(note).to_have_count(0)
    page.goto(path)
    expect(note).to_have_value(NOTE)
    # the session ends in the middle, and is told by the attempt to save
    page.context.clear_cookies()
    page.get_by_role("region", name="Note", exact=True).get_by_role("button", name="Save").click()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(note).to_have_value(NOTE)
    page.get_by_role("region", name="Note", exact=True).get_by_role("button", name="Cancel").click()
    page.reload()
    expect(page.get_by_role("button", name="Write a note")).to_be_visible()


def test_with_a_token_that_only_reads_there_is_nothing_to_change_with(
    sweep: EmbeddedServer, open_window: Callable[..., Window]
) -> None:
    page = open_window().page
    page.goto(f"{sweep.url}/experiments/{RUNS[1]}?tab=overview")
    page.get_by_label("Token").fill(reading_token(sweep))
    page.get_by_role("button", name="Sign in", exact=True).click()
    tree = page.get_by_role("region", name="Parameters")
    expect(tree.get_by_role("row", name="model.depth")).to_contain_text("4")
    assert page.get_by_text("Change", exact=True).count() == 0
    for name in ("+ tag", "Write a note", "Write a readme", "Rename or move…", "Move to trash"):
        assert page.get_by_role("button", name=name).count() == 0
    tree.get_by_role("button", name="model").click()
    expect(tree.get_by_role("row", name="model.depth")).to_have_count(0)
    tree.get_by_label("Find parameters").fill("depth 4")
    expect(tree.get_by_role("row", name="model.depth")).to_be_visible()
    expect(tree.get_by_role("row", name="seed")).to_have_count(0)


@pytest.mark.slow
def test_more_runs_than_have_room_beside_one_another_are_told(sweep: EmbeddedServer, window: Window) -> None:
    """And none of them is forgotten."""
    page = window.page
    others = "&".join(f"e=alice/sweep/none-{number}" for number in range(24))
    page.goto(f"{sweep.url}/diff?{others}&e={RUNS[0]}")
    expect(page.get_by_role("status")).to_have_text(
        "The first 24 of 25 runs side by side: what is removed makes room for the next."
    )
    page.get_by_role("button", name="Remove", exact=True).first.click()
    expect(page.get_by_role("heading", name="Differences of 1 run")).to_be_visible()
    expect(page.get_by_role("status")).to_have_count(0)


@pytest.mark.slow
def test_runs_are_held_against_a_baseline(sweep: EmbeddedServer, window: Window) -> None:
    page = window.page
    page.goto(f"{sweep.url}/experiments/{RUNS[1]}")
    page.get_by_role("link", name="Differences").click()
    page.get_by_label("Add a run").fill("run-10")
    page.get_by_role("list", name="Runs that were found").get_by_role("button", name=RUNS[2]).click()
    table = page.get_by_role("region", name="Differences of the runs")
    expect(table.get_by_role("row", name=re.compile("^lr"))).to_contain_text("+100 %")
    expect(table.get_by_role("row", name=re.compile("^seed"))).to_have_count(0)
    best = table.get_by_role("row", name="val/acc, max")
    expect(best.locator(".worse")).to_have_count(1)
    expect(best).to_contain_text("step 36")
    expect(table.get_by_role("row", name="train/loss, min").locator(".better")).to_have_count(1)
    table.get_by_role("radio").nth(1).check()
    expect(table.get_by_role("row", name=re.compile("^lr"))).to_contain_text("\N{MINUS SIGN}50 %")
    expect(best.locator(".better")).to_have_count(1)
    page.get_by_label("only differences").uncheck()
    expect(table.get_by_role("row", name=re.compile("^seed"))).to_contain_text("3")
    page.reload()
    expect(table.get_by_role("radio").nth(1)).to_be_checked()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_other_pages_can_be_used_by_everybody(
    sweep: EmbeddedServer, open_window: Callable[..., Window], width: int, dark: bool
) -> None:
    """What axe finds nothing serious in, and what does not need to be scrolled sideways."""
    page = open_window(width, 844, dark=dark).page
    sign_in(page, sweep.url, f"/experiments/{RUNS[0]}?tab=overview")
    expect(page.get_by_role("region", name="Attempts")).to_be_visible()
    axe = (PROJECT / "dashboard/node_modules/axe-core/axe.min.js").read_text()
    for path in (
        f"/experiments/{RUNS[0]}?tab=overview",
        f"/experiments/{RUNS[0]}?tab=console",
        f"/diff?e={RUNS[0]}&e={RUNS[1]}",
    ):
        page.goto(f"{sweep.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (path, each["id"], each["nodes"][0]["html"][:200])
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == []


def requests_of_a_minute(page: Page) -> list[str]:
    """What a page asks for in a minute of its clock, after it has come to rest."""
    asked: list[str] = []
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(60):
        page.clock.run_for(1000)
        page.wait_for_load_state("networkidle")
    return asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [f"/experiments/{RUNS[1]}", f"/diff?{'&'.join(f'e={each}' for each in RUNS)}"]
)
def test_a_page_on_which_nothing_happens_asks_little(
    sweep: EmbeddedServer, open_window: Callable[..., Window], path: str
) -> None:
    """Nor does it look again and again for what comes into sight: that would be work for each frame."""
    page = open_window().page
    page.clock.install()
    page.add_init_script(COUNT_LOOKS)
    sign_in(page, sweep.url, path)
    expect(page.locator("h1")).to_contain_text(re.compile("run"))
    page.clock.run_for(5000)
    page.wait_for_load_state("networkidle")
    looks = page.evaluate("window.looks")
    asked = requests_of_a_minute(page)
    assert 1 <= len(asked) <= 40, asked
    assert page.evaluate("window.looks") - looks <= 10


@pytest.mark.slow
def test_an_address_that_is_not_there_is_a_page(sweep: EmbeddedServer, window: Window) -> None:
    window.expected = ["404"]
    answer: Any = window.page.goto(f"{sweep.url}/nowhere/at/all")
    assert answer.status == 404
    expect(window.page.get_by_text("There is no such page")).to_be_visible()
    window.page.get_by_role("link", name="All experiments").click()
    expect(window.page.get_by_text("run-10").first).to_be_visible()


@pytest.mark.slow
def test_a_note_is_written_where_the_run_lies(open_window: Callable[..., Window], tmp_path: Path) -> None:
    """In `ml-dash ui`, whose person may write."""
    with Experiment("alice/p/here", dash_root=str(tmp_path), echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        page = window.page
        page.goto(ui.address())
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()  # signed in
        page.goto(f"{page.evaluate('location.origin')}/experiments/alice/p/here?tab=overview")
        page.get_by_role("button", name="Write a note").click()
        page.get_by_label("Note in Markdown").fill(NOTE)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("region", name="Note").locator("strong")).to_have_text("warmup")
        page.get_by_role("button", name="Write a readme").click()
        page.get_by_label("Readme in Markdown").fill("# Here")
        page.get_by_role("region", name="Readme").get_by_role("button", name="Save").click()
        expect(page.get_by_role("region", name="Readme").get_by_role("heading", name="Here")).to_be_visible()
    finally:
        assert ui.stop() == 0
    here = Experiment("alice/p/here", dash_root=str(tmp_path), echo=False)
    assert (here.note(), here.describe()) == (NOTE, "# Here")
