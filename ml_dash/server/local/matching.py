"""Which experiments a list is asked for, as a condition of SQL over the tables of a root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.query.listing.comparing import folded
from ml_dash.server.catalogue.records import STALE
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from ml_dash.server.catalogue.records import ExperimentFilter


class Conditions:
    """Conditions that all must hold, and the values of their parameters."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self._found: list[str] = []

    @property
    def where(self) -> str:
        """What comes behind WHERE."""
        return " AND ".join(self._found) or "1 = 1"

    def add(self, condition: str, **values: object) -> None:
        """Take in a condition, with a name for each of its values."""
        for name, value in values.items():
            unique = f"{name}{len(self.values)}"
            condition = condition.replace(f":{name}", f":{unique}")
            self.values[unique] = value
        if condition:
            self._found.append(condition)

    def add_text(self, column: str, text: str | None) -> None:
        """Take in that a column has this text; None asks for nothing."""
        if text is not None:
            self.add(f"{column} = :text", text=text)

    def add_folder(self, column: str, folder: str | None) -> None:
        """Take in that a column has this path, or one below it."""
        if folder is not None:
            self.add(
                f"({column} = :text OR ({column} >= :first AND {column} < :last))",
                text=folder,
                first=f"{folder}/",
                last=f"{folder}0",
            )


def matching(where: ExperimentFilter) -> Conditions:
    """Return what a list is asked for, over the alias ``e``."""
    found = Conditions()
    if where.owners is not None:
        names = {f"owner{number}x": owner for number, owner in enumerate(sorted(where.owners))}
        found.add(f"e.owner IN ({', '.join(f':{name}' for name in names)})", **names)
    found.add_text("e.owner", where.owner)
    found.add_text("e.project", where.project)
    found.add_folder("e.prefix", where.prefix)
    found.add_folder("e.folder", where.folder)
    if where.tag is not None:
        found.add(
            "e.id IN (SELECT t.experiment_id FROM tags t WHERE t.tag = :tag AND instr(t.written, :written) > 0)",
            tag=folded(where.tag),
            written=f"\n{where.tag}\n",
        )
    if where.status == RunStatus.RUNNING:
        found.add("e.open > 0")
    elif where.status is not None:
        found.add(
            "e.standing = :standing", standing="stale" if where.status == STALE else where.status.lower()
        )
    for word in [*(where.search or "").split(), *where.texts]:
        found.add("instr(e.words, :word) > 0", word=folded(word))
    return found
