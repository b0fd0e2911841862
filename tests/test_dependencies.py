"""Every package that ML-Dash imports is one that it declares.

What is only there because another package asks for it may be gone with that one's next version: the command line once
imported `click`, which `typer` then brought no more.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ml_dash.errors import EXTRAS
from tests.support.project import PROJECT
from tests.support.sources import imported, sources

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT_TABLE = tomllib.loads(Path(PROJECT, "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCRIPTS_OWN = {"torch", "secretstorage", "pynvml"}
"""Packages that are only asked for something where they are there.

`keyring` brings the second, and the desktop; `nvidia-ml-py` the third, which is declared under that name alone.
"""


def test_what_is_imported_is_declared() -> None:
    provided = packages_distributions()
    undeclared = {
        package: str(source.path.relative_to(PROJECT))
        for source in sources()
        for package in source.packages
        if package not in sys.stdlib_module_names | SCRIPTS_OWN | {"ml_dash"}
        and not DECLARED.intersection(map(normal, provided.get(package, [package])))
    }
    assert undeclared == {}


def test_what_an_error_tells_to_install_is_what_the_extra_has() -> None:
    """All extras that users may need; those of developers and of the demo are told by the README alone."""
    told = {extra: {normal(need) for need in shlex.split(needs)} for extra, needs in EXTRAS.items()}
    assert told == {
        extra: {normal(need) for need in needs}
        for extra, needs in PROJECT_TABLE["optional-dependencies"].items()
        if extra not in {"demo", "dev", "docs"}
    }
    # with the extras of the packages themselves: without its own C library psycopg imports, and then finds none
    written = " ".join(EXTRAS.values())
    for needs in PROJECT_TABLE["optional-dependencies"].values():
        for need in needs:
            package = re.sub(r"[<>=].*", "", need)
            assert "[" not in package or package.startswith("ml-dash[") or f"'{package}'" in written


def test_nothing_tells_to_install_us_by_our_name() -> None:
    """On the package index `ml-dash` is another project: a clone, a wheel or git have to be named."""
    texts = [
        *(path for name in ("ml_dash", "benchmarks", "docs") for path in Path(PROJECT, name).rglob("*.py")),
        *Path(PROJECT, "dashboard", "src").rglob("*.ts*"),
        *Path(PROJECT, "docs").rglob("*.md"),
        Path(PROJECT, "README.md"),
    ]
    by_name = re.compile(
        r"(?:pip|uv|pipx)3? (?:install|add)[^\n`\"#]*[\s'\"]ml-dash(?![\w/.-]|\[[\w,]+\] @)[^\n]*"
    )
    found = {
        str(path.relative_to(PROJECT)): match.group()
        for path in texts
        for match in by_name.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == {}


def test_what_is_imported_for_types_alone_need_not_be_there() -> None:
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b.c\n"
    source += "def f():\n    from d import e\n    from . import g\n"
    assert sorted(imported(ast.parse(source))) == ["b", "d"]


def normal(name: str) -> str:
    """The name of a distribution as indices write it, without extras and versions."""
    found = re.match(r"[\w.-]+", name)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def declared() -> set[str]:
    users = {
        name: needs
        for name, needs in PROJECT_TABLE["optional-dependencies"].items()
        if name not in {"dev", "docs"}
    }
    return {normal(need) for needs in (PROJECT_TABLE["dependencies"], *users.values()) for need in needs}


DECLARED = declared()
