"""`ml-dash files`, and what other commands say of files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.cli.commands.saved import KEYS, PREFIX, content_of, rows, saving
from tests.support.cli_experiments import make
from tests.support.shell import invoke, on_terminal, succeed


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A root with an experiment that has files."""
    make(tmp_path / "dash", PREFIX, saving)
    return tmp_path / "dash"


def test_files_are_listed_with_size_type_and_tags(saved: Path) -> None:
    """The newest version of each, and none that was deleted."""
    title, *lines = (line.split() for line in succeed("files", "saved", "--root", saved).splitlines())
    assert title == ["name", "size", "type", "uploaded", "tags", "id"]
    assert [line[0] for line in lines] == ["empty.bin", "configs/config.json", "models/best.pt"]
    model = lines[2]
    assert model[1:3] == ["5", "B"]
    assert "best," in model
    assert model[-1].startswith("file_")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["empty.bin", "configs/config.json", "models/best.pt"]),
        (("models",), ["models/best.pt"]),
        (("/models/",), ["models/best.pt"]),
        (("mod",), []),
        (("*.pt",), ["models/best.pt"]),
        (("models/*",), ["models/best.pt"]),
        (("--versions",), ["empty.bin", "configs/config.json", "models/best.pt", "models/best.pt"]),
        (("--deleted",), ["empty.bin", "gone.txt", "configs/config.json", "models/best.pt"]),
    ],
)
def test_files_are_chosen_by_path_or_pattern(
    saved: Path, arguments: tuple[str, ...], found: list[str]
) -> None:
    """As in `exp.files(…).list()`."""
    code, out, err = invoke("files", PREFIX, *arguments, "--root", saved, "--json")
    listed = [f"{row['path']}/{row['filename']}".lstrip("/") for row in json.loads(out)]
    assert (code, sorted(listed), err) == (0, sorted(found), "")


def test_programs_get_the_whole_rows(saved: Path) -> None:
    """With the keys of `exp.files().list()`."""
    assert all(list(row) == KEYS for row in rows(saved, "--versions", "--deleted"))


def test_there_may_be_no_files(saved: Path) -> None:
    """That is said, and no error; an experiment that there is not is one."""
    none = invoke("files", PREFIX, "*.gif", "--root", saved)
    assert (none.code, none.out) == (0, "")
    assert "no files in" in none.err
    assert "*.gif" in none.err
    assert invoke("files", "nothing", "--root", saved).code == 2


def test_a_name_commands_nothing(tmp_path: Path) -> None:
    """Names come from anywhere: marks that turn the text around are shown, and markup is none."""

    def script(exp: Experiment) -> None:
        exp.files.save_text("x", to="[red]evil\u202egpj.exe", tags=["a\x1b[2Jb"])

    make(tmp_path, PREFIX, script)
    out = succeed("files", PREFIX, "--root", tmp_path)
    assert "[red]evil\\u202egpj.exe" in out
    assert "\x1b" not in out
    assert "a\\x1b[2Jb" in out
    assert "[red]evil\\u202egpj.exe" in succeed("show", PREFIX, "--root", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("columns", [30, 60, 140])
def test_no_line_is_wider_than_the_terminal(saved: Path, columns: int) -> None:
    """A narrow one gets a list in place of the table."""
    import re

    for command in ("files", "show"):
        out = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(command, PREFIX, "--root", saved, columns=columns))
        assert max(map(len, out.splitlines())) <= columns
        assert "configs" in out


def test_show_tells_of_files(saved: Path) -> None:
    """How many, how large, and the newest."""
    lines = succeed("show", PREFIX, "--root", saved).splitlines()
    at = lines.index("Files, 3 files, 16 B")
    assert [line.split()[0] for line in lines[at + 1 : at + 4]] == [
        "empty.bin",
        "configs/config.json",
        "models/best.pt",
    ]
    record = json.loads(succeed("show", PREFIX, "--root", saved, "--json"))["files"]
    assert (record["count"], record["bytes"], len(record["newest"])) == (3, 16, 3)


def test_contents_are_verified(saved: Path) -> None:
    """Those of deleted files and older versions too."""
    out = succeed("verify", PREFIX, "--root", saved)
    assert "sound" in out
    assert "contents of files: 5 ok, 23 B" in out


@pytest.mark.parametrize("fault", ["missing", "damaged", "shorter"])
def test_a_content_that_is_not_right_is_told(saved: Path, fault: str) -> None:
    """Exit code 1, and the name of the file."""
    path = content_of(saved, "configs")
    if fault == "missing":
        path.unlink()
    else:
        os.chmod(path, 0o644)
        path.write_bytes(b'{"lr": 0.2}' if fault == "damaged" else b"{")
    done = invoke("verify", PREFIX, "--root", saved)
    assert done.code == 1
    told = {"missing": "are missing", "damaged": "are damaged", "shorter": "instead of"}[fault]
    assert any("configs/config.json: its contents" in line and told in line for line in done.out.splitlines())
    (record,) = json.loads(invoke("verify", PREFIX, "--root", saved, "--json").out)
    assert record["ok"] is False
    assert [each["file"] for each in record["contents"]["faults"]] == ["configs/config.json"]


def test_contents_that_no_row_names_are_counted(saved: Path) -> None:
    """They are what a process that was killed leaves: no fault."""
    stray = saved / PREFIX / "files" / "ab" / ("ab" + "0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    assert "1 blob in files/ that no file has" in succeed("verify", PREFIX, "--root", saved)
