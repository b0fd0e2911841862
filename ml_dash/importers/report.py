"""What an import has done, and what it could not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

_KINDS_MOST = 200
"""Kinds of problems that a run's report has at most: a file of a million broken lines is one."""


@dataclass(slots=True)
class Problem:
    """Something that was not brought in: how often, and where first."""

    path: str
    reason: str
    count: int = 0
    first: str = ""

    def __str__(self) -> str:
        where = f", {self.first}" if self.first else ""
        more = f" (and {self.count - 1:,} more like it)" if self.count > 1 else ""
        return f"{self.path}{where}: {self.reason}{more}"


@dataclass(slots=True)
class RunReport:
    """What has become of one run.

    Attributes:
        place: Where it lies in the source.
        prefix: What it is called here; None where it was not brought in at all.
        rows: Rows of metrics that are new here.
        messages: Log messages that are.
        entries: Entries of tracks that are.
        files: Files that are new here.
        params: Whether parameters are new here.
        problems: What was not understood or could not be read, by path and reason.
        refused: Why nothing of it was brought in, or None.
        left_out: Further kinds of problems, which are not listed.
    """

    place: str
    prefix: str | None = None
    rows: int = 0
    messages: int = 0
    entries: int = 0
    files: int = 0
    params: bool = False
    problems: dict[tuple[str, str], Problem] = field(default_factory=dict)
    refused: str | None = None
    left_out: int = 0

    @property
    def events(self) -> int:
        """How many rows, messages and entries are new here."""
        return self.rows + self.messages + self.entries

    @property
    def has_news(self) -> bool:
        """Whether anything is new here."""
        return bool(self.events or self.files or self.params)

    def path_of(self, part: str) -> str:
        """Return where a part lies: below the run's directory or beside it; where that is a file, it is the file."""
        if not os.path.isdir(self.place):
            return self.place
        above, name = os.path.split(os.path.abspath(self.place))
        is_beside = part.startswith(f"{name}/")
        return os.path.join(above if is_beside else self.place, *part.split("/"))

    def note(self, path: str, reason: str, where: str = "") -> None:
        """Note what was not brought in; `where` in the file tells the first of its kind."""
        key = path, reason
        if key not in self.problems and len(self.problems) >= _KINDS_MOST:
            self.left_out += 1
            return
        problem = self.problems.setdefault(key, Problem(path, reason, 0, where))
        problem.count += 1

    @property
    def is_whole(self) -> bool:
        """Whether all of it was understood, and is here."""
        return not self.problems and self.refused is None
