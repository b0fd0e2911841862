"""The rules of alerts on the pages: seen, made, changed, tried and deleted by whoever may write."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.browser.seeing import barriers
from tests.browser.ui import Ui
from tests.browser.window import Window, sign_in
from tests.support.receiving import Receiver, receiving
from tests.support.seen import TOKEN

FOLDER = "/rules?folder=alice/vision"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server whose rules may tell somebody on this machine."""
    data = tmp_path_factory.mktemp("server")
    with EmbeddedServer(data=data, admin_token=TOKEN, alerts_allowed=("127.0.0.1",)) as running:
        yield running


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def ask(server: EmbeddedServer, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{server.url}/api/v1/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_a_rule_is_made_tried_changed_and_deleted(
    server: EmbeddedServer, open_window: Callable[..., Window], hook: Receiver
) -> None:
    window = open_window()
    window.expected = ["400", "412"]
    page = window.page
    to = {"kind": "webhook", "url": hook.url}
    ask(
        server,
        "POST",
        "rules",
        {"owner": "alice", "name": "of nlp", "when": "failed", "to": to, "filter": "alice/nlp/**"},
    )
    sign_in(page, server.url, FOLDER)
    expect(page.get_by_role("status").first).to_contain_text("No rule may fire in this folder")
    page.get_by_role("button", name="New rule").click()
    form = page.get_by_role("dialog", name="New rule")
    expect(form.get_by_label("In which runs")).to_have_value("alice/vision/**")

    # what is wrong stands at its field: what the page sees by itself, and what the server says
    form.get_by_label("When").select_option("above")
    form.get_by_role("button", name="Make the rule").click()
    value = form.get_by_label("Value")
    expect(value).to_have_attribute("aria-invalid", "true")
    expect(value).to_be_focused()
    value.fill("val/loss")
    form.get_by_label("Above").fill("3")
    form.get_by_label("In which runs").fill("alice/vision/** lr <")
    form.get_by_label("URL").fill("https://10.1.2.3/x")
    form.get_by_role("button", name="Make the rule").click()
    expect(form.locator(".rule-wrong")).to_contain_text("no address of the internet")
    form.get_by_label("URL").fill(hook.url)
    form.get_by_role("button", name="Make the rule").click()
    expect(form.locator(".rule-wrong")).to_contain_text("needs a value")
    form.get_by_label("In which runs").fill("alice/vision/**")
    form.get_by_label("Secret").fill("s3cret-s3cret")
    form.get_by_role("button", name="Make the rule").click()

    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="val/loss > 3"))
    expect(card).to_contain_text(f"webhook http://127.0.0.1:{hook.port}/…, signed")
    expect(card).to_contain_text("not yet")
    assert hook.url not in page.content()
    card.get_by_role("button", name="Send a test").click()
    expect(card.get_by_role("status")).to_have_text("The test has arrived.")
    assert hook.got[0].is_signed("s3cret-s3cret")
    hook.answer = lambda _: (500, {})
    card.get_by_role("button", name="Send a test").click()
    expect(card.get_by_role("alert")).to_contain_text("it answers by 500")

    # somebody else changes it at once: told, and nothing is lost
    card.get_by_role("button", name="Change").click()
    form = page.get_by_role("dialog", name="Change a rule")
    form.get_by_label("Above").fill("5")
    form.get_by_label("Name").fill("explodes")
    (made,) = ask(server, "GET", "rules?folder=alice/vision")["data"]
    theirs = {"name": "theirs", "when": "above", "metric": "val/loss", "bound": 4}
    ask(server, "PUT", f"rules/{made['id']}", theirs)
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("It is called theirs now, waits for val/loss > 4")
    form.get_by_role("button", name="Save").click()
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="explodes"))
    expect(card).to_contain_text("val/loss > 5")
    expect(card).to_contain_text("signed")
    (changed,) = ask(server, "GET", "rules?folder=alice/vision")["data"]
    assert (changed["bound"], changed["version"]) == (5, 3)

    page.get_by_role("link", name="1 other rule of alice").click()
    expect(page.get_by_role("heading", name="of nlp")).to_be_visible()
    page.get_by_role("button", name="Delete explodes").click()
    page.get_by_role("button", name="Delete the rule").click()
    expect(page.get_by_role("heading", name="explodes")).to_have_count(0)
    assert [each["name"] for each in ask(server, "GET", "rules")["data"]] == ["of nlp"]


