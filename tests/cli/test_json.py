"""`--json` of every command: it is there, parses, and has the keys that docs/cli.md promises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ml_dash import Experiment
from ml_dash.cli.app import commands, load
from ml_dash.server.runner import EmbeddedServer
from tests.support.cli_experiments import make
from tests.support.project import PROJECT
from tests.support.receiving import Receiver, receiving
from tests.support.seen import TOKEN
from tests.support.shell import Finished, invoke

RUN, OTHER, LIVE, GONE = "alice/p/run", "alice/p/other", "alice/p/live", "alice/p/gone"

EXCEPTIONS = {
    "ui": "serves pages until it is ended",
    "mcp": "speaks a protocol of its own on standard output",
    "completion": "prints a script for a shell",
    "login": "asks people",
    "logout": "asks people, where several tokens are meant",
    "server": "serves, or makes and ends tokens, which are shown once, to people",
}
"""The commands that have no `--json`, and why."""

LINES = {
    "ls": "ls ROOT",
    "show": "show RUN --root ROOT",
    "tail": "tail RUN --root ROOT",
    "export": "export RUN --root ROOT",
    "export -o": "export RUN -o OUT/rows.csv --root ROOT",
    "files": "files RUN --root ROOT",
    "alerts": "alerts RUN --root ROOT",
    "download": "download RUN -o OUT --root ROOT",
    "upload": "upload RUN FILE --root ROOT",
    "rm": "rm RUN --root ROOT",
    "restore": "restore GONE --root ROOT",
    "trash": "trash --root ROOT",
    "trash --empty": "trash --empty --yes --root ROOT",
    "mv": "mv RUN alice/p/moved --root ROOT",
    "tag": "tag RUN --add best --root ROOT",
    "note": "note RUN -m good --root ROOT",
    "readme": "readme RUN -m good --root ROOT",
    "stop": "stop LIVE --root ROOT",
    "diff": "diff RUN OTHER --root ROOT",
    "best": "best RUN val/acc --root ROOT",
    "import": "import csv FILE --root OUT/imported",
    "verify": "verify RUN --root ROOT",
    "sync": "sync ROOT --to URL",
    "rule add": "rule add --failed --webhook HOOK --url URL",
    "rule ls": "rule ls --url URL",
    "rule change": "rule change RULE --name other --url URL",
    "rule test": "rule test RULE --url URL",
    "rule rm": "rule rm RULE --url URL",
    "whoami": "whoami URL",
}
"""A command line for each row of the table in docs/cli.md."""


def documented() -> dict[str, tuple[str, str]]:
    """What each command prints, and its keys, as docs/cli.md has them."""
    section = (PROJECT / "docs/cli.md").read_text(encoding="utf-8").split("\n## JSON\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return {name: (prints, keys) for name, prints, keys in rows}


def without_groups(keys: str) -> str:
    return re.sub(r"\([^)]*\)", "", keys)


def check_keys(value: dict[str, Any], keys: str) -> None:
    """Hold that an object has the keys, no others unless the keys end with ``…``, and its parts have theirs."""
    names = set(re.findall(r"`([^`]+)`", without_groups(keys)))
    assert names
    assert names <= set(value) if "…" in keys else names == set(value), (names ^ set(value), value)
    for part, inner in re.findall(r"`(done|failed)` \(([^)]*)\)", keys):
        for each in value[part]:
            check_keys(each, inner)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    data = tmp_path_factory.mktemp("server")
    with EmbeddedServer(data=data, admin_token=TOKEN, alerts_allowed=("127.0.0.1",)) as running:
        yield running


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a root in it, of which one experiment was deleted, and a file."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    Path("file.csv").write_text("step,loss\n1,0.5\n2,0.25\n", encoding="utf-8")

    def script(exp: Experiment) -> None:
        exp.params.set(lr=0.1)
        exp.metrics("val").log(step=1, acc=float("nan"))
        exp.metrics("val").log(step=2, acc=0.5)
        exp.log("begun", level="info", device="cpu")
        exp.alert("look", "at this")
        exp.files("out").save_text("text", to="a.txt")

    for prefix in (RUN, OTHER, GONE):
        make(tmp_path / "root", prefix, script)
    assert invoke("rm", GONE, "--root", "root").code == 0
    return tmp_path


@pytest.fixture
def live(here: Path) -> Iterator[str]:
    """An experiment that runs."""
    with Experiment(LIVE, dash_root=str(here / "root"), echo=False, capture=False).run as exp:
        exp.flush()
        yield LIVE


def leaves() -> Iterator[tuple[str, click.Command]]:
    """All commands, those below others by both names; those for formats of an import by the one above."""
    for name in commands():
        command = load(name)
        below = getattr(command, "commands", None)
        if below is None or name in EXCEPTIONS:
            yield name, command
        else:
            yield from ((name if name == "import" else f"{name} {each}", below[each]) for each in below)


def test_every_command_has_json_or_a_reason_and_is_documented() -> None:
    table = documented()
    assert set(table) == set(LINES)
    for name, command in leaves():
        has = any("--json" in parameter.opts for parameter in command.params)
        if name in EXCEPTIONS:
            assert not has
            assert name not in table
        else:
            assert has, f"{name} has no --json, and no reason for that"
            assert name in table


@pytest.mark.parametrize("name", LINES)
def test_what_is_printed_has_the_documented_keys(
    name: str, here: Path, request: pytest.FixtureRequest
) -> None:
    known = {"RUN": RUN, "OTHER": OTHER, "GONE": GONE, "ROOT": "root", "FILE": "file.csv"}
    line = LINES[name]
    if "LIVE" in line:
        known["LIVE"] = request.getfixturevalue("live")
    if "URL" in line:
        known["URL"] = request.getfixturevalue("server").url
    if "HOOK" in line or "RULE" in line:
        known["HOOK"] = request.getfixturevalue("hook").url
    if "RULE" in line or name == "rule ls":
        known.setdefault("HOOK", "https://hooks.example.org/x")
        made = invoke("rule", "add", "--failed", "--webhook", known["HOOK"], "--url", known["URL"])
        known["RULE"] = made.out.strip()
    words = [known.get(word, word.replace("OUT", "out")) for word in line.split()]
    Path("out").mkdir()
    done = invoke(*words, "--json")
    assert done.code == 0, done
    prints, keys = documented()[name]
    if prints.startswith("an object a line"):
        found = [json.loads(each) for each in done.out.splitlines()]
    else:
        value = json.loads(done.out)
        assert isinstance(value, list) == prints.startswith("a list")
        found = value if isinstance(value, list) else [value]
        assert "failed" not in value or value["failed"] == []
        assert "done" not in value or value["done"], "nothing was done, and no key of it was looked at"
    assert found
    for each in found:
        check_keys(each, keys.replace("and the fields", "…"))


def told(done: Finished) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(done.out)
    return value


def test_what_cannot_be_done_is_told_with_its_reason_and_the_exit_code_stays(here: Path, live: str) -> None:
    plain = invoke("rm", live, "--root", "root")
    alone = invoke("rm", live, "--root", "root", "--json")
    assert (alone.code, alone.err) == (plain.code, plain.err)
    assert plain.code == 1
    (failed,) = told(alone)["failed"]
    assert failed["prefix"] == live
    assert failed["reason"] in alone.err

    some = invoke("rm", live, RUN, "--yes", "--root", "root", "--json")
    assert some.code == 1
    value = told(some)
    assert value["meant"] == [live, RUN]
    assert [each["prefix"] for each in value["done"]] == [RUN]
    assert value["failed"] == [failed]


def test_what_is_only_tried_says_what_is_meant(here: Path) -> None:
    done = invoke("tag", "alice/p/*", "--add", "x", "--dry-run", "--json", "--root", "root")
    assert told(done) == {"meant": [OTHER, RUN], "done": [], "failed": []}
    assert done.err.endswith("nothing was done (--dry-run)\n")
    refused = invoke("tag", "alice/p/*", "--add", "x", "--json", "--root", "root")
    assert (refused.code, refused.out) == (2, "")


def test_a_download_tells_what_was_there_and_what_is_in_the_way(here: Path) -> None:
    words = ["download", RUN, "-o", "out", "--root", "root", "--json"]
    (first,) = told(invoke(*words))["done"]
    assert not first["alreadyThere"]
    assert Path(first["path"]).read_text(encoding="utf-8") == "text"
    (again,) = told(invoke(*words))["done"]
    assert again == {**first, "alreadyThere": True}
    Path(first["path"]).write_text("mine", encoding="utf-8")
    differs = invoke(*words)
    assert differs.code == 1
    (failed,) = told(differs)["failed"]
    check_keys(failed, "`name`, `id`, `reason`")
    both = invoke("download", RUN, "-o", "-", "--root", "root", "--json")
    assert (both.code, both.out) == (2, "")


def test_an_export_of_whole_experiments_tells_what_it_wrote(here: Path) -> None:
    pytest.importorskip("pyarrow")
    done = invoke("export", "alice/p/*", "-F", "parquet", "-o", "out", "--root", "root", "--json")
    value = told(done)
    check_keys(value, documented()["export -o"][1])
    assert value["rows"]["experiments"] == 2
    assert [each["prefix"] for each in value["done"]] == [OTHER, RUN]
    mixed = invoke("export", RUN, "-F", "csv", "--root", "root", "--json")
    assert (mixed.code, mixed.out) == (2, "")
    assert "--json writes JSON lines" in mixed.err


def test_an_import_tells_problems_and_what_is_known(here: Path) -> None:
    words = ["import", "jsonl", "rows.jsonl", "--root", "imported", "--json"]
    Path("rows.jsonl").write_text('{"loss": 1}\n{broken\n{"loss": 2}\n', encoding="utf-8")
    first = invoke(*words)
    assert first.code == 1
    (run,) = told(first)["done"]
    assert run["rows"] == 2
    assert len(run["problems"]) == 1
    (again,) = told(invoke(*words))["done"]
    assert again["rows"] == 0


def test_tail_has_rows_as_they_were_logged_and_goes_on_until_the_run_has_ended(here: Path) -> None:
    done = invoke("tail", RUN, "-f", "--root", "root", "--json")
    assert done.code == 0
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["kind"] for row in rows] == ["metric", "metric", "log", "alert"]
    assert (rows[1]["name"], rows[1]["fields"]["acc"]) == ("val", 0.5)
    assert rows[0]["fields"]["acc"] != rows[0]["fields"]["acc"]
    assert rows[2]["fields"]["message"] == "begun"


def test_what_could_not_be_sent_is_told(here: Path) -> None:
    done = invoke("sync", "root", "--to", "http://127.0.0.1:9", "--patience", "0", "--json")
    assert done.code == 1
    value = told(done)
    check_keys(value, "`done`, `failed`, `local`, `allRead`")
    assert value["done"] == []
    assert {each["prefix"] for each in value["failed"]} == {RUN, OTHER}
    assert all(each["reason"] for each in value["failed"])


def test_a_rule_that_there_is_not_is_told(here: Path, server: EmbeddedServer) -> None:
    unknown = "rul_00000000000000000000"
    done = invoke("rule", "rm", unknown, "--url", server.url, "--json")
    assert done.code == 1
    value = told(done)
    assert (value["meant"], value["done"]) == ([unknown], [])
    check_keys(value["failed"][0], "`id`, `reason`")
