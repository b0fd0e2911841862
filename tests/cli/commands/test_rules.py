"""`ml-dash rule`: made, listed, tested and removed at a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml_dash.cli.app import app
from ml_dash.server.runner import EmbeddedServer
from tests.support.receiving import Receiver, receiving
from tests.support.seen import TOKEN
from tests.support.shell import Finished, invoke


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    with EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN, alerts_allowed=("127.0.0.1",)) as running:
        monkeypatch.setenv("ML_DASH_API_URL", running.url)
        yield running


def rule(*words: str) -> Finished:
    return invoke("rule", *words)


def test_a_rule_is_made_listed_tested_and_removed(server: EmbeddedServer, hook: Receiver) -> None:
    """The URL and the secret by standard input, and the owner by the filter."""
    assert rule("ls").err == "no rules: `ml-dash rule add` makes one\n"
    words = [
        "rule",
        "add",
        "alice/vision/** tag:sweep",
        "--above",
        "val/loss=3",
        "--rearm",
        "60",
        "--webhook",
        "-",
    ]
    typed = f"{hook.url}\ns3cret-s3cret\n"
    made = CliRunner().invoke(app, [*words, "--secret", "-", "--url", server.url], input=typed)
    assert made.exit_code == 0, made.output
    id_ = made.stdout.strip()
    assert f"ml-dash rule test {id_}" in made.stderr
    (found,) = json.loads(rule("ls", "--json").out)
    assert (found["id"], found["owner"], found["filter"]) == (id_, "alice", "alice/vision/** tag:sweep")
    assert (found["when"], found["metric"], found["bound"], found["rearmMinutes"]) == (
        "above",
        "val/loss",
        3,
        60,
    )
    listed = rule("ls").out
    assert "val/loss > 3" in listed
    assert "of-alice" not in listed
    assert rule("test", id_).out == f"{id_}: delivered\n"
    assert hook.got[0].is_signed("s3cret-s3cret")
    hook.answer = lambda _: (500, {})
    failed = rule("test", id_)
    assert (failed.code, failed.out) == (1, f"{id_}: not delivered: it answers by 500\n")
    assert rule("rm", id_).out == f"{id_}: removed\n"
    gone = rule("rm", id_)
    assert (gone.code, "does not exist" in gone.err) == (1, True)


@pytest.mark.sample(6)
@pytest.mark.parametrize(
    ("words", "when"),
    [
        (("--failed",), {"when": "failed"}),
        (("--silent", "15"), {"when": "silent", "minutes": 15}),
        (("--below", "acc=-1e3"), {"when": "below", "metric": "acc", "bound": -1000}),
        (("--nan", ""), {"when": "nonfinite", "metric": None}),
        (("--nan", "train/loss"), {"when": "nonfinite", "metric": "train/loss"}),
        (("--alert", "warning"), {"when": "alert", "level": "warning"}),
    ],
)
def test_each_thing_can_be_waited_for(
    words: tuple[str, ...], when: dict[str, object], server: EmbeddedServer, hook: Receiver
) -> None:
    made = rule("add", *words, "--webhook", hook.url, "--owner", "bob", "--name", "mine", "--json")
    assert made.code == 0, made
    told = json.loads(made.out)
    assert {name: told[name] for name in when} == when
    assert (told["owner"], told["name"]) == ("bob", "mine")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "waits for one thing"),
        (("--failed", "--silent", "5"), "and not 2"),
        (("--failed",), "tells one place"),
        (("--failed", "--webhook", "https://x.org", "--mail", "a@b.org"), "and not 2"),
        (("--above", "loss", "--mail", "a@b.org"), "--above 'loss'"),
        (("--above", "loss=x", "--mail", "a@b.org"), "val/loss=3"),
        (("--failed", "--webhook", "https://x.org", "--secret", "s3cret-s3cret"), "standard input"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told_at_once(words: tuple[str, ...], said: str) -> None:
    done = rule("add", *words)
    assert done.code == 2
    assert said in done.err
    assert "s3cret" not in done.err


def test_what_the_server_refuses_is_told(server: EmbeddedServer) -> None:
    for words, said in (
        (("lr <", "--failed", "--webhook", "https://127.0.0.1/x"), "needs a value"),
        (("--failed", "--mail", "a@b.org"), "--smtp"),
        (("--failed", "--webhook", "https://10.0.0.1/x"), "--allow-alerts-to 10.0.0.1"),
        (("--silent", "0", "--webhook", "https://127.0.0.1/x"), "minutes=0"),
    ):
        done = rule("add", *words)
        assert done.code == 1, done
        assert said in done.err