def test_a_form_that_is_closed_loses_nothing_that_was_typed_but_secrets(
    server: EmbeddedServer, open_window: Callable[..., Window]
) -> None:
    page = open_window().page
    to = {"kind": "webhook", "url": "https://127.0.0.1/x"}
    terms = {"owner": "alice", "name": "of vision", "when": "failed", "filter": "alice/vision/**"}
    ask(server, "POST", "rules", {**terms, "to": to})
    sign_in(page, server.url, FOLDER)

    def form_of(button: str, title: str) -> Locator:
        page.get_by_role("button", name=button).click()
        return page.get_by_role("dialog", name=title)

    form = form_of("New rule", "New rule")
    page.mouse.click(5, 5)  # nothing was typed
    expect(form).to_have_count(0)
    form_of("New rule", "New rule").get_by_label("Name").fill("mine")
    form.get_by_label("URL").fill("https://127.0.0.1/secret-path")
    form.get_by_label("Secret").fill("s3cret-s3cret")
    page.mouse.click(5, 5)
    expect(form.get_by_label("Secret")).to_have_value("s3cret-s3cret")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    kept = page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    assert "mine" in kept
    assert "secret-path" not in kept
    assert "s3cret" not in kept

    # another form has nothing of it, and one of what is another rule by now nothing at all
    form = form_of("Change", "Change a rule")
    expect(form.get_by_label("Name")).to_have_value("of vision")
    form.get_by_label("Name").fill("renamed")
    page.keyboard.press("Escape")
    expect(form_of("Change", "Change a rule").get_by_label("Name")).to_have_value("renamed")
    page.keyboard.press("Escape")
    (made,) = ask(server, "GET", "rules?folder=alice/vision")["data"]
    ask(
        server,
        "PUT",
        f"rules/{made['id']}",
        {"name": "theirs", "when": "failed", "filter": "alice/vision/**"},
    )
    page.reload()
    expect(form_of("Change", "Change a rule").get_by_label("Name")).to_have_value("theirs")
    form.get_by_role("button", name="Cancel").click()

    form = form_of("New rule", "New rule")
    expect(form.get_by_label("Name")).to_have_value("mine")
    expect(form.get_by_label("URL")).to_have_value("")
    form.get_by_role("button", name="Cancel").click()
    expect(form_of("New rule", "New rule").get_by_label("Name")).to_have_value("")


def test_metrics_of_the_folder_are_offered_by_keys_and_by_the_mouse(
    server: EmbeddedServer,
    open_window: Callable[..., Window],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Of two thousand, a few that fit."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    with Experiment(
        "carol/vision/run", dash_url=server.url, dash_root=None, echo=False, capture=False
    ).run as exp:
        exp.metrics("val").log(loss=1.0, accuracy=0.5)
        exp.metrics("grad").log({f"layer{at}": float(at) for at in range(2000)})
    assert server.store is not None
    server.store.lists.bring_in(rows=None)
    page = open_window().page
    sign_in(page, server.url, "/rules?folder=carol/vision")
    page.get_by_role("button", name="New rule").click()
    form = page.get_by_role("dialog", name="New rule")
    form.get_by_label("When").select_option("above")
    value = form.get_by_role("combobox", name="Value")
    options = form.get_by_role("option").filter(has=page.locator("code"))
    value.click()
    expect(options).to_have_count(8)
    expect(form.get_by_text("and more: type a part of the name")).to_be_visible()
    value.fill("LOSS")
    expect(options).to_have_text(["val/loss"])
    expect(form.get_by_role("status")).to_have_text("1 metric: choose by the arrow keys")
    expect(value).to_have_attribute("aria-expanded", "true")
    # away with the list, and not with the form
    value.press("Escape")
    expect(options).to_have_count(0)
    expect(form).to_be_visible()
    # what is chosen stays so when the question is answered once more
    with page.expect_response(lambda answer: "/rules/metrics" in answer.url):
        value.press("ArrowDown")
        expect(options).to_have_count(1)
        value.press("ArrowDown")
    active = value.get_attribute("aria-activedescendant")
    assert active
    expect(form.locator(f"[id='{active}']")).to_have_text("val/loss")
    expect(form.locator(f"[id='{active}']")).to_have_attribute("aria-selected", "true")
    assert barriers(page) == []
    value.press("Enter")
    expect(value).to_have_value("val/loss")
    expect(value).to_have_attribute("aria-expanded", "false")
    value.fill("layer1999")
    options.filter(has_text="grad/layer1999").click()
    expect(value).to_have_value("grad/layer1999")
    expect(value).to_be_focused()


@pytest.mark.slow
def test_who_may_only_read_is_shown_none(server: EmbeddedServer, open_window: Callable[..., Window]) -> None:
    ask(server, "POST", "experiments", {"prefix": "alice/vision/run"})
    grants = [{"owner": "alice", "scope": "read"}]
    token = ask(server, "POST", "tokens", {"name": "looks", "grants": grants})["token"]
    page = open_window().page
    page.goto(f"{server.url}{FOLDER}")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("for those who may write")).to_be_visible()
    assert page.get_by_role("button", name="New rule").count() == 0
    page.goto(f"{server.url}/p/alice/vision")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    assert page.get_by_role("link", name="Rules of alerts").count() == 0


@pytest.mark.slow
def test_of_a_root_it_is_said_what_rules_need(open_window: Callable[..., Window], tmp_path: Path) -> None:
    with Experiment("alice/p/here", dash_root=tmp_path, echo=False, capture=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(ui.address())
        page.get_by_role("link", name="Rules of alerts").click()
        expect(page).to_have_url(re.compile(r"/rules$"))
        expect(page.get_by_text("Rules live at a server")).to_be_visible()
        expect(page.locator("pre")).to_contain_text("ml-dash server")
    finally:
        assert ui.stop() == 0
