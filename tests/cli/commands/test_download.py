"""`ml-dash download`: every file below the directory, whole, and nothing overwritten by surprise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli.progress import Bar
from ml_dash.query.files import FILES
from tests.cli.commands.saved import PREFIX, below, content_of, rows, saving
from tests.support.cli_experiments import make
from tests.support.shell import COMMAND, environment, invoke, shell, succeed, written_on_terminal
from tests.support.view_journals import block_of, write


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A root with an experiment that has files."""
    make(tmp_path / "dash", PREFIX, saving)
    return tmp_path / "dash"


ALL = {"models/best.pt": b"newer", "configs/config.json": b'{"lr": 0.1}', "empty.bin": b""}


def test_all_files_keep_their_paths_below_the_directory(saved: Path, tmp_path: Path) -> None:
    """Which is made; each is named."""
    out = succeed("download", PREFIX, "-o", tmp_path / "a" / "b", "--root", saved)
    got = below(tmp_path / "a" / "b")
    assert {name: got[name] for name in ("models/best.pt", "empty.bin")} == {
        "models/best.pt": b"newer",
        "empty.bin": b"",
    }
    assert set(got) == set(ALL)
    assert str(tmp_path / "a" / "b" / "models" / "best.pt") in out


@pytest.mark.parametrize("glob", ["*.pt", "models", "models/best.pt", "mod*/*"])
def test_some_are_chosen_by_path_or_pattern(saved: Path, tmp_path: Path, glob: str) -> None:
    succeed("download", PREFIX, glob, "-o", tmp_path / "out", "--root", saved)
    assert below(tmp_path / "out") == {"models/best.pt": b"newer"}


def test_an_older_version_is_had_by_its_id(saved: Path, tmp_path: Path) -> None:
    new, old = rows(saved, "models", "--versions")
    succeed("download", PREFIX, "--id", str(old["id"]), "-o", tmp_path / "out", "--root", saved)
    assert below(tmp_path / "out") == {"models/best.pt": b"old"}
    assert new["id"] != old["id"]


def test_nothing_that_is_meant_is_an_error(saved: Path, tmp_path: Path) -> None:
    """Exit code 1, and the way to what there is; so is a deleted file, with the time."""
    (gone,) = rows(saved, "gone.txt", "--deleted")
    for arguments, told in [
        (("*.gif",), "'*.gif'"),
        (("--id", "file_0"), "'file_0'"),
        (("--id", str(gone["id"])), str(gone["deletedAt"])),
    ]:
        done = invoke("download", PREFIX, *arguments, "-o", tmp_path / "out", "--root", saved)
        assert (done.code, done.out) == (1, "")
        assert told in done.err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_there_is_passed_over_or_kept(saved: Path, tmp_path: Path) -> None:
    """The same one is passed over; another one is only replaced by force."""
    out = tmp_path / "out"
    succeed("download", PREFIX, "-o", out, "--root", saved)
    assert succeed("download", PREFIX, "-o", out, "--root", saved).count("already there") == 3
    (out / "models" / "best.pt").write_bytes(b"mine!")

    kept = invoke("download", PREFIX, "-o", out, "--root", saved)
    assert kept.code == 1
    assert "models/best.pt" in kept.err
    assert "--force" in kept.err
    assert (out / "models" / "best.pt").read_bytes() == b"mine!"

    succeed("download", PREFIX, "-o", out, "--force", "--root", saved)
    assert (out / "models" / "best.pt").read_bytes() == b"newer"


def test_a_content_that_is_missing_or_damaged_is_told_and_the_others_come(
    saved: Path, tmp_path: Path
) -> None:
    content_of(saved, "configs").unlink()
    model = content_of(saved, "models")
    os.chmod(model, 0o644)
    model.write_bytes(b"never")
    done = invoke("download", PREFIX, "-o", tmp_path / "out", "--root", saved)
    assert done.code == 1
    assert "configs/config.json" in done.err
    assert "not on this disk" in done.err
    assert "models/best.pt" in done.err
    assert below(tmp_path / "out") == {"empty.bin": b""}


def hostile(root: Path, *names: tuple[str, str]) -> None:
    """An experiment whose journal has rows that no library of ours writes, all of one content."""
    make(root, PREFIX, lambda exp: exp.files.save_text("content", to="ok.txt"))
    (row,) = rows(root, "ok.txt")
    saves = [
        (
            i,
            {
                **row,
                "event": "save",
                "id": f"file_{i}",
                "path": path,
                "filename": filename,
            },
        )
        for i, (path, filename) in enumerate(names, 1)
    ]
    write(root / PREFIX / "journal", [[block_of(FILES, saves)]], "0000000000000001-1-00000001")


