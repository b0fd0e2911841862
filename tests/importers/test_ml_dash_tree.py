"""Importing what the public package of this name has written: versions 0.11 and 0.5 of it wrote the trees."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.support.public_trees import RUN, bring_in, bytes_below, content, metric, problems, tree

FILES = "files/.files_metadata.json"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return tree(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "imported"


@pytest.fixture
def run(theirs: Path) -> Path:
    return theirs / RUN


def test_a_run_is_brought_in_whole(theirs: Path, root: Path) -> None:
    """As the script gave it to the other package: what it is called, said, logged and saved, with the times."""
    reports = bring_in(theirs, root)
    assert [(each.prefix, each.events, each.files, each.params) for each in reports] == [
        (RUN, 22, 4, True),
        ("two/parts/parts", 1, 0, False),
    ]
    exp = Experiment(RUN, dash_root=root)
    assert (exp.readme, exp.tags, exp.bindrs) == ("A first try", ["base", "a100"], ["week-1"])
    assert exp.metadata == {"seed": 7, "host": {"gpus": 2}}
    assert exp.params.get() == {
        "lr": 0.2, "model.layers": [64, 64], "model.name": "resnet", "note": None, "clip": math.inf,
    }  # fmt: skip
    assert [(row["level"], row["message"], row["metadata"]) for row in exp.logs.read()["data"]] == [
        ("info", "training begins", {"gpu": 3}),
        ("warn", "slow", None),
        ("error", "goes on", {"code": 5}),
    ]
    assert exp.tracks("robot/pose").read()["entries"] == [
        {"timestamp": 99.5, "q": [0.3, 0.4], "v": 2},
        {"timestamp": 100.5, "q": [0.1, 0.2], "v": 1, "w": 2},
    ]
    assert metric(root, "m", "two/parts")[0]["v"] == 1


def test_rows_keep_their_values_and_times(theirs: Path, root: Path, run: Path) -> None:
    """To the last bit, NaN and infinities too; of a whole number that is too large the text is kept, and told."""
    report = bring_in(theirs, root)[0]
    for folder, name in (("train", "train"), ("eval", "eval"), ("None", None)):
        lines = (run / "metrics" / folder / "data.jsonl").read_text().splitlines()
        assert metric(root, name) == [json.loads(line)["data"] for line in lines]
    (odd,) = metric(root, "odd é name")
    assert math.isnan(odd["nan"])
    assert odd["inf"] == -math.inf
    assert (odd["text"], odd["list"], odd["nested"]) == ("txt", [1, [2]], {"x": {"y": 1}})
    assert (odd["yes"], odd["nothing"], odd["big"]["__repr__"]) == (True, None, str(2**70))
    assert [problem.reason[:5] for problem in report.problems.values()] == ["'big'"]


def test_files_keep_their_ids_times_and_contents(theirs: Path, root: Path, run: Path) -> None:
    """What was said of one later, and that one was deleted, is as it was."""
    bring_in(theirs, root)
    exp = Experiment(RUN, dash_root=root)
    told = {entry["id"]: entry for entry in json.loads((run / FILES).read_text())["files"]}
    for row in exp.files.list():
        entry = told.pop(row["id"])
        assert row.pop("aliases") == [], "the other package has none"
        assert row == {name: entry[name] for name in row}
        assert (
            exp.files(file_id=row["id"]).read_bytes()
            == next((run / "files").rglob(f"{row['id']}/{row['filename']}")).read_bytes()
        )
    (deleted,) = told.values()
    assert deleted["filename"] == "gone.txt"
    with pytest.raises(FileNotFoundError, match=deleted["deletedAt"][:19]):
        exp.files(file_id=deleted["id"]).read_bytes()


def test_a_run_begins_and_ends_when_it_did_and_nobody_knows_how(theirs: Path, root: Path, run: Path) -> None:
    """The other package does not keep a status: none is made up."""
    bring_in(theirs, root)
    record = json.loads((root / RUN / "experiment.json").read_text())
    assert record["startedAt"] == json.loads((run / "experiment.json").read_text())["created_at"]
    assert (
        record["endedAt"]
        == json.loads((run / "metrics/train/data.jsonl").read_text().splitlines()[-1])["createdAt"]
    )
    assert record["status"] is None
    assert json.loads((root / RUN / "parameters.json").read_text())["lr"] == 0.2


def test_an_older_tree_has_no_prefix(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to whoever imports it; times of rows are those at which they were written."""
    monkeypatch.setenv("ML_DASH_USER", "carol")
    source = tree(tmp_path, "0.5")
    (report,) = bring_in(source, root)
    assert report.prefix == "carol/proj/run1"
    rows = Experiment("carol/proj/run1", dash_root=root).metrics("loss").read()["data"]
    lines = [
        json.loads(line) for line in (source / "proj/run1/metrics/loss/data.jsonl").read_text().splitlines()
    ]
    assert [row["createdAt"] for row in rows] == [line["createdAt"] for line in lines]


