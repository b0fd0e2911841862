"""Messages written for a terminal, as they look there in the end: what was overwritten is gone, colours are kept."""

from __future__ import annotations

import re

from rich.text import Text

from ml_dash.query.escapes import ESCAPE
from ml_dash.visible import visible

_ESCAPE = re.compile(ESCAPE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# A cursor that is sent farther would fill the memory.
_COLUMN_MAX = 10_000
# Black and white are those of the terminal: one of them could not be read.
_COLORS = ("", "red", "green", "yellow", "blue", "magenta", "cyan", "")
_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",)}
_PALETTE, _RGB = 5, 2


def terminal_lines(text: str, style: str = "") -> list[Text]:
    """Return the lines of a text, made safe to show.

    Args:
        text: What somebody wrote, perhaps with the escape sequences of colours and of progress bars.
        style: The style of what has none of its own.
    """
    text = text.replace("\r\n", "\n").removesuffix("\n")
    if not _CONTROL.search(text):
        return [Text(visible(line), style) for line in text.split("\n")]
    screen = _Screen()
    at = 0
    while at < len(text):
        if sequence := _ESCAPE.match(text, at):
            at = sequence.end()
            if sequence["last"]:
                screen.obey(sequence["parameters"], sequence["last"])
        else:
            screen.put(text[at])
            at += 1
    return screen.lines(style)


def plain_text(text: str) -> str:
    """Return what `terminal_lines` does as a text, without colours."""
    return "\n".join(line.plain for line in terminal_lines(text))


class _Screen:
    """A terminal, as far as what was written to it is to be seen: rows of characters with their styles."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[str, frozenset[str]]]] = [[]]
        self._row = self._column = 0
        self._style: frozenset[str] = frozenset()

    def put(self, character: str) -> None:
        if character == "\n":
            self._move(self._row + 1, 0)
        elif character == "\r":
            self._column = 0
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif not _CONTROL.match(character):
            cells = self._rows[self._row]
            cells.extend([(" ", frozenset())] * (self._column - len(cells)))
            cells[self._column : self._column + 1] = [(character, self._style)]
            self._column += 1

    def obey(self, parameters: str, last: str) -> None:
        """Do what a sequence says that moves, erases or colours."""
        numbers = [
            int(each) if each.isdecimal() and len(each) < 6 else 0 for each in re.split("[;:]", parameters)
        ]
        count = max(1, numbers[0])
        cells = self._rows[self._row]
        match last:
            case "m":
                self._style = _styled(self._style, numbers)
            case "A":
                self._move(self._row - count, self._column)
            case "B":
                self._move(min(self._row + count, len(self._rows) - 1), self._column)
            case "C":
                self._column = min(_COLUMN_MAX, self._column + count)
            case "D":
                self._column = max(0, self._column - count)
            case "G":
                self._column = min(_COLUMN_MAX, count - 1)
            case "K" if numbers[0] == 2:
                cells.clear()
            case "K" if numbers[0] == 0:
                del cells[self._column :]

    def lines(self, style: str) -> list[Text]:
        drawn = []
        for cells in self._rows:
            line = Text(style=style)
            for character, own in cells:
                line.append(visible(character), " ".join(sorted(own)))
            drawn.append(line)
        return drawn

    def _move(self, row: int, column: int) -> None:
        self._row, self._column = max(0, row), column
        while len(self._rows) <= self._row:
            self._rows.append([])


def _styled(style: frozenset[str], numbers: list[int]) -> frozenset[str]:
    """Return the style after a sequence of graphic renditions."""
    rest = iter(numbers)
    for number in rest:
        if number == 0:
            style = frozenset()
        elif number in _ON:
            style |= {_ON[number]}
        elif number in _OFF:
            style -= set(_OFF[number])
        elif 30 <= number <= 37 or 90 <= number <= 97:
            style = _colored(style, _COLORS[number % 10])
        elif number == 39:
            style = _colored(style, "")
        elif number in {38, 48}:
            # of 256 colours, or of red, green and blue
            kind = next(rest, 0)
            given = [next(rest, 0) for _ in range({_PALETTE: 1, _RGB: 3}.get(kind, 0))]
            if number == 38 and given:
                style = _colored(style, _exact(given))
    return style


def _colored(style: frozenset[str], color: str) -> frozenset[str]:
    return frozenset(each for each in style if each in _ON.values()) | ({color} if color else set())


def _exact(given: list[int]) -> str:
    limited = [min(each, 255) for each in given]
    return f"color({limited[0]})" if len(limited) == 1 else "rgb({},{},{})".format(*limited)
