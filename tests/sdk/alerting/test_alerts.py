"""Alerts as a script logs and reads them: levels, `wait`, kills, servers, and the commands."""

from __future__ import annotations

import json
import signal
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, InvalidArgumentError, NotStartedError
from ml_dash.sdk.alerting import alerts
from ml_dash.server.runner import EmbeddedServer
from tests.support.one_server import server
from tests.support.scripts import python
from tests.support.shell import invoke

__all__ = ["server"]


def rows(exp: Experiment, **asked: Any) -> list[tuple[Any, ...]]:
    return [(each["level"], each["title"], each["text"]) for each in exp.alerts.read(**asked)["data"]]


@pytest.mark.parametrize(
    ("given", "stored"), [("info", "info"), ("WARN", "warning"), ("Warning", "warning"), ("ERROR", "error")]
)
def test_levels_are_taken_in_any_case(given: str, stored: str, exp: Experiment) -> None:
    assert exp.alert("slow", "x", given) is True
    assert rows(exp) == [(stored, "slow", "x")]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda exp: exp.alert(""), "no title"),
        (lambda exp: exp.alert(3), "title=3"),
        (lambda exp: exp.alert("a", level="fatal"), "'fatal'"),
        (lambda exp: exp.alert("a", level=None), "info, warning, error"),
        (lambda exp: exp.alert("a", wait=-1), "wait=-1"),
        (lambda exp: exp.alert("a", wait=float("nan")), "wait=nan"),
        (lambda exp: exp.alert("a", wait="a minute"), "'a minute'"),
        (lambda exp: exp.alerts.read(level="fatal"), "'fatal'"),
        (lambda exp: exp.alert("a", cc="bob"), "exp.alert("),
        (lambda exp: exp.alerts("a"), "exp.alert("),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_value_and_logs_nothing(
    call: Any, said: str, exp: Experiment
) -> None:
    with pytest.raises((InvalidArgumentError, TypeError)) as caught:
        call(exp)
    assert said in str(caught.value)
    assert exp.status().logged == 0


def test_any_text_is_stored(exp: Experiment) -> None:
    """What is no text is stored as one; lone surrogates and line breaks stay."""
    exp.alert("a", None)  # type: ignore[arg-type]
    exp.alert("b\ud800", {"step": 3})  # type: ignore[arg-type]
    exp.alert("c", "one\ntwo")
    assert [text for _, _, text in rows(exp)] == ["None", "{'step': 3}", "one\ntwo"]


def test_a_title_is_logged_once_in_its_time_and_tells_how_many_were_held_back(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns)
    monkeypatch.setattr(alerts, "time", clock)
    assert [exp.alert("slow", str(step)) for step in range(1000)] == [True] + [False] * 999
    assert exp.alert("other") is True, "another title has a time of its own"
    now[0] += 60
    assert exp.alert("slow", "again", wait=timedelta(minutes=1)) is True
    assert exp.alert("slow", "at once", wait=0) is True
    held = [(each["title"], each["text"], each["held"]) for each in exp.alerts.read()["data"]]
    assert held == [("slow", "0", 0), ("other", "", 0), ("slow", "again", 999), ("slow", "at once", 0)]
    assert exp.status().logged == 4, "what is held back is no row"


def test_titles_that_all_differ_take_bounded_memory(exp: Experiment) -> None:
    for step in range(3000):
        exp.alert(f"slow at {step}")
    assert len(exp._alerts._titles) == alerts._TITLES
    assert exp.alerts.read(limit=0)["total"] == 3000


def test_alerts_are_searched_and_read_in_pages(exp: Experiment) -> None:
    for number in range(5):
        exp.alert(f"Loss {number}", "NaN" if number % 2 else "fine", "error" if number % 2 else "info")
    assert [title for _, title, _ in rows(exp, search="nan")] == ["Loss 1", "Loss 3"]
    assert [title for _, title, _ in rows(exp, level="WARN")] == []
    page = exp.alerts.read(level="info", start_index=1, limit=1)
    assert (page["data"][0]["title"], page["hasMore"], page["endIndex"]) == ("Loss 2", True, 2)


def test_an_alert_needs_an_open_run(root: str) -> None:
    exp = Experiment("alice/proj/closed", dash_root=root)
    with pytest.raises(NotStartedError):
        exp.alert("slow")
    with exp.run:
        assert exp.alert("slow") is True, "what was refused has not taken the title's time"


@pytest.mark.slow
def test_a_kill_loses_no_alert_and_the_server_gets_each_once(tmp_path: Path, server: EmbeddedServer) -> None:
    """A process that is killed right behind the call; two syncs."""
    environment = {"ML_DASH_TOKEN": server.admin_token, "ML_DASH_CONFIG_DIR": str(tmp_path / "config")}
    script = """
        import os, signal
        from ml_dash import Experiment
        exp = Experiment("alice/vision/killed", dash_root="root", capture=False).run.start()
        for number in range(3):
            exp.alert(f"title {number}", "text", level="warning")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    python(script, tmp_path, status=-signal.SIGKILL, **environment)
    root = str(tmp_path / "root")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        here = ml_dash.open("alice/vision/killed", root)
        assert len(rows(here)) == 3
        for _ in range(2):
            assert invoke("sync", root, "--to", server.url).code == 0
        there = ml_dash.open("alice/vision/killed", server.url)
        assert rows(here) == rows(there) == [("warning", f"title {number}", "text") for number in range(3)]
        told = [
            invoke("alerts", "alice/vision/killed", *where, *more).out
            for where in (("--root", root), ("--url", server.url))
            for more in (("--json",), (), ("--search", "TITLE 1", "-n", "1"))
        ]
        shown = invoke("show", "alice/vision/killed", "--url", server.url, "--json").out
    assert told[:3] == told[3:]
    assert json.loads(told[0])["total"] == 3
    assert [each["title"] for each in json.loads(told[0])["alerts"]] == ["title 0", "title 1", "title 2"]
    assert "title 2" in told[1]
    assert "title 1" in told[2]
    assert "title 2" not in told[2]
    assert json.loads(shown)["alerts"]["count"] == 3


def test_commands_show_alerts_and_obey_nothing_in_them(root: str) -> None:
    with Experiment("alice/proj/told", dash_root=root, echo=False, capture=False).run as exp:
        exp.alert("\x1b[2Jclear", "a\nb", "error")
        exp.alert("fine", wait=0)
    for words in (("show",), ("tail", "-n", "5"), ("alerts",), ("tail", "--logs")):
        told = invoke(words[0], "alice/proj/told", *words[1:], "--root", root)
        assert told.code == 0
        assert "\x1b" not in told.out
        assert "clear" in told.out
        assert "fine" in told.out
    assert invoke("alerts", "alice/proj/told", "--level", "warning", "--root", root).err == "no alerts\n"
    wrong = invoke("alerts", "alice/proj/told", "--level", "loud", "--root", root)
    assert (wrong.code, "info, warning, error" in wrong.err) == (2, True)


def test_an_alert_is_echoed_unless_it_is_held_back(root: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Experiment("alice/proj/loud", dash_root=root, echo=True, capture=False).run as exp:
        exp.alert("slow", "3 s a step", "warning")
        exp.alert("slow", "4 s a step", "warning")
        exp.alert("broken", level="error")
    out, err = capfd.readouterr()
    assert "[alert: warning] slow: 3 s a step" in out
    assert "4 s" not in out
    assert "[alert: error] broken\n" in err
