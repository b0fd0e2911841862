"""The language in which experiments are asked for, in Python, in the shell and on the pages.

Words are looked for in prefix, tags, readme and note, in any case. A word with a star is a pattern of prefixes, as of
`ml_dash.query.patterns`. ``lr<0.01``, ``params.lr<0.01``, ``val/acc>0.9``, ``max(val/acc)>0.9``, ``tag:sweep-*``,
``status:completed``, ``started>2026-01-31`` and ``duration>2h`` are comparisons. All parts must hold.

What names mean is not told here, but where it is known what there is: see `ml_dash.query.listing.binding`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.query.listing.tokens import tokens_of

if TYPE_CHECKING:
    from ml_dash.query.listing.comparing import Operator
    from ml_dash.query.listing.tokens import Token

OPERATORS: dict[str, Operator] = {
    "=": "=",
    "==": "=",
    ":": "=",
    "!=": "!=",
    "<>": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
# All parts must hold anyway.
_AND = re.compile(r"and|&&?|,", re.IGNORECASE)
_REFUSED = re.compile(r"or|\|\|?|not", re.IGNORECASE)
_PARENTHESES = re.compile(r"[()]+")
_TURNED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NOT_CLOSED = "this quote is not closed"


class Problem(NamedTuple):
    """What cannot be understood, and why."""

    start: int
    stop: int
    message: str


class Comparison(NamedTuple):
    """A name that is compared with a value.

    Attributes:
        name: As it is written; of an aggregate what is in the parentheses.
        operator: How.
        value: As it is written, without quotes.
        start: Where it begins in the text.
        stop: Behind its last character.
        aggregate: ``max`` and so on, of ``max(val/acc)``; None without.
        is_pattern: Whether the value has a star that stands for any characters.
    """

    name: str
    operator: Operator
    value: str
    start: int
    stop: int
    aggregate: str | None = None
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """What a text asks for.

    Attributes:
        text: The text.
        words: Folded; all of them must be part of the prefix, a tag, the readme or the note.
        globs: Patterns; the prefix must fit all of them.
        comparisons: All of them must hold.
        problems: What cannot be understood.
    """

    text: str = ""
    words: list[str] = field(default_factory=list)
    globs: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse(text: str) -> Filter:
    """Return what a text asks for; what cannot be understood is among its problems, and asks for nothing."""
    found = Filter(text)
    tokens = tokens_of(text)
    at = 0
    while at < len(tokens):
        at += _take(found, tokens, at)
    return found


def _take(found: Filter, tokens: list[Token], at: int) -> int:
    """Take what begins with a token; return how many tokens it has."""
    token, following = tokens[at], tokens[at + 1 : at + 3]
    is_compared = bool(following) and following[0].kind == "operator"
    if token.kind == "open":
        _wrong(found, token, token, _NOT_CLOSED)
    elif token.kind == "operator":
        value = following[0] if following and not is_compared else None
        _wrong(found, token, value or token, f"{token.told} needs a name before it")
        return 1 if value is None else 2
    elif is_compared:
        return _take_comparison(found, tokens, at)
    elif token.kind == "call":
        example = token.told.strip("‘’")
        _wrong(found, token, token, f"{token.told} needs a comparison behind it, as {example} > 0.9")
    elif token.kind == "glob":
        found.globs.append(token.text)
    elif token.kind == "word" and _REFUSED.fullmatch(token.text):
        message = (
            f"there is no {token.told} here: all conditions must hold; put the word in quotes to look for it"
        )
        _wrong(found, token, token, message)
    elif token.kind == "word" and _PARENTHESES.fullmatch(token.text):
        message = (
            f"{token.told} groups nothing here: all conditions must hold; put it in quotes to look for it"
        )
        _wrong(found, token, token, message)
    elif token.kind != "word" or not _AND.fullmatch(token.text):
        found.words.append(token.text.casefold())
    return 1


def _take_comparison(found: Filter, tokens: list[Token], at: int) -> int:
    token, sign = tokens[at], tokens[at + 1]
    value = tokens[at + 2] if at + 2 < len(tokens) else None
    operator = OPERATORS.get(sign.text)
    if operator is None:
        _wrong(found, sign, sign, f"{sign.told} is unknown: compare by =, !=, <, <=, > or >=")
    elif value is None or value.kind == "operator":
        _wrong(found, token, sign, f"{sign.told} needs a value behind it")
    elif value.kind == "open":
        _wrong(found, value, value, _NOT_CLOSED)
    else:
        found.comparisons.append(_compared(token, operator, value))
        # lr in 0.01 < lr < 0.1 is a value, and then a name
        is_between = token.is_number and at + 3 < len(tokens) and tokens[at + 3].kind == "operator"
        return 2 if is_between else 3
    # what is not understood is left out as a whole
    return 2 if value is None or value.kind == "operator" else 3


def _compared(left: Token, operator: Operator, right: Token) -> Comparison:
    """Return a comparison; where the number stands first, the other way round."""
    start, stop = left.start, right.stop
    if left.is_number and not right.is_number:
        turned = _TURNED.get(operator, operator)
        return Comparison(right.text, turned, left.text, start, stop, right.aggregate)
    value = right.text if right.aggregate is None else right.told.strip("‘’")
    is_pattern = right.kind == "word" and "*" in value and operator in {"=", "!="}
    return Comparison(left.text, operator, value, start, stop, left.aggregate, is_pattern)


def _wrong(found: Filter, first: Token, last: Token, message: str) -> None:
    found.problems.append(Problem(first.start, last.stop, message))
