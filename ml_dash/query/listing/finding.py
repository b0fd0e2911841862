"""Which experiments a question finds, how many, and which of them are on a page: the statements, in turn.

PostgreSQL knows how often values occur, and plans by that; it only is told where few are found, and how many have all
of several things that most have is counted in memory. SQLite does not know, and a join takes it a look-up for each of a
hundred thousand runs. So there each condition is asked by itself: the rows of which it holds lie side by side in an
index. Which runs have all of them is told by sets in memory, and so is, along the order, which of them are on a page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ml_dash.query.listing.sql import Among, Compiled, Phase

FEW = 5000
"""Experiments that are sorted by themselves. Of more than these, a page is found where all are looked at in order."""
HANDFUL = 100
"""Experiments of which each is looked up in the table of what they are sorted by; more are met in its order."""
AHEAD = 2000
"""Experiments of an order that are looked at for a page; where it is not among them, the database looks at the rest."""
HELD = 250_000
"""Experiments whose keys are held in memory: of more that a condition holds of, the database does all."""
Place: TypeAlias = "list[Any]"
"""Of the last experiment of a page: its phase, by what it was sorted there, and its ties."""


class Statement(NamedTuple):
    """What is asked of the tables.

    Attributes:
        columns: What comes behind SELECT.
        source: What comes behind FROM.
        where: What must hold, all of it; empty ones say nothing.
        order: What comes behind ORDER BY; empty for no order.
        limit: How many are returned at most; None for all.
        values: Parameters besides those of the question.
        is_of_experiments: Whether the source has the table ``e``, of which a place may ask more.
        is_not: Whether those are asked for of which not all of this holds.
    """

    columns: Sequence[str]
    source: str
    where: Sequence[str] = ()
    order: str = ""
    limit: int | None = None
    values: Mapping[str, Any] = {}
    is_of_experiments: bool = True
    is_not: bool = False

    def text(self, also: str = "") -> str:
        """Return it as SQL; `also` must hold of experiments besides."""
        conditions = [*self.where, also if self.is_of_experiments else ""]
        where = " AND ".join(f"({each})" for each in conditions if each)
        if self.is_not:
            where = f"({where or 'true'}) IS NOT true"
        limit = "" if self.limit is None else f" LIMIT {self.limit:d}"
        return (
            f"SELECT {', '.join(self.columns)} FROM {self.source}"  # noqa: S608 - what users write is in parameters
            f"{where and f' WHERE {where}'}{self.order and f' ORDER BY {self.order}'}{limit}"
        )


Run: TypeAlias = Callable[[Statement], Sequence[Sequence[Any]]]
"""Asks a place, with the question's parameters and the statement's own, and returns the rows."""


class Found(NamedTuple):
    """An experiment, by its key, and where it stands; with the columns that are read besides."""

    id: Any
    place: Place
    columns: Sequence[Any] = ()


def finder(question: Compiled, run: Run, columns: Sequence[str] = ()) -> Finder:
    """Return what asks a question of a database, and reads these columns of the table ``e`` besides."""
    return (_InSQLite if question.dialect == "sqlite" else _InPostgreSQL)(question, run, columns)


class Finder:
    """Asks for a page in one statement for each phase of the order, and in one for how many there are.

    Make one with `finder`, for as long as the database stays as it is. Where all columns that are read are in an index,
    nothing else is looked at: what is shown of an experiment is better read for those that are shown.
    """

    def __init__(self, question: Compiled, run: Run, columns: Sequence[str]) -> None:
        self._question = question
        self._schema = question.schema
        self._run = run
        self._columns = columns
        self._total: int | None = None

    def page(self, place: Place | None, most: int) -> list[Found]:
        """Return the next experiments, behind a place (None for the first page), and `most` of them at most."""
        found = self._page(place, most)
        if place is None and len(found) < most:
            self._total = len(found)
        return found

    def total(self) -> int:
        """Return how many are asked for; where all of them were on the first page there is nothing to count."""
        if self._total is None:
            self._total = self._count()
        return self._total

    def _page(self, place: Place | None, most: int) -> list[Found]:
        few = self._few
        if few is None:
            return self._in_turn(place, most)
        return _OfFew(self._question, self._run, self._columns, few).page(place, most) if few else []

    @cached_property
    def _few(self) -> Collection[Any] | None:
        """All that are asked for, if they are few, and told by other tables.

        That they come late in an order is known to no database: it would look for them along all of it.
        """
        if not self._question.among or self.total() > FEW:
            return None
        return self._keys([self._question.where])

    def _in_turn(self, place: Place | None, most: int) -> list[Found]:
        """Return the next ones; those of one phase of the order come behind those of the one before."""
        found: list[Found] = []
        for number in range(0 if place is None else place[0], len(self._question.phases)):
            if len(found) == most:
                break
            behind = place if place is not None and place[0] == number else None
            found += self._of_phase(number, behind, most - len(found))
        return found

    def _of_phase(self, number: int, place: Place | None, most: int) -> list[Found]:
        """Return the next ones of a phase; `place` is one of it."""
        phase, own, among = self._question.phases[number], self._question.own, self._question.among
        if among:
            # each is looked up, of fewer than where that is told by what is in memory
            found = self._ahead(number, place, most, max(AHEAD // 4, most), self._with_all)
            if found is not None:
                return found
        # What they are sorted by has to do with what is asked for. With its OFFSET, PostgreSQL collects what is asked
        # for, rather than to look along the order at one after the other.
        owner = self._schema.owner_id
        collected = [f"{phase.id} IN ({each.select(owner)} OFFSET 0)" for each in among]
        return self._sorted(number, phase, [own, *collected], place, most)

    def _ahead(
        self,
        number: int,
        place: Place | None,
        most: int,
        ahead: int,
        are: Callable[[Collection[Any]], Collection[Any]],
    ) -> list[Found] | None:
        """Return the next ones of a phase; None where they are not among so many of the order.

        `are` tells of some ids which are asked for.
        """
        found = self._sorted(number, self._question.phases[number], [self._question.own], place, ahead)
        ids = are([each.id for each in found])
        kept = [each for each in found if each.id in ids]
        return kept[:most] if len(kept) >= most or len(found) < ahead else None

    def _with_all(self, ids: Collection[Any]) -> Collection[Any]:
        """Return those of some experiments that have what must be in other tables."""
        for each in self._question.among:
            ids = self._with(each, ids)
        return ids

    def _sorted(
        self, number: int, phase: Phase, where: Sequence[str], place: Place | None, most: int, **values: Any
    ) -> list[Found]:
        """Return those of a phase of which something holds."""
        ties = self._schema.ties
        if place is not None:
            where = [*where, _behind(phase, ties)]
            values |= {"key": place[1], **{f"tie{at}": tie for at, tie in enumerate(place[2:])}}
        columns = [f"e.{self._schema.id}", *self._columns, phase.key or "NULL", *ties]
        rows = self._run(
            Statement(columns, phase.source, [phase.where, *where], _order(phase, ties), most, values)
        )
        behind = 1 + len(self._columns)
        return [Found(row[0], [number, *row[behind:]], row[1:behind]) for row in rows]

    def _count(self) -> int:
        own, among = self._question.own, self._question.among
        if not own and len(among) == 1 and among[0].is_once:
            # all rows but those of deleted experiments, say: quicker than to look up whose each of them is
            others = self._keys([], limit=FEW + 1, is_not=True)
            if len(others) <= FEW:
                rows = self._number(f"{among[0].table} c", [among[0].where], is_of_experiments=False)
                return rows - (len(self._with(among[0], others)) if others else 0)
        return self._number(self._all, [self._question.where])

    def _number(self, source: str, where: Sequence[str], *, is_of_experiments: bool = True) -> int:
        asked = Statement(["count(*)"], source, where, is_of_experiments=is_of_experiments)
        found: int = self._run(asked)[0][0]
        return found

    def _with(self, among: Among, ids: Iterable[Any]) -> set[Any]:
        """Return those of some experiments that have a row in another table."""
        owner = f"c.{self._schema.owner_id}"
        where, values = self._are(owner, ids, is_met=True)
        asked = Statement(
            [owner], f"{among.table} c", [among.where, where], values=values, is_of_experiments=False
        )
        return {id_ for (id_,) in self._run(asked)}

    def _are(
        self, expression: str, ids: Iterable[Any], *, is_met: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """Return the condition that a key is one of these, and its parameters.

        `is_met` keeps SQLite, which does not know how many rows each of them has, from looking these up.
        """
        if self._question.dialect == "sqlite":
            where = f"{'+' if is_met else ''}{expression} IN (SELECT value FROM json_each(:these))"  # noqa: S608
            return where, {"these": json.dumps([*ids])}
        return f"{expression} = ANY(CAST(:these AS {self._schema.id_type}[]))", {"these": [*ids]}

    def _keys(
        self, where: Sequence[str], *, limit: int | None = None, is_not: bool = False, **values: Any
    ) -> list[Any]:
        asked = Statement([f"e.{self._schema.id}"], self._all, where, "", limit, values, is_not=is_not)
        return [id_ for (id_,) in self._run(asked)]

    @property
    def _all(self) -> str:
        return f"{self._schema.experiments} e"


class _InPostgreSQL(Finder):
    """Counts by itself what has several things of which each is common."""

    def _count(self) -> int:
        found = self._count_apart()
        return super()._count() if found is None else found

    def _count_apart(self) -> int | None:
        """Return how many are asked for, put together of the rows of each condition; None where a join is as good.

        Of most of the experiments, the database would make a table of each condition, to join them: for no row of
        another table is it known that its experiment has one only. Keys alone, eight bytes each, take a third of that.
        """
        own, among = self._question.own, self._question.among
        if len(among) + bool(own) < 2 or self._schema.id_type != "bigint":
            return None
        if not among or not all(each.is_once and self._is_common(each) for each in among):
            return None
        import numpy as np

        found: Any = None
        for each in among:
            rows = f"({each.select(self._schema.owner_id)} LIMIT {HELD + 1}) c"
            ids = self._numbers(f"c.{self._schema.owner_id}", rows, is_of_experiments=False)
            if ids is None:
                return None
            found = ids if found is None else np.intersect1d(found, ids, assume_unique=True)
        # most of them are as asked for themselves, as a rule: then it is quicker to tell which are not
        others = self._keys([own], limit=FEW + 1, is_not=True)
        if len(others) <= FEW:
            return len(found) - int(np.isin(np.array(others, np.int64), found).sum())
        ids = self._numbers(f"e.{self._schema.id}", self._all, [own])
        return None if ids is None else len(np.intersect1d(found, ids, assume_unique=True))

    def _numbers(
        self, key: str, source: str, where: Sequence[str] = (), *, is_of_experiments: bool = True
    ) -> Any:
        """Return the keys of some rows as an array; None for too many."""
        import numpy as np

        # in one value: to make a row of each takes longer than to find it
        packed = f"CASE WHEN count(*) <= {HELD} THEN coalesce(string_agg(int8send({key}), ''), '') END"
        asked = Statement([packed], source, where, is_of_experiments=is_of_experiments)
        found = self._run(asked)[0][0]
        return None if found is None else np.frombuffer(found, ">i8").astype(np.int64)

    def _is_common(self, among: Among) -> bool:
        """Say whether more than a few experiments have a row in another table."""
        rows = f"({among.select(self._schema.owner_id)} LIMIT {FEW + 1}) c"
        return self._number(rows, [], is_of_experiments=False) > FEW


class _InSQLite(Finder):
    """Asks for each condition by itself."""

    def _count(self) -> int:
        return super()._count() if self._ids is None else len(self._ids)

    @cached_property
    def _few(self) -> Collection[Any] | None:
        return None if self._ids is None or len(self._ids) > FEW else self._ids

    @cached_property
    def _ids(self) -> Collection[Any] | None:
        """Which are asked for; None where these are too many, or no condition makes them few."""
        ids: set[Any] | None = None
        for each in self._among:
            new = self._all_with(each) if ids is None or len(ids) > FEW else self._with(each, ids)
            if len(new) > HELD:
                return None
            ids = set(new) if ids is None else ids.intersection(new)
        if ids is not None:
            return self._own(ids)
        if not self._question.own:
            return None
        found = self._keys([self._question.own], limit=FEW + 1)
        return found if len(found) <= FEW else None

    @cached_property
    def _among(self) -> Sequence[Among]:
        """What must be in other tables, that with the fewest rows first."""
        among = self._question.among
        if len(among) < 2:
            return among
        return sorted(
            among, key=lambda each: self._number(f"{each.table} c", [each.where], is_of_experiments=False)
        )

    def _all_with(self, among: Among) -> Collection[Any]:
        """Return those that have a row in another table; of very many not all."""
        rows = among.select(self._schema.owner_id)
        limited = f"(SELECT {self._schema.owner_id} AS id FROM ({rows}) LIMIT {HELD + 1})"  # noqa: S608
        # in one text: to make a row of each takes longer than to find it
        asked = Statement(["json_group_array(id)"], limited, is_of_experiments=False)
        found: list[Any] = json.loads(self._run(asked)[0][0])
        return found

    def _own(self, ids: set[Any]) -> set[Any] | None:
        """Return those that are as asked for themselves; None for too many."""
        own = [self._question.own]
        if len(ids) <= FEW:
            where, values = self._are(f"e.{self._schema.id}", ids)
            return set(self._keys([*own, where], **values))
        # most of them are, as a rule: then it is quicker to tell which are not
        others = self._keys(own, limit=FEW + 1, is_not=True)
        if len(others) <= FEW:
            return ids.difference(others) if others else ids
        found = self._keys(own, limit=HELD + 1)
        return ids.intersection(found) if len(found) <= HELD else None

    def _of_phase(self, number: int, place: Place | None, most: int) -> list[Found]:
        phase, ids = self._question.phases[number], self._ids
        if not self._among or ids is None:
            return super()._of_phase(number, place, most)
        found = self._ahead(number, place, most, max(AHEAD, most), lambda _: ids)
        if found is not None:
            return found
        where, values = self._are(phase.id, ids, is_met=True)
        return self._sorted(number, phase, [where], place, most, **values)


class _OfFew(Finder):
    """Sorts a few experiments, which are known to be as was asked for."""

    def __init__(self, question: Compiled, run: Run, columns: Sequence[str], ids: Collection[Any]) -> None:
        super().__init__(question, run, columns)
        self._ids = ids

    def _page(self, place: Place | None, most: int) -> list[Found]:
        return self._in_turn(place, most)

    def _of_phase(self, number: int, place: Place | None, most: int) -> list[Found]:
        phase, ids = self._question.phases[number], self._ids
        if phase.without is not None:
            others = self._with(phase.without, ids)
            phase, ids = phase._replace(where=""), [each for each in ids if each not in others]
        is_met = phase.id != f"e.{self._schema.id}" and len(ids) > HANDFUL
        where, values = self._are(phase.id, ids, is_met=is_met)
        return self._sorted(number, phase, [where], place, most, **values)


def _order(phase: Phase, ties: Sequence[str]) -> str:
    by_key = [] if phase.key is None else [f"{phase.key} {'DESC' if phase.descending else 'ASC'}"]
    return ", ".join([*by_key, *(f"{tie} DESC" for tie in ties)])


def _behind(phase: Phase, ties: Sequence[str]) -> str:
    """Return what holds of those that come behind a place of the same phase."""
    names = ", ".join(f":tie{at}" for at in range(len(ties)))
    behind = f"({', '.join(ties)}) < ({names})"
    if phase.key is None:
        return behind
    sign = "<" if phase.descending else ">"
    return f"{phase.key} {sign}= :key AND ({phase.key} {sign} :key OR {behind})"
