"""`ml-dash rule`: made, listed, changed, tested and removed at a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ml_dash.cli.app import app
from ml_dash.client.api import Client
from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import MSGPACK
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


@pytest.fixture
def made(server: EmbeddedServer, hook: Receiver) -> str:
    """A rule of alice's, told again after an hour."""
    words = ("alice/vision/**", "--above", "val/loss=3", "--rearm", "60", "--name", "loss")
    return rule("add", *words, "--webhook", hook.url).out.strip()


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("words", "news"),
    [
        (("--above", "val/loss=5"), {"bound": 5}),
        (("--filter", "alice/nlp/**"), {"filter": "alice/nlp/**"}),
        (("--filter", ""), {"filter": ""}),
        (("--name", "explodes", "--rearm", "5"), {"name": "explodes", "rearmMinutes": 5}),
        (("--once",), {"rearmMinutes": None}),
        (("--nan", ""), {"when": "nonfinite", "metric": None, "bound": None}),
        (("--failed",), {"when": "failed", "metric": None, "bound": None, "rearmMinutes": None}),
        (("--alert", "error", "--filter", ""), {"when": "alert", "level": "error", "filter": ""}),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_what_is_given_changes_and_all_else_stays(
    words: tuple[str, ...], news: dict[str, object], made: str, hook: Receiver
) -> None:
    (before,) = json.loads(rule("ls", "--json").out)
    done = rule("change", made, *words, "--json")
    assert done.code == 0, done
    told = json.loads(done.out)
    assert (told["meant"], told["failed"]) == ([made], [])
    (changed,) = told["done"]
    of_value = {"metric": None, "bound": None, "rearmMinutes": None} if news.get("when") == "alert" else {}
    new = {
        **of_value,
        **news,
        "version": 2,
        "changedAt": changed["changedAt"],
        "changedBy": changed["changedBy"],
    }
    assert changed == {**before, **new}
    assert json.loads(rule("ls", "--json").out) == [changed]
    assert rule("test", made).out == f"{made}: delivered\n", "it tells whom it told before"


def test_rules_tell_another_place_from_now_on(server: EmbeddedServer, made: str, hook: Receiver) -> None:
    """Several at once, with the URL and the secret by standard input."""
    other = rule("add", "--failed", "--webhook", "https://127.0.0.1:9/x", "--owner", "bob").out.strip()
    words = ["rule", "change", made, other, "--webhook", "-", "--secret", "-", "--url", server.url]
    done = CliRunner().invoke(app, words, input=f"{hook.url}\ns3cret-s3cret\n")
    assert (done.exit_code, done.stdout) == (0, f"{made}: changed\n{other}: changed\n")
    for id_ in (made, other):
        assert rule("test", id_).code == 0
        assert hook.got[-1].is_signed("s3cret-s3cret")


def test_of_two_who_change_a_rule_the_second_is_told_and_nothing_is_lost(made: str) -> None:
    assert rule("change", made, "--name", "theirs", "--above", "val/loss=4", "--if-version", "1").code == 0
    late = rule("change", made, "--name", "mine", "--if-version", "1")
    assert (late.code, late.out) == (1, "")
    for said in ("changed by", "'theirs'", "val/loss > 4", "version 2", "Nothing was changed"):
        assert said in late.err
    told = json.loads(rule("change", made, "--name", "mine", "--if-version", "1", "--json").out)
    assert (told["meant"], told["done"], [each["id"] for each in told["failed"]]) == ([made], [], [made])
    (now,) = json.loads(rule("ls", "--json").out)
    assert (now["name"], now["bound"], now["version"]) == ("theirs", 4, 2)
    assert rule("change", made, "--name", "mine", "--if-version", "2").out == f"{made}: changed\n"
    (now,) = json.loads(rule("ls", "--json").out)
    assert (now["name"], now["bound"]) == ("mine", 4)


def test_one_who_comes_between_is_not_written_over(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what a rule is and the change of it, without any version being named."""
    real = Client.put_value

    async def put_value(self: Client, path: str, body: bytes, *more: Any, **headers: Any) -> Any:
        monkeypatch.setattr(Client, "put_value", real)
        theirs = {"name": "theirs", "when": "failed"}
        await self.put_value(path, to_msgpack(theirs), MSGPACK)
        return await real(self, path, body, *more, **headers)

    monkeypatch.setattr(Client, "put_value", put_value)
    late = rule("change", made, "--above", "val/loss=5")
    assert (late.code, "'theirs' now, waits for failed" in late.err) == (1, True)
    (now,) = json.loads(rule("ls", "--json").out)
    assert (now["name"], now["when"]) == ("theirs", "failed")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rul_1",), 2, "nothing is to be changed"),
        (("rul_1", "--once", "--rearm", "5"), 2, "give one of them"),
        (("rul_1", "--secret", "-"), 2, "--webhook"),
        (("rul_1", "--failed", "--nan", ""), 2, "and not 2"),
        (("rul_1", "--mail", "a@b.org", "--slack", "https://x.org"), 2, "and not 2"),
        (("rul_1", "rul_2", "--once", "--if-version", "1"), 2, "one by one"),
    ],
)
def test_a_change_that_makes_no_sense_is_told_at_once(words: tuple[str, ...], code: int, said: str) -> None:
    done = rule("change", *words)
    assert (done.code, said in done.err) == (code, True), done


def test_a_change_that_the_server_refuses_changes_nothing(made: str) -> None:
    before = rule("ls", "--json").out
    for words, said in (
        (("--filter", "lr <"), "needs a value"),
        (("--failed", "--rearm", "5"), "not for 'failed'"),
        (("--webhook", "https://10.0.0.1/x"), "--allow-alerts-to 10.0.0.1"),
    ):
        done = rule("change", made, *words)
        assert (done.code, said in done.err) == (1, True), done
    unknown = rule("change", "rul_00000000000000000000", "--once")
    assert (unknown.code, "`ml-dash rule ls`" in unknown.err) == (1, True)
    assert rule("ls", "--json").out == before


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
