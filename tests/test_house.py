"""The order of the house: what docs/architecture.md says of it, and the sizes that let a stranger find the way."""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path

import pytest

from tests.support.project import PROJECT
from tests.support.sources import sources

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PACKAGE = PROJECT / "ml_dash"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)
MAP = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")

MODULES_IN_A_FOLDER = 22
LINES_OF_A_CLASS = 300
LINES_OF_A_MODULE = 200
"""At the median."""
FILES_OF_A_ROW = 55
FILES_OF_A_FILE = 45


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def walk(title: str) -> list[str]:
    """The files of a walk, in its order: each is named once, in a numbered list below a heading."""
    section = MAP.split(f"### {title}\n", 1)[1].split("\n#", 1)[0]
    steps = re.findall(r"^(\d+)\. .*?`([\w/]+\.(?:py|tsx?))`", section, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    return [name for _, name in steps]


def test_the_map_has_the_layers_that_the_linter_holds() -> None:
    """Those of the package, then those of the server: in the same order, the upper ones first."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    held = [
        re.findall(r"\w+", layer)
        for contract in project["tool"]["importlinter"]["contracts"]
        for layer in contract.get("layers", [])
    ]
    section = MAP.split("## The layers", 1)[1].split("\n## ", 1)[0]
    told = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)]
    assert told == held


def test_no_contract_has_an_exception() -> None:
    assert "ignore_imports" not in (PROJECT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("title", "most"),
    [
        ("A row, from `log()` to a pixel", FILES_OF_A_ROW),
        ("A file, from `save` to a download", FILES_OF_A_FILE),
    ],
)
def test_a_walk_names_files_that_there_are_and_is_short(title: str, most: int) -> None:
    files = walk(title)
    assert len(files) == len(set(files)) <= most
    assert [name for name in files if not (PACKAGE / name).exists() and not (PROJECT / name).exists()] == []


def test_every_file_that_the_map_names_is_there() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|tsx?))`", MAP))
    assert [
        name for name in sorted(named) if not (PACKAGE / name).exists() and not (PROJECT / name).exists()
    ] == []


def test_no_folder_has_more_modules_than_can_be_overlooked() -> None:
    folders = {path.parent for path in MODULES}
    crowded = {folder.name: len(list(folder.glob("[!_]*.py"))) for folder in folders}
    assert {name: count for name, count in crowded.items() if count > MODULES_IN_A_FOLDER} == {}


def test_no_class_is_larger_than_one_responsibility() -> None:
    large = {
        f"{source.path.relative_to(PACKAGE)}:{name}": size
        for source in sources()
        for name, size in source.classes
    }
    assert {name: size for name, size in large.items() if size > LINES_OF_A_CLASS} == {}


def test_most_modules_are_read_in_one_sitting() -> None:
    assert (
        statistics.median(lines(path) for path in MODULES if path.name != "__init__.py") <= LINES_OF_A_MODULE
    )