def test_importing_again_adds_nothing_and_the_source_is_only_read(theirs: Path, root: Path) -> None:
    before = bytes_below(theirs)
    bring_in(theirs, root)
    imported = bytes_below(root)
    for report in bring_in(theirs, root):
        assert (report.events, report.files, report.params) == (0, 0, False)
    assert bytes_below(root) == imported
    assert bytes_below(theirs) == before


def test_what_the_run_writes_later_is_added(theirs: Path, root: Path, run: Path) -> None:
    """Rows behind those that are here, a track that was written anew, parameters, and what is said of a file."""
    bring_in(theirs, root)
    with (run / "metrics/train/data.jsonl").open("a") as file:
        file.write(
            '{"index": 6, "data": {"loss": 0.5, "_ts": 1795984500.5}, "createdAt": "2026-11-29T20:35:00Z"}\n'
        )
    with (run / "tracks/robot_pose/data.jsonl").open("r+") as file:
        lines = file.read()
        file.seek(0)
        file.write('{"timestamp": 1.5, "v": 0}\n' + lines)
    record = json.loads((run / "parameters.json").read_text())
    record["data"] = {"lr": 0.3}
    record["updatedAt"] = "2026-11-29T20:35:00Z"
    (run / "parameters.json").write_text(json.dumps(record))
    listed = json.loads((run / FILES).read_text())
    listed["files"][0] |= {"tags": ["later"], "updatedAt": "2026-11-29T20:35:00.000000Z"}
    (run / FILES).write_text(json.dumps(listed))
    about = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(json.dumps(about | {"tags": ["new"]}))
    report = bring_in(theirs, root)[0]
    assert (report.events, report.files, report.params) == (4, 0, True)
    exp = Experiment(RUN, dash_root=root)
    assert metric(root, "train")[-1] == {"loss": 0.5, "_ts": 1795984500.5}
    assert [entry["timestamp"] for entry in exp.tracks("robot/pose").read()["entries"]] == [1.5, 99.5, 100.5]
    assert exp.params.get() == {"lr": 0.3}
    assert exp.tags == ["new"]
    assert [row["tags"] for row in exp.files("models").list()] == [["later"]]
    assert json.loads((root / RUN / "experiment.json").read_text())["endedAt"].startswith(
        "2026-11-29T20:35:00"
    )


