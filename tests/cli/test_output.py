"""What the commands look like on a terminal, wide or narrow."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.support.cli_experiments import make
from tests.support.shell import on_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")

COLOUR = re.compile(r"\x1b\[[\d;]*m")


def plain(text: str) -> str:
    return COLOUR.sub("", text)


@pytest.fixture
def crowd(root: Path) -> Path:
    """A root with a long prefix in it, and messages of several lines."""

    def script(exp: Experiment) -> None:
        exp.log("Traceback:\n  File 'train.py'\nValueError: \x1b[2J", level="error")
        exp.metrics("validation/imagenet/top5").log(
            accuracy=0.123456789, a_name_that_is_longer_than_any_column=1
        )

    make(root, "alice/vision/large-patch16-384/learning-rate-sweep/seed-3", script)
    return root


@pytest.mark.sample(4)
@pytest.mark.parametrize("columns", [30, 50, 80, 140])
def test_no_line_is_wider_than_the_terminal(crowd: Path, columns: int) -> None:
    """Neither in lists nor in tables, and nothing is cut."""
    for arguments in (
        ("ls", crowd),
        ("show", "first", "--root", crowd),
        ("verify", "first", "--root", crowd),
    ):
        lines = plain(on_terminal(*arguments, columns=columns)).splitlines()
        assert lines
        assert max(map(len, lines)) <= columns
    text = plain(on_terminal("ls", crowd, columns=columns)).replace("\n", "")
    assert "alice/vision/large-patch16-384/learning-rate-sweep/seed-3" in text
    assert "STALE" in text


@pytest.mark.slow
def test_a_wide_terminal_has_a_table_and_a_narrow_one_a_list(crowd: Path) -> None:
    """Rather than a table with broken words."""
    # what a slow look says of itself meanwhile is wiped out again
    assert plain(on_terminal("ls", crowd, columns=140)).strip().startswith("experiment ")
    lines = plain(on_terminal("ls", crowd, columns=60)).strip().splitlines()
    assert lines[0] == "alice/vision/failed"
    assert lines[1].split("  ")[1] == "FAILED"


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("columns", "titles"), [(80, "last min max mean"), (60, "last min max"), (30, "last")]
)
def test_metrics_show_as_much_as_fits(crowd: Path, columns: int, titles: str) -> None:
    """The last value and the course stay longest."""
    lines = plain(on_terminal("show", "first", "--root", crowd, columns=columns)).splitlines()
    at = lines.index("Metrics")
    assert lines[at + 1].split() == titles.split()
    assert "█" in lines[at + 3]


@pytest.mark.slow
def test_a_terminal_has_colours(crowd: Path) -> None:
    """Statuses, for instance; a message of several lines keeps them, and commands nothing."""
    out = on_terminal("ls", crowd, columns=80)
    assert "\x1b[31mFAILED" in out
    out = on_terminal("tail", "seed-3", "--root", crowd, columns=80)
    assert "\x1b[2J" not in out
    lines = plain(out).splitlines()
    assert lines[0].endswith("error   Traceback:")
    assert lines[1:3] == ["      File 'train.py'", r"    ValueError: "]
    assert "accuracy=0.123457" in lines[3]


@pytest.mark.sample(7)
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(crowd: Path, environment: dict[str, str]) -> None:
    """By the user, or by the terminal."""
    out = on_terminal("ls", crowd, columns=80, **environment)
    assert "FAILED" in out
    assert not re.search(r"\x1b\[[\d;]*3\d", out)


def test_csv_on_a_terminal_commands_nothing(root: Path) -> None:
    """In a file it is exact; here it is looked at."""
    make(root, "dora/p/evil", lambda exp: exp.metrics("m").log(text="\x1b]0;pwned\x07"))
    out = on_terminal("export", "evil", "--root", root, columns=80)
    assert r'"\x1b]0;pwned\x07"' in out
    assert "\x1b" not in out
