"""`ml-dash ls`."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.journal.frame import SYNC
from ml_dash.server.runner import EmbeddedServer
from tests.support.cli_experiments import make
from tests.support.seen import TOKEN
from tests.support.shell import invoke, succeed

EVERYTHING = [
    "alice/vision/failed",
    "alice/vision/first",
    "bob/nlp/cancelled",
    "bob/nlp/empty",
    "bob/nlp/killed",
]


def listed(*arguments: str | Path) -> list[str]:
    """The first column, without the title."""
    return [line.split()[0] for line in succeed("ls", *arguments).splitlines()[1:]]


def test_a_line_for_each_experiment(root: Path) -> None:
    """With status, rows, metrics, size and last activity under their titles."""
    title, *lines = succeed("ls", root).splitlines()
    assert title.split() == ["experiment", "status", "rows", "metrics", "size", "last", "activity"]
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert list(cells) == EVERYTHING
    assert cells["alice/vision/first"][:3] == ["COMPLETED", "105", "2"]
    assert cells["alice/vision/failed"][:3] == ["FAILED", "0", "0"]
    assert cells["bob/nlp/cancelled"][:3] == ["CANCELLED", "0", "0"]
    assert cells["bob/nlp/empty"] == ["NOT", "STARTED", "0", "0", "0", "B", "-"]
    assert cells["bob/nlp/killed"][:3] == ["STALE", "1", "1"]
    assert all(line.endswith(("ago", "now", "-")) for line in lines)


def test_the_root_is_dot_dash_by_default(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is in a script."""
    root.rename(tmp_path / ".dash")
    monkeypatch.chdir(tmp_path)
    assert listed() == EVERYTHING


def test_a_root_without_experiments_is_said_to_be_so(tmp_path: Path) -> None:
    """Standard output stays empty; JSON is an empty list."""
    assert invoke("ls", tmp_path) == (0, "", f"no experiments under {str(tmp_path)!r}\n")
    assert succeed("ls", tmp_path, "--json") == "[]\n"


def test_a_root_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """In one line that names it."""
    code, out, err = invoke("ls", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert "nowhere" in err
    assert err.count("\n") == 1


def test_experiments_are_chosen_by_status(root: Path) -> None:
    """By one or several."""
    assert listed(root, "--status", "completed") == ["alice/vision/first"]
    assert listed(root, "--status", "stale", "--status", "not-started") == ["bob/nlp/empty", "bob/nlp/killed"]
    done = invoke("ls", root, "--status", "running")
    assert (done.code, done.out) == (0, "")
    assert "with that status" in done.err
    assert invoke("ls", root, "--status", "sleeping").code == 2


def test_a_run_that_goes_on_is_running(root: Path) -> None:
    """Its rows are counted up to now."""
    exp = Experiment("dora/p/live", dash_root=root, echo=False)
    with exp.run:
        exp.metrics("train").log(loss=1.0)
        exp.flush()
        assert listed(root, "--status", "running") == ["dora/p/live"]
    assert invoke("ls", root, "--status", "running").out == ""


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("prefix", "alice/vision/failed"),
        ("status", "bob/nlp/cancelled"),
        ("rows", "alice/vision/first"),
        ("metrics", "alice/vision/first"),
        ("size", "alice/vision/first"),
        ("activity", "bob/nlp/killed"),
    ],
)
def test_experiments_are_sorted_by_any_column(root: Path, order: str, first: str) -> None:
    """What is largest or newest comes first; --reverse turns it round."""
    forwards = listed(root, "--sort", order)
    backwards = listed(root, "--sort", order, "--reverse")
    assert forwards[0] == first
    assert sorted(forwards) == sorted(backwards) == EVERYTHING
    assert backwards[-1] == first


