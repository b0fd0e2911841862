"""Expressions over metrics, such as ``val/loss - train/loss`` and ``cummin(val/loss)``: read here, and worked out.

A name may have ``/``, ``-``, ``.`` and the like between its words, as metrics have; so an operator that stands between
names has blanks around it. In quotes a name may be anything. What is worked out are points of lines: those of two
names belong together that lie in one cell of x.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from ml_dash.errors import InvalidFilterError
from ml_dash.query.listing.filters import Problem
from ml_dash.server.charts.smoothing import Smooth, smoothed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ml_dash.server.charts.numbers import Array

EXPRESSION_MAX = 1000
"""Characters of an expression."""
_DEPTH_MAX, _TOKENS_MAX = 50, 200
_TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w])"""
    r"""|(?P<quoted>(["'`])(?:\\.|(?!\4)[^\\])*\4)|(?P<name>[^\W\d]\w*(?:[./:@#-]\w+)*)|(?P<operator>\*\*|[-+*/^(),])""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ONE: dict[str, Callable[[Array], Array]] = {"abs": np.abs, "log": np.log, "exp": np.exp, "sqrt": np.sqrt}
_SEVERAL: dict[str, Callable[[Array, Array], Array]] = {"min": np.fmin, "max": np.fmax}
_RUNNING: dict[str, Callable[[Array], Array]] = {"cummin": np.fmin.accumulate, "cummax": np.fmax.accumulate}
FUNCTIONS = (*_ONE, *_SEVERAL, *_RUNNING, "ema")
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}


class Points(NamedTuple):
    """Points of a line, from left to right.

    Attributes:
        cell: What points of one cell have in common, ascending.
        x: Of each point.
        y: Its number, NaN where there is none.
        low: The lowest of its numbers, and so on.
        high: The highest.
    """

    cell: Array
    x: Array
    y: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A field of a metric, and where it stands in the text."""

    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an operator, of some values."""

    function: str
    of: tuple[Node, ...]


Node: TypeAlias = "Number | Name | Call"


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that makes sense, of at least one name."""

    text: str
    root: Node

    @property
    def names(self) -> dict[str, Name]:
        """The names in it, by their texts."""
        return {node.text: node for node in reversed([*_walk(self.root)]) if isinstance(node, Name)}

    @property
    def looks_back(self) -> bool:
        """Whether what comes before a point counts for it."""
        return any(
            isinstance(node, Call) and node.function in {*_RUNNING, "ema"} for node in _walk(self.root)
        )

    def wrong(self, name: Name, message: str) -> InvalidFilterError:
        """Return the error for one of its names."""
        return _error(self.text, name.start, name.stop, message)

    def worked_out(self, points: Mapping[str, Points]) -> Points:
        """Return what it amounts to, of the points of its names."""
        with np.errstate(all="ignore"):
            found = _value(self.root, points)
        assert isinstance(found, Points)  # noqa: S101 - it has a name
        return found