def test_no_name_leads_out_of_the_directory(tmp_path: Path) -> None:
    """Whoever wrote it."""
    hostile(
        tmp_path / "dash",
        ("/", "../../x"),
        ("/../..", "y"),
        ("/a/../../../b", "z"),
        ("//etc", "passwd"),
        ("/", "C:\\windows\\w"),
        ("/n\x00ul", "n\x1bame"),
        ("/long", "n" * 300 + ".json"),
        ("/ü/日本", "naïve 🙂.txt"),
    )
    out = tmp_path / "deep" / "er" / "out"
    done = invoke("download", PREFIX, "-o", out, "--root", tmp_path / "dash")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    outside = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and not path.is_relative_to(out) and not path.is_relative_to(tmp_path / "dash")
    ]
    assert outside == []
    got = below(out)
    assert set(got.values()) == {b"content"}
    assert len(got) == 9
    assert {"x", "y", "a/b/z", "etc/passwd", "ü/日本/naïve 🙂.txt"} <= set(got)


DOTTED = (".bashrc", ".ssh/authorized_keys", "models/.git/config", ".hydra/config.yaml")


@pytest.fixture
def dotted(tmp_path: Path) -> Path:
    """A root with an experiment that has files which programs obey."""
    exp = Experiment(PREFIX, dash_root=str(tmp_path / "dash"), echo=False)
    with exp.run:
        for name in (*DOTTED, "models/a.pt"):
            exp.files.save_text("#", to=name)
    return tmp_path / "dash"


def test_names_that_begin_with_a_dot_are_left_out_by_name_and_the_rest_is_copied(
    dotted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = invoke("download", PREFIX, "-o", out, "--root", dotted)
    assert done.code == 1
    assert set(below(out)) == {"models/a.pt"}
    for name in DOTTED:
        assert f"{name}: left out" in done.err
    assert "--allow-dotfiles" in done.err

    (row,) = rows(dotted, ".bashrc")
    done = invoke("download", PREFIX, "--id", str(row["id"]), "-o", out, "--root", dotted)
    assert done.code == 1  # nobody has said what it is called
    assert set(below(out)) == {"models/a.pt"}


def test_names_that_begin_with_a_dot_are_copied_where_they_are_spelled_out_or_allowed(
    dotted: Path, tmp_path: Path
) -> None:
    succeed("download", PREFIX, ".hydra/*", "-o", tmp_path / "some", "--root", dotted)
    succeed("download", PREFIX, "/.bashrc", "-o", tmp_path / "some", "--root", dotted)
    assert set(below(tmp_path / "some")) == {".hydra/config.yaml", ".bashrc"}
    succeed("download", PREFIX, "--allow-dotfiles", "-o", tmp_path / "all", "--root", dotted)
    assert set(below(tmp_path / "all")) == {*DOTTED, "models/a.pt"}
    assert succeed("download", PREFIX, ".bashrc", "-o", "-", "--root", dotted) == "#"


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "copied"), [(b"n\n", False), (b"\n", False), (b"y\n", True)])
def test_names_that_begin_with_a_dot_are_asked_about_on_a_terminal(
    dotted: Path, tmp_path: Path, typed: bytes, copied: bool
) -> None:
    command = [*COMMAND, "download", PREFIX, "-o", str(tmp_path / "out"), "--root", str(dotted)]
    seen = written_on_terminal(command, 120, environment(), typed)
    assert "4 files with a name that begins with a dot" in seen
    assert all(f"  {name}\n" in seen for name in DOTTED)
    assert set(below(tmp_path / "out")) == {"models/a.pt", *(DOTTED if copied else ())}


def test_no_link_leads_out_of_the_directory(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "models").symlink_to(tmp_path / "elsewhere")
    done = invoke("download", PREFIX, "-o", tmp_path / "out", "--root", saved)
    assert done.code == 1
    assert "link" in done.err
    assert below(tmp_path / "elsewhere") == {}
    assert set(below(tmp_path / "out")) == set(ALL) - {"models/best.pt"}


def folds_not(directory: Path) -> bool:
    """Whether names that differ in case are two on this disk."""
    (directory / "case").write_bytes(b"")
    return not (directory / "CASE").exists()