def test_json_has_everything_for_programs(root: Path) -> None:
    """Numbers as numbers, times as ISO-8601 UTC."""
    records = json.loads(succeed("ls", root, "--json"))
    assert [record["prefix"] for record in records] == EVERYTHING
    first = records[1]
    assert first["status"] == "COMPLETED"
    assert not first["stale"]
    assert (first["rows"], first["metrics"]) == (105, 2)
    assert first["bytes"] == sum(path.stat().st_size for path in root.glob("alice/vision/first/journal/*"))
    assert first["startedAt"] <= first["endedAt"]
    assert first["endedAt"].endswith("Z")
    assert first["directory"] == str(root / "alice/vision/first")
    assert records[0]["error"] == "ValueError: loss is NaN"
    assert (records[4]["status"], records[4]["stale"]) == ("RUNNING", True)
    assert records[3]["status"] is None


def test_damage_is_marked(root: Path, damaged: Path) -> None:
    """That of rows too: they were read once, when the journal was listed first."""
    path = damaged / "journal" / os.listdir(damaged / "journal")[0]
    raw = bytearray(path.read_bytes())
    code, out, _ = invoke("ls", root)
    assert (code, "COMPLETED !" in out) == (1, True)
    second = raw.index(SYNC, raw.index(SYNC) + 1)  # behind the start of the run
    raw[second : second + 40] = bytes(40)
    path.write_bytes(raw)
    code, out, _ = invoke("ls", root)
    assert (code, "COMPLETED !" in out) == (1, True)


def test_a_list_is_made_of_what_is_kept(root: Path) -> None:
    """The second time no journal is opened, and the answer is the same; nothing is kept where there is nothing."""
    first = succeed("ls", root, "--json")
    (path,) = (root / ".summaries").glob("*.sqlite3")
    assert json.loads(succeed("ls", root, "--json")) == json.loads(first)
    assert [each["prefix"] for each in json.loads(first)] == EVERYTHING
    assert path.exists()
    assert succeed("ls", root / "alice/vision/first", "--json").count('"prefix"') == 1
    assert not (root / "alice/vision/first/.summaries").exists()


def test_nothing_is_put_where_there_is_no_experiment(tmp_path: Path) -> None:
    (tmp_path / "somebody/s/directory").mkdir(parents=True)
    assert invoke("ls", tmp_path).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["somebody"]


def test_a_journal_of_a_later_version_is_listed_with_the_others(root: Path, newer: Path) -> None:
    """Standard error says what to do about it."""
    code, out, err = invoke("ls", root)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[1:]] == [*EVERYTHING, "carol/p/newer"]
    assert out.splitlines()[-1].split() == ["carol/p/newer", "UNREADABLE", "-", "-", "-", "-"]
    assert "install a newer version" in err
    (record,) = json.loads(invoke("ls", root, "--status", "unreadable", "--json").out)
    assert record["status"] is None
    assert "install a newer version" in record["problem"]


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    """A directory may be called anything, by whoever made it."""
    make(tmp_path, "a/p/one")
    (tmp_path / "a" / "p" / "one").rename(tmp_path / "a" / "p" / "\x1b[2J\n[red]one")
    out = succeed("ls", tmp_path)
    assert r"a/p/\x1b[2J\n[red]one" in out
    assert "\x1b" not in out


# --- columns, filters and sorting, in roots and at a server


SWEEP = ("alice/sweep/a", "alice/sweep/b", "bob/other/c")


@dataclass(frozen=True)
class Place:
    """A root or a server with three runs, and what names it on a command line."""

    words: list[str]
    arguments: dict[str, Any]

    def out(self, *words: str) -> list[list[str]]:
        """The cells of a table, line by line."""
        done = invoke("ls", *self.words, *words)
        assert done.code == 0, done
        return [line.split() for line in done.out.splitlines()]

    def names(self, *words: str) -> list[str]:
        return [cells[0] for cells in self.out(*words)[1:]]