def parse_expression(text: str) -> Expression:
    """Return the expression that a text has.

    Raises:
        InvalidFilterError: It has none; the error says where.
    """
    if len(text) > EXPRESSION_MAX:
        raise _error(text[:40], 0, 40, f"it has {len(text):,} characters, and may have {EXPRESSION_MAX:,}")
    parser = _Parser(text)
    root = parser.sum(0)
    if parser.next.kind != "end":
        raise parser.unexpected("here an operator is missing: + - * / with blanks around it")
    expression = Expression(text, root)
    if not expression.names:
        raise _error(text, 0, len(text), "it has no metric: write one, as in val/loss - train/loss")
    return expression


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*_tokens(text)]
        self._at = 0
        # each may be a level of the tree
        if len(self._tokens) > _TOKENS_MAX:
            last = self._tokens[_TOKENS_MAX]
            raise _error(text, last.start, last.stop, f"it has more than {_TOKENS_MAX} parts")

    @property
    def next(self) -> _Token:
        return self._tokens[self._at]

    def unexpected(self, message: str) -> InvalidFilterError:
        return _error(self._text, self.next.start, self.next.stop, message)

    def sum(self, depth: int) -> Node:
        return self._binary({"+", "-"}, self._product, depth)

    def _product(self, depth: int) -> Node:
        return self._binary({"*", "/"}, self._signed, depth)

    def _binary(self, operators: set[str], operand: Callable[[int], Node], depth: int) -> Node:
        found = operand(depth)
        while self.next.kind == "operator" and self.next.text in operators:
            operator = self._take().text
            found = Call(operator, (found, operand(depth)))
        return found

    def _signed(self, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            raise self.unexpected(f"it is nested more than {_DEPTH_MAX} levels deep")
        if self.next.kind == "operator" and self.next.text in {"-", "+"}:
            is_minus = self._take().text == "-"
            signed = self._signed(depth + 1)
            return Call("-", (Number(0.0), signed)) if is_minus else signed
        base = self._single(depth)
        if self.next.kind == "operator" and self.next.text in {"^", "**"}:
            self._take()
            return Call("^", (base, self._signed(depth + 1)))
        return base

    def _single(self, depth: int) -> Node:
        token = self.next
        if token.kind == "number":
            return Number(float(self._take().text))
        if token.kind in {"name", "quoted"}:
            self._take()
            if token.kind == "name" and self.next.text == "(":
                return self._call(token, depth)
            text = _ESCAPED.sub(r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text
            return Name(text, token.start, token.stop)
        if token.text == "(":
            self._take()
            inside = self.sum(depth + 1)
            self._close()
            return inside
        raise self.unexpected("here a metric, a number or a function is missing")

    def _call(self, name: _Token, depth: int) -> Node:
        function = name.text.lower()
        if function not in FUNCTIONS:
            message = f"there is no function {name.text!r}: use {', '.join(FUNCTIONS)}"
            raise _error(self._text, name.start, name.stop, message)
        self._take()
        given = [self.sum(depth + 1)]
        while self.next.text == ",":
            self._take()
            given.append(self.sum(depth + 1))
        self._close()
        if problem := _wrong_arguments(function, given):
            raise _error(self._text, name.start, self._tokens[self._at - 1].stop, problem)
        return Call(function, tuple(given))

    def _close(self) -> None:
        if self.next.text != ")":
            raise self.unexpected("here a ) is missing")
        self._take()

    def _take(self) -> _Token:
        token = self.next
        self._at += 1
        return token


def _wrong_arguments(function: str, given: list[Node]) -> str | None:
    if function in _SEVERAL:
        return (
            None
            if len(given) > 1
            else f"{function} needs two values or more; the one so far is cum{function}"
        )
    if function != "ema":
        return None if len(given) == 1 else f"{function} takes one value"
    is_weight = len(given) == 2 and isinstance(given[1], Number) and 0 <= given[1].value < 1
    return (
        None if is_weight else "ema takes a value and a weight from 0 to below 1, as in ema(train/loss, 0.9)"
    )


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            stop = at + 1
            message = "this quote is not closed" if text[at] in "\"'`" else f"{text[at]!r} means nothing here"
            raise _error(text, at, stop, message)
        at = found.end()
        kind = found.lastgroup or ""
        if kind != "blank":
            yield _Token(kind, found[0], found.start(), at)
    yield _Token("end", "", len(text), len(text))


def _error(text: str, start: int, stop: int, message: str) -> InvalidFilterError:
    return InvalidFilterError.of("expression", text, [Problem(start, stop, message)])


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Call):
        for each in node.of:
            yield from _walk(each)


def _value(node: Node, points: Mapping[str, Points]) -> Points | float:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return points[node.text]
    values = [_value(each, points) for each in node.of]
    if node.function in _RUNNING:
        return _so_far(node.function, values[0])
    if node.function == "ema":
        return _average(*values)
    if node.function in _ONE:
        function = _ONE[node.function]
        return _applied(lambda each, _: function(each), values[0], 0.0)
    combine = _SEVERAL.get(node.function) or _BINARY[node.function]
    found = values[0]
    for each in values[1:]:
        found = _applied(combine, found, each)
    return found


def _applied(
    function: Callable[[Array, Array], Array], one: Points | float, other: Points | float
) -> Points | float:
    if isinstance(one, Points) and isinstance(other, Points):
        cell, here, there = np.intersect1d(one.cell, other.cell, assume_unique=True, return_indices=True)
        return _plain(cell, one.x[here], function(one.y[here], other.y[there]))
    if isinstance(one, Points):
        return _plain(one.cell, one.x, function(one.y, np.asarray(other)))
    if isinstance(other, Points):
        return _plain(other.cell, other.x, function(np.asarray(one), other.y))
    return float(function(np.asarray(one), np.asarray(other)))


def _so_far(function: str, value: Points | float) -> Points | float:
    if not isinstance(value, Points):
        return value
    # of a metric itself, a point is the mean of its rows: the lowest of them is what was asked for
    numbers = value.low if function == "cummin" else value.high
    return _plain(value.cell, value.x, _RUNNING[function](numbers) if len(numbers) else numbers)


def _average(value: Points | float, weight: Points | float) -> Points | float:
    if not isinstance(value, Points) or isinstance(weight, Points) or not len(value.x):
        return value
    some = np.isfinite(value.y)
    extent = float(value.x.max() - value.x.min())
    mean, count = np.where(some, value.y, 0.0), some.astype(np.int64)
    y = smoothed(Smooth("ema", weight), extent, value.x, value.x, mean, count, np.arange(len(mean)))
    return _plain(value.cell, value.x, y)


def _plain(cell: Array, x: Array, y: Array) -> Points:
    y = np.where(np.isfinite(y), y, np.nan)
    return Points(cell, x, y, y, y)