def test_names_that_a_disk_cannot_have_beside_one_another_all_come(tmp_path: Path) -> None:
    """One of each under another name, which is told; the same one each time, so that nothing is copied twice."""
    hostile(
        tmp_path / "dash",
        ("/", "a/x.txt"),
        ("/", "b/x.txt"),
        ("/", "model"),
        ("/model", "config.json"),
        ("/", "model (2)"),
        ("/d", "File"),
        ("/D", "file"),
    )
    out = tmp_path / "out"
    done = invoke("download", PREFIX, "-o", out, "--root", tmp_path / "dash")
    assert (done.code, done.err) == (0, "")
    got = below(out)
    assert len(got) == 7 + 1  # and the one of the other writer
    assert {"x.txt", "x (2).txt", "model (2)", "model (3)", "model/config.json"} <= set(got)
    assert f"{out / 'model (3)'}  7 B  (model:" in done.out
    assert done.out.count("this disk has the name for another") == (2 if folds_not(tmp_path) else 3)
    again = invoke("download", PREFIX, "-o", out, "--root", tmp_path / "dash")
    assert (again.code, again.out.count("already there")) == (0, 8)
    assert below(out) == got


def test_equal_files_that_a_tool_has_linked_to_one_another_keep_their_names(tmp_path: Path) -> None:
    hostile(tmp_path / "dash", ("/", "a.txt"), ("/", "b.txt"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_bytes(b"content")
    os.link(tmp_path / "out" / "a.txt", tmp_path / "out" / "b.txt")
    assert invoke("download", PREFIX, "-o", tmp_path / "out", "--root", tmp_path / "dash").code == 0
    assert set(below(tmp_path / "out")) == {"a.txt", "b.txt", "ok.txt"}


def test_a_directory_in_the_way_is_named(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "empty.bin").mkdir(parents=True)
    (tmp_path / "out" / "models").write_bytes(b"a file")
    done = invoke("download", PREFIX, "--force", "-o", tmp_path / "out", "--root", saved)
    assert done.code == 1
    assert "empty.bin" in done.err
    assert "models" in done.err
    assert (tmp_path / "out" / "models").read_bytes() == b"a file"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_is_no_file_is_neither_followed_nor_replaced(
    saved: Path, tmp_path: Path, force: list[str]
) -> None:
    """By a name that the user has not chosen: it is told, and the others come."""
    (tmp_path / "out" / "models").mkdir(parents=True)
    os.mkfifo(tmp_path / "out" / "empty.bin")
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / "out" / "models" / "best.pt").symlink_to(tmp_path / "elsewhere")
    done = invoke("download", PREFIX, *force, "-o", tmp_path / "out", "--root", saved)
    assert done.code == 1
    assert "empty.bin' is a device or a pipe" in done.err
    assert "best.pt' is a link" in done.err
    assert (tmp_path / "out" / "configs" / "config.json").exists()
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_a_file_is_no_directory_to_download_to(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    done = invoke("download", PREFIX, "-o", tmp_path / "out", "--root", saved)
    assert (done.code, done.out) == (2, "")
    assert "is not a directory" in done.err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_dash_is_standard_output_for_one_file(saved: Path, tmp_path: Path) -> None:
    """Its bytes and nothing else; of several files there, one could not tell where the next begins."""
    (tmp_path / "cwd").mkdir()
    done = shell("download", PREFIX, "*.pt", "-o", "-", "--root", saved, cwd=tmp_path / "cwd")
    assert (done.code, done.out, done.err) == (0, "newer", "")
    several = shell("download", PREFIX, "-o", "-", "--root", saved, cwd=tmp_path / "cwd")
    assert (several.code, several.out) == (2, "")
    assert "one file" in several.err
    assert list((tmp_path / "cwd").iterdir()) == []


def test_an_id_and_a_pattern_are_not_both_meant(saved: Path) -> None:
    done = invoke("download", PREFIX, "*.pt", "--id", "file_1", "--root", saved)
    assert done.code == 2
    assert "file_1" in done.err


def test_a_run_that_goes_on_is_read(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "dash", echo=False).run as exp:
        exp.files.save_text("now", to="now.txt")
        exp.flush()
        succeed("download", PREFIX, "-o", tmp_path / "out", "--root", tmp_path / "dash")
    assert below(tmp_path / "out") == {"now.txt": b"now"}


@pytest.mark.parametrize("force", [False, True])
def test_a_file_that_is_made_meanwhile_is_left_as_it_is(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, force: bool
) -> None:
    """A download may take hours."""
    out = tmp_path / "out"

    class Maker(Bar):
        def show(self, name: str, done: int, total: int) -> None:
            (out / name).write_bytes(b"theirs")
            super().show(name, done, total)

    monkeypatch.setattr("ml_dash.cli.commands.download.Bar", Maker)
    done = invoke("download", PREFIX, "models", "-o", out, "--root", saved, *["--force"] * force)
    assert done.code == (0 if force else 1)
    assert below(out) == {"models/best.pt": b"newer" if force else b"theirs"}
    assert ("somebody else has made it" in done.err) is not force