@pytest.fixture(params=["root", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    with ExitStack() as stack:
        if request.param == "root":
            place = Place([str(tmp_path / "dash")], {"dash_root": tmp_path / "dash"})
        else:
            server = EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN).start()
            stack.callback(server.stop)
            monkeypatch.setenv("ML_DASH_API_URL", server.url)
            place = Place(["--url", server.url], {"dash_url": server.url, "dash_root": None})
        for at, prefix in enumerate(SWEEP):
            exp = Experiment(prefix, echo=False, capture=False, tags=[f"t{at}"], **place.arguments)
            with exp.run:
                exp.params.set(lr=0.1 * (at + 1), note="some text")
                for step in range(3):
                    exp.metrics("val").log(step=step, acc=(at * 2 + step) % 5)
                exp.flush()
        yield place


@pytest.mark.slow
def test_columns_are_called_what_a_filter_calls_them(place: Place) -> None:
    title, *lines = place.out(
        "--columns", "params.lr,val/acc,max(val/acc)", "-c", "best(val/acc)", "-c", "tags"
    )
    assert title == [
        *("experiment", "status", "rows", "params.lr", "val/acc", "max(val/acc)", "best(val/acc)", "tags"),
        *("last", "activity"),
    ]
    assert [cells[:8] for cells in lines] == [
        ["alice/sweep/a", "COMPLETED", "3", "0.1", "2", "2", "2", "t0"],
        ["alice/sweep/b", "COMPLETED", "3", "0.2", "4", "4", "4", "t1"],
        ["bob/other/c", "COMPLETED", "3", "0.3", "1", "4", "1", "t2"],
    ]
    assert {"params.lr", "params.note"} <= set(place.out("-c", "params")[0])
    assert "val/acc" in place.out("-c", "metrics")[0]
    refused = invoke("ls", *place.words, "-c", "params.lrr")
    assert (refused.code, "did you mean" in refused.err, "lr" in refused.err) == (2, True, True)


@pytest.mark.sample(2)
def test_a_filter_says_which_and_any_name_sorts(place: Place) -> None:
    assert place.names("--filter", "alice/**") == ["alice/sweep/a", "alice/sweep/b"]
    assert place.names("--filter", "params.lr>0.15 max(val/acc)>3") == ["alice/sweep/b", "bob/other/c"]
    assert place.names("--filter", "tag:t0") == ["alice/sweep/a"]
    assert place.names("--sort", "val/acc") == ["bob/other/c", "alice/sweep/a", "alice/sweep/b"]
    assert place.names("--sort", "-params.lr") == list(SWEEP[::-1])
    assert place.names("--sort", "params.lr", "--reverse") == list(SWEEP[::-1])
    assert place.names("--sort", "-params.lr", "--reverse") == list(SWEEP)
    assert place.names("--sort", "-params.lr", "--limit", "1") == ["bob/other/c"]
    assert place.names("--sort", "activity", "-r", "--status", "completed") == list(SWEEP)
    nothing = invoke("ls", *place.words, "--filter", "tag:nothing")
    assert (nothing.code, nothing.out, "the filter" in nothing.err) == (0, "", True)
    for words in (["--filter", "lrr<1"], ["--sort", "prefx"], ["--filter", "lr<"]):
        refused = invoke("ls", *place.words, *words)
        assert (refused.code, refused.out) == (2, "")
        assert "cannot be understood" in refused.err


def test_json_has_all_that_is_known(place: Place) -> None:
    records = json.loads(invoke("ls", *place.words, "--json", "--filter", "tag:t1").out)
    (record,) = records
    assert record["prefix"] == "alice/sweep/b"
    assert (record["owner"], record["project"], record["name"], record["tags"]) == (
        "alice",
        "sweep",
        "b",
        ["t1"],
    )
    assert record["params"] == {"lr": 0.2, "note": "some text"}
    value = record["values"]["val/acc"]
    assert (value["last"], value["max"], value["min"], value["lastStep"]) == (4, 4, 2, 2)
    assert (record["status"], record["rows"], record["metrics"], record["attempts"]) == ("COMPLETED", 3, 1, 1)
    assert record["startedAt"] <= record["endedAt"]


def test_a_server_that_is_away_or_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = invoke("ls", "--url", f"http://127.0.0.1:{port}")
    assert (refused.code, refused.out) == (1, "")
    assert str(port) in refused.err
    assert invoke("ls", "--url", "http://127.0.0.1:9", "--sort", "size").code == 2