def test_a_script_goes_on_with_what_was_imported(theirs: Path, root: Path) -> None:
    """By the same prefix; and a later import adds what the other package has written meanwhile, beside it."""
    bring_in(theirs, root)
    with Experiment(RUN, dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(loss=7.0)
    assert [row["loss"] for row in metric(root, "train")][-2:] == [0.0, 7.0]
    assert bring_in(theirs, root)[0].events == 0


BROKEN = {
    "metrics/train/data.jsonl": (
        '{"index": 9, "data": {"loss"',
        "[1]",
        '{"index": 8}',
        "",
        '{"data": {"loss": 1}}',
        '{"data": {"loss": 8}, "createdAt": "2026-11-29T20:35:00Z"}',
    ),
    "logs/logs.jsonl": (
        '{"timestamp": "yesterday", "level": "info", "message": "no"}',
        '{"timestamp": "2026-11-29T20:35:00Z", "level": "loud", "message": "no"}',
    ),
    "tracks/robot_pose/data.jsonl": ('{"v": 1}', "\xff"),
}


def test_broken_lines_are_named_and_all_others_are_brought_in(theirs: Path, root: Path, run: Path) -> None:
    """And told again by the next import, which does not read them again."""
    whole = 22
    for name, lines in BROKEN.items():
        with (run / name).open("ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode("latin-1"))
    report = bring_in(theirs, root)[0]
    assert report.events == whole + 1
    told = problems([report])
    broken = {"metrics/train/data": (7, 8, 9, 11), "logs/logs": (4, 5), "tracks/robot_pose/data": (3, 4)}
    for name, numbers in broken.items():
        for number in numbers:
            assert f"{name}.jsonl, line {number}:" in told
    again = bring_in(theirs, root)[0]
    assert again.events == 0
    assert "data.jsonl: 4 lines or values were left out before" in problems([again])


def test_a_line_that_is_cut_off_is_told_and_read_when_it_is_whole(
    theirs: Path, root: Path, run: Path
) -> None:
    path = run / "metrics/train/data.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    report = bring_in(theirs, root)[0]
    assert "line 6: the last line is cut off" in problems([report])
    assert len(metric(root, "train")) == 5
    path.write_bytes(whole)
    assert bring_in(theirs, root)[0].events == 1
    assert metric(root, "train")[-1]["step"] == 5


def test_documents_that_are_cut_off_are_named_and_all_else_is_brought_in(
    theirs: Path, root: Path, run: Path
) -> None:
    """Of files their places tell what they are; what an experiment is called, its place tells."""
    for path in [
        run / "experiment.json",
        run / "parameters.json",
        run / FILES,
        run / "metrics/eval/metadata.json",
    ]:
        path.write_bytes(path.read_bytes()[:-10])
    report = bring_in(theirs, root)[0]
    assert (report.prefix, report.events, report.files, report.params) == (RUN, 22, 4, False)
    for name in ("experiment.json", "parameters.json", ".files_metadata.json", "metadata.json"):
        assert f"{name}: it cannot be read (it is not JSON" in problems([report])
    exp = Experiment(RUN, dash_root=root)
    assert exp.files("models/w.bin").read_bytes() == bytes(range(256)) * 2
    assert len(metric(root, "eval")) == 5


def test_what_nobody_knows_is_named(theirs: Path, root: Path, run: Path) -> None:
    """Files, keys, and contents that are gone or changed: nothing is passed over in silence."""
    (run / "notes.md").write_text("mine")
    (run / "files/models/7356352130812926/w.bin").write_bytes(b"changed")
    (run / "files/7356352130846525/notes.txt").unlink()
    (run / "files/stray.txt").write_text("")
    about = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(
        json.dumps(about | {"color": "red", "write_protected": True, "tags": [1]})
    )
    report = bring_in(theirs, root)[0]
    told = problems([report])
    for words in (
        "notes.md: it is not known what this file is", "w.bin: it holds something else", "notes.txt: what the file",
        "stray.txt: no file of", "'color' is not known", "nothing here is write-protected", "'tags' is left out",
    ):  # fmt: skip
        assert words in told
    assert report.files == 3
    assert not report.is_whole


def test_a_file_that_was_written_anew_is_not_mixed_with_what_it_was(
    theirs: Path, root: Path, run: Path
) -> None:
    bring_in(theirs, root)
    path = run / "metrics/train/data.jsonl"
    path.write_text(path.read_text().replace("0.5", "0.7"))
    report = bring_in(theirs, root)[0]
    assert report.events == 0
    assert "it was written anew since it was imported" in problems([report])


@pytest.mark.parametrize(
    ("link", "rows", "files"),
    [("metrics/train/data.jsonl", 16, 4), ("files/7356352130846525/notes.txt", 22, 3), ("logs", 19, 4)],
)
def test_no_link_is_followed(
    theirs: Path, root: Path, run: Path, tmp_path: Path, link: str, rows: int, files: int
) -> None:
    """A tree may come from a stranger, and lead to anything of the user's."""
    (run / link).rename(tmp_path / "secret")
    (run / link).symlink_to(tmp_path / "secret")
    report = bring_in(theirs, root)[0]
    assert (report.events, report.files) == (rows, files)
    assert f"{link}: " in problems([report])


def test_experiments_below_others_are_found_and_saved_files_are_not_taken_for_any(
    theirs: Path, root: Path
) -> None:
    """One may lie in the directory of another; a file that was saved may be called experiment.json."""
    inner = theirs / RUN / "sweep" / "one"
    inner.mkdir(parents=True)
    about = {"name": "one", "project": "vision", "prefix": f"{RUN}/sweep/one"}
    (inner / "experiment.json").write_text(json.dumps(about))
    saved = theirs / RUN / "files" / "models" / "7356352130812926" / "experiment.json"
    saved.write_text("{}")
    found = [report.prefix for report in bring_in(theirs, root)]
    assert found == [RUN, f"{RUN}/sweep/one", "two/parts/parts"]
    assert content(root)["files"]


@pytest.mark.sample(6)
@pytest.mark.parametrize("seed", range(30))
def test_no_bytes_of_a_tree_end_the_import(theirs: Path, root: Path, seed: int) -> None:
    """Some bytes of its files changed, cut out or doubled: what is left is brought in, once, and the rest is named."""
    drawn = random.Random(seed)
    paths = sorted(path for path in theirs.rglob("*") if path.is_file() and path.stat().st_size)
    for path in drawn.sample(paths, 5):
        data = bytearray(path.read_bytes())
        for _ in range(drawn.choice([1, 3, 10])):
            at = drawn.randrange(len(data) + 1)
            piece = drawn.choice([b"", b"\0", b'"', b"[", b"-1", b"null", b"\xff", data[at : at + 40] * 2])
            data[at : at + drawn.choice([0, 1, 5])] = piece
        path.write_bytes(data)
    before = bytes_below(theirs)
    bring_in(theirs, root)
    imported = bytes_below(root)
    for report in bring_in(theirs, root):
        assert (report.events, report.files, report.params) == (0, 0, False)
    assert bytes_below(root) == imported
    assert bytes_below(theirs) == before
