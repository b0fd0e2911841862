"""The package's own source, parsed once for all tests of a process that look into it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.project import PROJECT

__all__ = ["Source", "imported", "sources"]


class Source(NamedTuple):
    """What tests ask of a file of the package. Its tree is not kept: all of them would be half a million objects."""

    path: Path
    classes: tuple[tuple[str, int], ...]
    """Each class, and its lines."""
    packages: frozenset[str]
    """What it imports when it runs."""
    strings: tuple[str | bytes, ...]
    """Its literals, with `…` for what is put into one; the parts of those are here, too."""


@cache
def sources() -> tuple[Source, ...]:
    """Return all files of the package, in the order of their names."""
    return tuple(map(_source, sorted((PROJECT / "ml_dash").rglob("*.py"))))


def _source(path: Path) -> Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes: list[tuple[str, int]] = []
    strings: list[str | bytes] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str | bytes):
                strings.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            strings.append("".join(parts))
        elif isinstance(node, ast.ClassDef) and node.end_lineno is not None:
            classes.append((node.name, node.end_lineno - node.lineno + 1))
    return Source(path, tuple(classes), frozenset(imported(tree)), tuple(strings))


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
        elif not isinstance(node, ast.expr):  # which has no statements in it
            yield from imported(node)
