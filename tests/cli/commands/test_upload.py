"""`ml-dash upload`: files added to an experiment from outside of its runs, on this disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.query.journal_view import JournalView
from tests.cli.commands.saved import KEYS, PREFIX, names, rows
from tests.support.cli_experiments import make, training
from tests.support.shell import invoke, succeed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with an experiment that has ended, and has one file."""

    def script(exp: Experiment) -> None:
        training(exp)
        exp.files.save_text("old", to="report.md")

    make(tmp_path / "dash", PREFIX, script)
    return tmp_path / "dash"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "report.md").write_bytes(b"# new")
    (directory / "a.png").write_bytes(b"")
    (directory / "link").symlink_to("nothing")
    (directory / "naïve 🙂.txt").write_bytes(b"x" * 100_000)
    return directory


def state(root: Path) -> list[tuple[str, bytes]]:
    """All that is in an experiment's directory."""
    return sorted(
        (str(path.relative_to(root)), path.read_bytes()) for path in root.rglob("*") if path.is_file()
    )


def test_a_file_is_added_as_a_run_would_do_it(root: Path, here: Path) -> None:
    """With a whole row and its content; the run has ended as before."""
    before = JournalView(str(root / PREFIX / "journal")).run()
    out = succeed(
        "upload",
        PREFIX,
        "report.md",
        "--description",
        "all of it",
        "--tag",
        "final",
        "--tag",
        "pdf",
        "--root",
        root,
    )
    new, old = rows(root, "report.md", "--versions")
    assert list(new) == KEYS
    assert (new["path"], new["filename"], new["sizeBytes"]) == ("/", "report.md", 5)
    assert (new["description"], new["tags"], new["metadata"]) == ("all of it", ["final", "pdf"], None)
    assert str(new["uploadedAt"]) > str(old["uploadedAt"])
    assert f"report.md -> {PREFIX}: report.md  5 B  {new['id']}" in out
    assert (here / "report.md").read_bytes() == b"# new"
    after = JournalView(str(root / PREFIX / "journal")).run()
    assert (after.status, after.ended_at) == (before.status, before.ended_at)
    succeed("download", PREFIX, "report.md", "-o", here / "out", "--root", root)
    assert (here / "out" / "report.md").read_bytes() == b"# new"
    assert "sound" in succeed("verify", PREFIX, "--root", root)


@pytest.mark.parametrize(
    ("files", "to", "found"),
    [
        (["a.png"], "plots/loss.png", ["plots/loss.png"]),
        (["a.png"], "plots/", ["plots/a.png"]),
        (["a.png"], "/plots/x/", ["plots/x/a.png"]),
        (["a.png"], "/", ["a.png"]),
        (["a.png", "naïve 🙂.txt"], "plots", ["plots/a.png", "plots/naïve 🙂.txt"]),
        (["./a.png", "naïve 🙂.txt"], "", ["a.png", "naïve 🙂.txt"]),
    ],
)
def test_files_go_where_they_are_told_to(
    root: Path, here: Path, files: list[str], to: str, found: list[str]
) -> None:
    """Several into one path, one to a name; with a slash at its end, into that path."""
    succeed("upload", PREFIX, *files, *(["--to", to] if to else []), "--root", root)
    assert sorted(names(root)) == sorted([*found, "report.md"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["report.md", "."], "several FILEs"),
        (["report.md", "nothing.pt"], "'nothing.pt'"),
        (["report.md", "./report.md"], "several FILEs"),
        (["report.md", "link"], "'link'"),
        (["report.md", "/dev/null"], "not a readable regular file"),
        (["report.md", "--to", "../x"], "'..'"),
        (["report.md", "--to", "a/../../x"], "'..'"),
        (["report.md", "--to", "a\\b"], "backslash"),
        (["report.md", "--to", "x" * 300], "255"),
    ],
)
def test_what_cannot_be_added_is_named_and_nothing_is(
    root: Path, here: Path, arguments: list[str], told: str
) -> None:
    """Not even the files that were right."""
    before = state(root)
    done = invoke("upload", PREFIX, *arguments, "--root", root)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert state(root) == before


def test_an_experiment_that_there_is_not_gets_nothing(root: Path, here: Path) -> None:
    """An upload makes none."""
    before = state(root)
    done = invoke("upload", "alice/vision/other", "report.md", "--root", root)
    assert done.code == 2
    assert state(root) == before


def test_a_run_that_goes_on_sees_what_is_added(root: Path, here: Path) -> None:
    """And goes on to the end that it has by itself."""
    with Experiment(PREFIX, dash_root=root, echo=False).run as exp:
        exp.files.save_text("mine", to="mine.txt")
        exp.flush()
        succeed("upload", PREFIX, "a.png", "--root", root)
        assert [row["filename"] for row in exp.files().list()] == ["a.png", "mine.txt", "report.md"]
        assert exp.status().status == "RUNNING"
        exp.metrics("train").log(x=1)
    assert JournalView(str(root / PREFIX / "journal")).run().status == "COMPLETED"


def test_an_upload_that_dies_in_the_middle_lists_nothing(root: Path, here: Path) -> None:
    """A content may be left then, which no row names."""
    from ml_dash.cli.commands.upload import Addition, NewFile
    from ml_dash.sdk.files.details import Details
    from ml_dash.sdk.files.names import Place

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        Addition(str(root / PREFIX), for_server=False) as addition,
    ):
        addition.add(NewFile("report.md", Place("/", "other.md"), Details()), interrupt)
    assert names(root) == ["report.md"]
    assert "sound" in succeed("verify", PREFIX, "--root", root)
    assert [path.name for path in (root / PREFIX / "files").iterdir() if path.is_file()] == []


def test_a_directory_is_added_file_by_file_under_its_paths(root: Path, here: Path) -> None:
    (here / "out" / "inner").mkdir(parents=True)
    (here / "out" / "inner" / "a.bin").write_bytes(b"a")
    (here / "out" / "b.bin").write_bytes(b"b")
    (here / "out" / "nowhere").symlink_to("nothing")
    done = invoke("upload", PREFIX, "out", "report.md", "--to", "ckpt", "--tag", "x", "--root", root)
    assert done.code == 0
    assert "Warning: not saved of 'out': 'nowhere'" in done.err
    named = sorted(f"{row['path']}/{row['filename']}" for row in rows(root, "ckpt"))
    assert named == ["/ckpt/b.bin", "/ckpt/inner/a.bin", "/ckpt/report.md"]


def test_a_directory_without_files_is_told(root: Path, here: Path) -> None:
    (here / "empty").mkdir()
    done = invoke("upload", PREFIX, "empty", "--root", root)
    assert (done.code, "no file in the directory" in done.err) == (1, True)


def test_an_alias_is_given_shown_and_asked_for(root: Path, here: Path) -> None:
    succeed("upload", PREFIX, "report.md", "--alias", "best", "--root", root)
    (here / "report.md").write_bytes(b"# newer")
    succeed("upload", PREFIX, "report.md", "--root", root)
    assert "report.md (best)" in succeed("files", PREFIX, "report.md", "--alias", "best", "--root", root)
    assert "(best)" not in succeed("files", PREFIX, "report.md", "--root", root)
    succeed("download", PREFIX, "report.md", "--alias", "best", "-o", here / "out", "--root", root)
    assert (here / "out" / "report.md").read_bytes() == b"# new"
    done = invoke("download", PREFIX, "report.md", "--alias", "nobody", "--root", root)
    assert (done.code, "with the alias 'nobody'" in done.err) == (1, True)
    assert invoke("upload", PREFIX, "report.md", "--alias", " x", "--root", root).code == 2
