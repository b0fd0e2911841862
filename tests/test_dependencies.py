"""Every package that ML-Dash imports is one that it declares.

What is only there because another package asks for it may be gone with that one's next version: the command line once
imported `click`, which `typer` then brought no more.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.project import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROVIDED = packages_distributions()
SCRIPTS_OWN = {"torch", "secretstorage"}
"""Packages that are only asked for something where they are there; `keyring` brings the second, and the desktop."""


def test_what_is_imported_is_declared() -> None:
    undeclared = {
        package: str(path.relative_to(PROJECT))
        for path in Path(PROJECT, "ml_dash").rglob("*.py")
        for package in imported(ast.parse(path.read_text(encoding="utf-8")))
        if package not in sys.stdlib_module_names | SCRIPTS_OWN | {"ml_dash"}
        and not DECLARED.intersection(map(normal, PROVIDED.get(package, [package])))
    }
    assert undeclared == {}


def test_what_is_imported_for_types_alone_need_not_be_there() -> None:
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b.c\n"
    source += "def f():\n    from d import e\n    from . import g\n"
    assert sorted(imported(ast.parse(source))) == ["b", "d"]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the packages that code imports when it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from imported(ast.Module([other], []))
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        else:
            yield from imported(node)


def normal(name: str) -> str:
    """The name of a distribution as indices write it, without extras and versions."""
    found = re.match(r"[\w.-]+", name)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def declared() -> set[str]:
    with Path(PROJECT, "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    users = {
        name: needs for name, needs in project["optional-dependencies"].items() if name not in {"dev", "docs"}
    }
    return {normal(need) for needs in (project["dependencies"], *users.values()) for need in needs}


DECLARED = declared()
