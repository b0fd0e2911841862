"""Patterns of names of files: ``*``, ``?`` and ``[…]`` within a segment, ``**`` across segments.

A pattern without a slash is one of filenames, at any depth; one with a slash is of the whole name from the root on.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def is_pattern(text: str) -> bool:
    """Tell whether a text has one of ``*``, ``?`` and ``[``."""
    return any(character in text for character in "*?[")


# a page of a server's files asks for the same pattern again and again; bounded, for clients make them up
@lru_cache(maxsize=256)
def pattern_matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells which whole names, without a leading slash, a pattern means.

    However many stars it has, the time is at most that of comparing each segment of one with each of the other: no
    pattern makes a server think for ever.

    Example:
        >>> pattern_matcher("models/**/*.pt")("models/a/b/best.pt")
        True
    """
    wanted = _wanted(pattern)
    return lambda name: _fits(wanted, name.split("/"))


def may_mean_below(pattern: str, folder: str) -> bool:
    """Tell whether a pattern may mean a name in a folder, or in one of its folders, whichever names there are.

    Example:
        >>> may_mean_below("alice/*/run-*", "alice/vision"), may_mean_below("alice/*/run-*", "alice/vision/old")
        (True, False)
    """
    wanted = _wanted(pattern)
    turns = {0}
    for segment in folder.split("/"):
        turns = _without_many(wanted, turns)
        turns = {
            turn if wanted[turn] is None else turn + 1
            for turn in turns
            if turn < len(wanted) and ((regex := wanted[turn]) is None or regex.fullmatch(segment))
        }
    # what is left of the pattern must have a name to mean
    return any(turn < len(wanted) for turn in turns)


def _without_many(wanted: Sequence[re.Pattern[str] | None], turns: set[int]) -> set[int]:
    """Return these places of a pattern, and those behind a ``**`` that stands for nothing."""
    found = set(turns)
    for turn in turns:
        at = turn
        while at < len(wanted) and wanted[at] is None:
            at += 1
            found.add(at)
    return found


def _wanted(pattern: str) -> list[re.Pattern[str] | None]:
    """Return what each segment of a name must be; None stands for any number of them, none included."""
    text = pattern.lstrip("/")
    if "/" not in pattern and text != "**":
        text = f"**/{text}"
    segments = text.split("/")
    if segments[-1] == "**":
        segments.append("*")  # at the end, at least a filename
    return [None if segment == "**" else re.compile(_segment(segment), re.DOTALL) for segment in segments]


def _fits(wanted: Sequence[re.Pattern[str] | None], segments: Sequence[str]) -> bool:
    """Whether each segment is wanted in its turn; None stands for any number of them, none included.

    Only the last None has to give way: what an earlier one could take instead, the last one can take as well.
    """
    at = turn = 0
    many, taken = -1, 0
    while at < len(segments):
        regex = wanted[turn] if turn < len(wanted) else None
        if turn < len(wanted) and regex is None:
            many, taken = turn, at
            turn += 1
        elif regex is not None and regex.fullmatch(segments[at]):
            at, turn = at + 1, turn + 1
        elif many >= 0:
            taken += 1
            at, turn = taken, many + 1
        else:
            return False
    return all(regex is None for regex in wanted[turn:])


def _segment(pattern: str) -> str:
    """Return what matches one segment.

    What stands between two stars is found where it comes first, and that is never gone back on: a lookahead keeps
    what it has found (Python has atomic groups from 3.11 on only).
    """
    first, *others = _between_stars(pattern)
    if not others:
        return first
    *middle, last = others
    kept = "".join(f"(?=(?P<p{number}>.*?{part}))(?P=p{number})" for number, part in enumerate(middle))
    return f"{first}{kept}.*{last}"


def _between_stars(pattern: str) -> list[str]:
    """Return what stands before, between and behind the stars of a pattern, as expressions without any choice."""
    parts = [""]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        # a "]" that comes first, perhaps behind a "!", is one of the choices, as in every shell
        end = pattern.find("]", at + (3 if pattern[at + 1 : at + 2] in {"!", "^"} else 2))
        if character == "[" and end > 0:
            parts[-1] += _choice(pattern[at + 1 : end])
            at = end + 1
            continue
        if character == "*":
            parts.append("")
        else:
            parts[-1] += "." if character == "?" else re.escape(character)
        at += 1
    return parts


def _choice(content: str) -> str:
    """Return the set of characters that ``[content]`` means, which never has a slash in it."""
    negated = content[0] in "!^"
    members = content[1:] if negated else content
    found = ""
    at = 0
    while at < len(members):
        first, last = members[at], members[at + 2 : at + 3]
        if members[at + 1 : at + 2] == "-" and last:
            found += f"{re.escape(first)}-{re.escape(last)}" if first <= last else ""
            at += 3
            continue
        found += re.escape(first)
        at += 1
    if negated:
        return f"[^/{found}]"
    return f"(?!/)[{found}]" if found else "(?!)"
