"""A root on this disk, as it is looked at while others write to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.series import Kind, Series
from ml_dash.server.catalogue.records import ExperimentFilter, Search
from ml_dash.server.errors import ApiError
from ml_dash.server.http.cursors import write_cursor
from ml_dash.server.local import looker as looker_module
from ml_dash.server.local.library import LocalLibrary
from ml_dash.server.local.view import LocalView
from ml_dash.shapes import MetricField
from ml_dash.storage.summaries import store as store_module
from ml_dash.storage.summaries.digest import digest
from tests.server.local.ui import serving
from tests.support.serving import page_of
from tests.support.unreadable import forbidden, no_descriptors

ALL = ExperimentFilter()
MANY = 300


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question looks again, and not once a second."""
    monkeypatch.setattr(looker_module, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(looker_module, "_LOOK_TIMES", 0.0)


def log(root: Path | str, prefix: str, **about: Any) -> Experiment:
    exp = Experiment(prefix, dash_root=str(root), echo=False, **about)
    with exp.run:
        exp.metrics("train").log(loss=1.0)
    return exp


def prefixes(answer: dict[str, Any]) -> list[str]:
    return [record["prefix"] for record in answer["data"]]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[LocalLibrary]:
    found = LocalLibrary(str(tmp_path), 90.0)
    yield found
    found.close()


@pytest.mark.slow
def test_what_has_not_changed_is_not_read_again(library: LocalLibrary, tmp_path: Path) -> None:
    """However many there are, and however often somebody looks."""
    for number in range(MANY):
        log(tmp_path, f"alice/p/run{number}")
    first = page_of(library, ALL, 1000, None)
    assert library.opened == MANY
    for _ in range(5):
        assert page_of(library, ALL, 1000, None, first["asOf"])["data"] == []
        assert len(page_of(library, ALL, 1000, None)["data"]) == MANY
    assert library.opened == MANY


def test_changes_are_told_once_and_only_they(library: LocalLibrary, tmp_path: Path) -> None:
    for name in ("a", "b"):
        log(tmp_path, f"alice/p/{name}")
    before = page_of(library, ALL, 100, None)
    log(tmp_path, "alice/p/c")
    with Experiment("alice/p/a", dash_root=str(tmp_path), echo=False).run as exp:
        exp.metrics("train").log(loss=2.0)
    changed = page_of(library, ALL, 100, None, before["asOf"])
    assert sorted(prefixes(changed)) == ["alice/p/a", "alice/p/c"]
    shutil.rmtree(tmp_path / "alice/p/b")
    after = page_of(library, ALL, 100, None, changed["asOf"])
    assert [(each["prefix"], each["deletedAt"] is not None) for each in after["data"]] == [
        ("alice/p/b", True)
    ]
    assert sorted(prefixes(page_of(library, ALL, 100, None))) == ["alice/p/a", "alice/p/c"]
    assert page_of(library, ALL, 100, None, after["asOf"])["data"] == []
    with pytest.raises(ApiError) as gone:
        library.record(
            before["data"][0]["id"] if before["data"][0]["prefix"].endswith("b") else before["data"][1]["id"]
        )
    assert gone.value.status == 404


def test_what_is_gone_is_remembered_in_bounded_memory(
    library: LocalLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks from a time of which nothing is known any more is told to list all again, and so misses nothing."""
    monkeypatch.setattr(store_module, "_GONE_MOST", 3)
    log(tmp_path, "alice/p/stays")
    first = page_of(library, ALL, 100, None)["asOf"]
    marks = []
    for number in range(10):
        journal = tmp_path / f"alice/p/run{number}/journal"
        journal.mkdir(parents=True)
        page_of(library, ALL, 100, None)
        shutil.rmtree(journal.parent)
        marks.append(page_of(library, ALL, 100, None)["asOf"])
    with library._index.reading() as store:
        assert store.connection.execute("SELECT count(*) FROM gone").fetchone() == (3,)
    for old in (first, marks[2]):
        with pytest.raises(ApiError, match="list all again") as refused:
            page_of(library, ALL, 100, None, old)
        assert refused.value.status == 400
    told = page_of(library, ALL, 100, None, marks[6])
    assert sorted(prefixes(told)) == [f"alice/p/run{number}" for number in (7, 8, 9)]
    assert all(each["deletedAt"] for each in told["data"])


def test_the_marks_of_another_file_ask_for_everything(library: LocalLibrary, tmp_path: Path) -> None:
    """Where its file of summaries is another one; of the same file all can say what has changed since."""
    log(tmp_path, "alice/p/a")
    first = LocalLibrary(str(tmp_path), 90.0)
    other = page_of(first, ALL, 100, None)["asOf"]
    first.close()
    again = LocalLibrary(str(tmp_path), 90.0)
    assert page_of(again, ALL, 100, None, other)["data"] == []
    again.close()
    shutil.rmtree(tmp_path / ".summaries")
    assert prefixes(page_of(library, ALL, 100, None, other)) == ["alice/p/a"]


@pytest.mark.parametrize("text", ["", "x", "1", "a.b", "a.-1", "." + "9" * 40])
def test_marks_that_are_none_are_refused(library: LocalLibrary, text: str) -> None:
    with pytest.raises(ApiError) as refused:
        page_of(library, ALL, 100, None, text)
    assert refused.value.status == 400


def test_experiments_are_found_by_what_they_are(library: LocalLibrary, tmp_path: Path) -> None:
    log(tmp_path, "alice/vision/deep/a", tags=["best"], readme="Some words")
    log(tmp_path, "alice/vision/b")
    log(tmp_path, "bob/vision/c")
    (tmp_path / "bob" / "p" / "d" / "journal").mkdir(parents=True)
    questions = {
        ExperimentFilter(owner="alice"): {"a", "b"},
        ExperimentFilter(owners=frozenset({"bob"})): {"c", "d"},
        ExperimentFilter(project="vision"): {"a", "b", "c"},
        ExperimentFilter(prefix="alice/vision"): {"a", "b"},
        ExperimentFilter(prefix="alice/vision/b"): {"b"},
        ExperimentFilter(folder="deep"): {"a"},
        ExperimentFilter(tag="best"): {"a"},
        ExperimentFilter(search="WORDS deep"): {"a"},
        ExperimentFilter(status="COMPLETED"): {"a", "b", "c"},
        ExperimentFilter(status="FAILED"): set(),
    }
    for wanted, names in questions.items():
        answer = page_of(library, wanted, 100, None)
        assert {record["name"] for record in answer["data"]} == names, wanted
        assert answer["total"] == len(names)


def test_pages_have_each_once(library: LocalLibrary, tmp_path: Path) -> None:
    for number in range(7):
        log(tmp_path, f"alice/p/run{number}")
    seen: list[str] = []
    cursor = None
    while True:
        answer = page_of(library, ALL, 3, cursor)
        seen += prefixes(answer)
        cursor = answer["cursor"]
        if not answer["hasMore"]:
            break
    assert seen == [f"alice/p/run{number}" for number in reversed(range(7))]


def test_a_page_goes_on_behind_the_last_though_others_have_gone(
    library: LocalLibrary, tmp_path: Path
) -> None:
    for number in range(6):
        log(tmp_path, f"alice/p/run{number}")
    first = page_of(library, ALL, 3, None)
    shutil.rmtree(tmp_path / "alice/p/run5")
    rest = page_of(library, ALL, 100, first["cursor"])
    assert prefixes(first) + prefixes(rest) == [f"alice/p/run{number}" for number in reversed(range(6))]


@pytest.mark.parametrize("cursor", ["", "x", "3", "!", write_cursor([1, 2]), write_cursor(["a"])])
def test_cursors_that_are_none_are_refused(library: LocalLibrary, cursor: str) -> None:
    with pytest.raises(ApiError) as refused:
        page_of(library, ALL, 100, cursor)
    assert refused.value.status == 400


def test_a_list_does_not_wait_for_a_journal_that_takes_long(
    library: LocalLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a run with thousands of metrics, or on a slow disk: what is known is told, and the rest later."""
    log(tmp_path, "alice/p/known")
    known = page_of(library, ALL, 10, None)["data"][0]
    monkeypatch.setattr(looker_module, "_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(looker_module, "_LEFT_SECONDS", 0.0)
    reading, go_on = threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        reading.set()
        assert go_on.wait(60)
        return digest(*args)

    monkeypatch.setattr("ml_dash.storage.summaries.reading.digest", slow)
    log(tmp_path, "alice/p/long")
    try:
        page_of(library, ALL, 10, None)
        assert reading.wait(60)
        listed = {each["prefix"]: each for each in page_of(library, ALL, 10, None)["data"]}
        assert listed.keys() == {"alice/p/known", "alice/p/long"}
        assert listed["alice/p/known"] == known
        # by its readable file, until its rows are read
        assert (listed["alice/p/long"]["status"], listed["alice/p/long"]["rows"]) == ("COMPLETED", 0)
        assert library.view(known["id"]).metrics()[0]["name"] == "train"
    finally:
        go_on.set()
    deadline = time.monotonic() + 60
    while (page := page_of(library, ALL, 10, None)["data"])[0]["rows"] == 0 and time.monotonic() < deadline:
        pass
    assert [each["rows"] for each in page] == [1, 1]


def test_what_cannot_be_looked_at_for_a_while_is_not_gone(
    library: LocalLibrary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is anything where no descriptor is left; said once."""
    log(tmp_path, "alice/p/run")
    log(tmp_path, "bob/p/run")
    as_of = page_of(library, ALL, 10, None)["asOf"]
    for refused in (tmp_path / "alice", tmp_path):
        with forbidden(refused):
            for _ in range(2):
                assert prefixes(page_of(library, ALL, 10, None)) == ["bob/p/run", "alice/p/run"]
                assert page_of(library, ALL, 10, None, as_of)["data"] == []
        assert sum(f"Cannot read {refused}:" in message for message in caplog.messages) == 1
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        page_of(library, ALL, 10, None)
    assert page_of(library, ALL, 10, None, as_of)["data"] == []


def test_a_killed_run_is_stale_though_none_of_its_files_changes(
    library: LocalLibrary, tmp_path: Path
) -> None:
    script = f"""
        import os
        from ml_dash import Experiment
        exp = Experiment("alice/p/killed", dash_root={str(tmp_path)!r}, echo=False).run.start()
        exp.metrics("train").log(loss=1.0)
        exp.flush()
        os._exit(1)
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    record = page_of(library, ALL, 10, None)["data"][0]
    assert (record["status"], record["stale"]) == ("RUNNING", True)
    assert prefixes(page_of(library, ExperimentFilter(status="STALE"), 10, None)) == ["alice/p/killed"]


@pytest.mark.parametrize("damage", ["torn", "flipped", "version", "not a journal"])
async def test_a_damaged_journal_is_shown_with_what_is_wrong(tmp_path: Path, damage: str) -> None:
    log(tmp_path, "alice/p/fine")
    log(tmp_path, "alice/p/damaged")
    segment = next((tmp_path / "alice/p/damaged/journal").glob("*.mldj"))
    data = bytearray(segment.read_bytes())
    if damage == "torn":
        data = data[:-7]
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
    elif damage == "version":
        data[4] ^= 255
    else:
        data = bytearray(b"nothing of ours" * 10)
    segment.write_bytes(data)
    async with serving(tmp_path) as ui:
        listed = {record["prefix"]: record for record in (await ui.get("experiments"))["data"]}
        assert listed["alice/p/fine"]["problem"] is None
        assert damage in {"torn", "not a journal"} or listed["alice/p/damaged"]["problem"]
        id_ = listed["alice/p/damaged"]["id"]
        for path in ("params", "logs", "metrics", "files", "run"):
            async with ui.client.get(f"/api/v1/experiments/{id_}/{path}") as response:
                assert response.status < 500, await response.text()


async def test_a_content_that_is_not_here_is_told_and_no_link_is_followed(tmp_path: Path) -> None:
    with Experiment("alice/p/run", dash_root=str(tmp_path), echo=False).run as exp:
        row = exp.files("a").save_text("here", to="b.txt")
    content = tmp_path / "alice/p/run/files" / row["checksum"][:2] / row["checksum"]
    async with serving(tmp_path) as ui:
        id_ = (await ui.get("experiments"))["data"][0]["id"]
        path = f"experiments/{id_}/files/{row['id']}"
        assert (await ui.get(path))["available"] is True
        content.chmod(0o600)
        content.unlink()
        secret = tmp_path / "secret"
        secret.write_text("none")
        os.symlink(secret, content)
        secret.write_text("else")
        await ui.get(f"{path}/content", 409)
        assert (await ui.get(path))["available"] is False
        content.unlink()
        await ui.get(f"{path}/content", 409)
        content.parent.rmdir()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / content.name).write_text("else")
        content.parent.symlink_to(elsewhere)
        await ui.get(f"{path}/content", 409)
        content.parent.unlink()
        content.parent.mkdir()
        os.mkfifo(content)
        await ui.get(f"{path}/content", 409)


def test_a_chart_reads_rows_once_and_then_only_new_ones(library: LocalLibrary, tmp_path: Path) -> None:
    """By bytes read: a second look, and one when the journal has grown, cost next to nothing."""
    series = Series(Kind.METRIC, "train")
    exp = Experiment("alice/p/long", dash_root=str(tmp_path), echo=False)
    with exp.run:
        for step in range(400_000):
            exp.metrics("train").log(loss=float(step))
        exp.flush()
        view = library.view(page_of(library, ALL, 10, None)["data"][0]["id"])

        def read() -> int:
            before = view.index.bytes_read
            chart = view.chart(series, "loss", "index", None, None, 500)
            assert chart["points"] == chart["rows"]
            return view.index.bytes_read - before

        first = read()
        assert first > 400_000 * 8
        assert read() < first / 10
        for step in range(1000):
            exp.metrics("train").log(loss=float(step))
        exp.flush()
        assert read() < first / 10
    assert view.chart(series, "loss", "index", None, None, 500)["rows"] == 401_000


def asked(library: LocalLibrary, text: str, order: str | None = None, limit: int = 100, **more: Any) -> Any:
    return page_of(library, ExperimentFilter(asked=Search(text, order, **more)), limit, None)


def test_tables_and_filters_open_no_journal(
    library: LocalLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of runs with more metrics than a page could ask for one by one; a value that few rows have is there as well."""
    for number in range(3):
        with Experiment(f"alice/p/run{number}", dash_root=str(tmp_path), echo=False).run as exp:
            exp.params.set(lr=number, layers=[64, 64])
            exp.metrics("train").log(rare=number)
            for step in range(50):
                exp.metrics("train").log(step=step, loss=float(number))
            for at in range(150):
                exp.metrics(f"layer{at}").log(norm=at)
    ids = [record["id"] for record in page_of(library, ALL, 10, None)["data"]]
    monkeypatch.setattr(LocalView, "reading", None)
    found = list(library.values(ids, [MetricField("train", "rare"), MetricField("layer149", "norm")], None))
    assert [each["values"] for each in found] == [[2, 149], [1, 149], [0, 149]]
    assert [(each["metricsTotal"], len(each["metrics"])) for each in found] == [(151, 151)] * 3
    assert found[0]["params"] == {"lr": 2, "layers": [64, 64]}
    assert list(library.values([*ids, "exp_" + "0" * 20], [], frozenset({"bob"}))) == []
    page = asked(library, "params.lr>0 layer149/norm=149", "-train/loss", columns=("params.lr", "train/loss"))
    assert [
        (each["name"], each["params"], each["metrics"]["train"]["loss"]["max"]) for each in page["data"]
    ] == [
        ("run2", {"lr": 2}, 2.0),
        ("run1", {"lr": 1}, 1.0),
    ]


def test_pages_of_an_order_have_each_once(library: LocalLibrary, tmp_path: Path) -> None:
    """Those of equal values by their age, and those that have none at the end."""
    for number in range(7):
        with Experiment(f"alice/p/run{number}", dash_root=str(tmp_path), echo=False).run as exp:
            if number % 3:
                exp.params.set(kind=number % 3)
    seen: list[str] = []
    cursor = None
    where = ExperimentFilter(asked=Search("", "kind"))
    while True:
        answer = page_of(library, where, 2, cursor)
        assert answer["total"] == 7
        seen += [record["name"] for record in answer["data"]]
        cursor = answer["cursor"]
        if not answer["hasMore"]:
            break
    assert seen == ["run4", "run1", "run5", "run2", "run6", "run3", "run0"]
    for wrong in (
        write_cursor([9, None, 0, "x"]),  # type: ignore[list-item]
        write_cursor([0, 2**63, 0, "x"]),
        write_cursor([0, 1]),
        "x",
    ):
        with pytest.raises(ApiError) as refused:
            page_of(library, where, 2, wrong)
        assert refused.value.status == 400
