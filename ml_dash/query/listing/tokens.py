"""The words, quotes and operators that a filter's text is made of."""

from __future__ import annotations

import math
import re
from typing import Literal, TypeAlias

from ml_dash.records import NamedTuple

TokenKind: TypeAlias = Literal["word", "quoted", "operator", "open", "glob", "call"]

# With those of other languages, so that they can be refused by name.
_OPERATOR = re.compile(r"(?:[<>=]|[!~]=)[<>=!~]*|~(?=\s)|:")
# A word is looked for, or names something, and ends where an operator may begin. A value may have colons, as times do.
_WORD = re.compile(r'(?:(?![!~]=)[^\s<>=:"])+')
_VALUE = re.compile(r'(?:(?!!=)[^\s<>="])+')
# With a star before any operator it is a pattern of prefixes, of which = and : are a part: **/lr=0.1*
_GLOB = re.compile(r'(?:(?![!~]=)[^\s<>=:"*])*\*(?:(?![!~]=)[^\s<>"])*')
_CALL = re.compile(
    r"(last|first|min|max|mean|count|best)\(\s*"
    r"""(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([^\s"'<>=:]+))\s*\)(?=[\s<>=!~:,;]|\Z)""",
    re.IGNORECASE | re.DOTALL,
)
_QUOTES = re.compile(r"([\"'])((?:\\.|(?!\1)[^\\])*)(\1|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_INFINITY = re.compile(r"([+-]?)(?:inf|infinity|∞)", re.IGNORECASE)
_DIGITS_MAX = 400
"""No number that was logged has as many; Python takes a time that grows with their square."""


class Token(NamedTuple):
    """A part of a filter's text.

    Attributes:
        kind: ``open`` is a quote that is not closed, ``call`` an aggregate of what is in parentheses.
        text: What it says, without quotes; of a call the name in the parentheses.
        start: Where it begins.
        stop: Behind its last character.
        aggregate: Of a call, in small letters.
    """

    kind: TokenKind
    text: str
    start: int
    stop: int
    aggregate: str | None = None

    @property
    def told(self) -> str:
        """The token as messages show it."""
        text = self.text if self.aggregate is None else f"{self.aggregate}({self.text})"
        return f"‘{text}’"

    @property
    def is_number(self) -> bool:
        """Whether it is a number, and not one in quotes."""
        return self.kind == "word" and number_of(self.text) is not None


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a text: every text has some, whatever it says."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        token, at = _token(text, at, is_value=bool(found) and found[-1].kind == "operator")
        if token is not None:
            found.append(token)
    return found


def _token(text: str, start: int, *, is_value: bool) -> tuple[Token | None, int]:
    """Return the token that begins here, if one does, and where to go on."""
    if quoted := _QUOTES.match(text, start):
        kind: TokenKind = "quoted" if quoted[3] else "open"
        return Token(kind, _ESCAPED.sub(r"\1", quoted[2]), start, quoted.end()), quoted.end()
    if operator := _OPERATOR.match(text, start):
        return Token("operator", operator[0], start, operator.end()), operator.end()
    if call := _CALL.match(text, start):
        inside = next(group for group in call.groups()[1:] if group is not None)
        if call[4] is None:
            inside = _ESCAPED.sub(r"\1", inside)
        return Token("call", inside, start, call.end(), call[1].lower()), call.end()
    glob = None if is_value else _GLOB.match(text, start)
    word = glob or (_VALUE if is_value else _WORD).match(text, start)
    if word is None:
        return None, start + 1
    # a list of conditions, as people write one
    said = word[0].rstrip(",;") if is_value or glob else word[0]
    if not said:
        return None, word.end()
    return Token("glob" if glob else "word", said, start, start + len(said)), word.end()


def number_of(text: str) -> int | float | None:
    """Return the number that a text stands for; None where it is none. What is written without a point is an int."""
    said = text.strip().replace("\N{MINUS SIGN}", "-")
    if infinite := _INFINITY.fullmatch(said):
        return -math.inf if infinite[1] == "-" else math.inf
    if len(said) > _DIGITS_MAX or not _NUMBER.fullmatch(said):
        return None
    return int(said) if _WHOLE.fullmatch(said) else float(said)
