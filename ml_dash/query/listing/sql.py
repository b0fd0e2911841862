"""A filter and an order as SQL, for the catalogue of a server (SQLite, PostgreSQL) and the index of a local root.

Tables keep values as `ml_dash.query.listing.comparing.kept` says; a `Schema` tells what they are called. The SQL says
of each experiment what `Bound.matches` says of it, and sorts them as `sort_key` does; a test compares the two.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ml_dash.query.listing.comparing import EXACT_MAX, NAN, TEXT_MAX, folded, holds, to_float
from ml_dash.query.listing.naming import (
    LONG_TEXTS,
    NUMBERS,
    TEXTS,
    FieldTarget,
    ParamTarget,
    RecordTarget,
)
from ml_dash.query.listing.tokens import number_of
from ml_dash.query.patterns import pattern_matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from sqlite3 import Connection

    from ml_dash.query.listing.binding import Bound, Condition, Order
    from ml_dash.query.listing.comparing import Operator

Dialect: TypeAlias = Literal["sqlite", "postgresql"]

_SPECIAL = re.compile(r"[*?\[]")
_TOP = "\U0010ffff"


def _name_as_it_is(name: str | None) -> Any:
    """The unnamed metric is ''."""
    return name or ""


@dataclass(frozen=True, slots=True)
class Schema:
    """What tables and columns are called. Expressions may use the alias ``e`` for the experiments.

    Attributes:
        experiments: The table of experiments.
        id: Its key, to which all other tables refer by the column of the same purpose, `owner_id`.
        owner_id: The column of the other tables that says whose a row is.
        id_type: The type of both, in PostgreSQL.
        columns: An expression for each of `ml_dash.query.listing.naming.COLUMNS` but ``tags``: texts as they are;
            ``note`` and ``readme`` folded, and no longer than what is searched; ``status`` as
            `ListedExperiment.standing`; times in nanoseconds; ``duration`` in seconds. ``:now`` in one is the time of
            asking, in nanoseconds.
        words: An expression for the folded text in which words are looked for.
        params: The table of parameters, with the columns ``name``, ``number`` and ``text``.
        fields: The table of summaries: ``metric``, ``field``, ``last_text`` (folded), and what has the aggregates.
        aggregates: An expression for each of `ml_dash.query.listing.naming.FUNCTIONS`, float64 or NULL, in which the
            table of fields is ``{t}``; ``last`` has the number that a last text says, too.
        tags: The table of tags, with the column ``tag``, folded.
        ties: What sorts those that are equal: the last column is unique. All descending.
        name: Makes of the name of a parameter, a metric (None is the unnamed one) or a field what is stored.
        text: Folds a text as the stored ones were.
        is_alone: Says of the name of a parameter, a metric or a field whether it is stored as no other one is, so that
            an experiment has one row of it at most.
        collate: Put behind texts that are compared or sorted, where columns are not in order of code points already.
    """

    columns: Mapping[str, str]
    words: str
    experiments: str = "experiments"
    id: str = "id"
    owner_id: str = "experiment_id"
    id_type: str = "text"
    params: str = "params"
    fields: str = "metric_fields"
    aggregates: Mapping[str, str] = field(
        default_factory=lambda: {
            **{name: f"{{t}}.{name}_value" for name in ("first", "last", "min", "max", "mean", "best")},
            "count": "{t}.count_value",
        }
    )
    tags: str = "tags"
    ties: Sequence[str] = ("e.created_ns", "e.id")
    name: Callable[[str | None], Any] = _name_as_it_is
    text: Callable[[str], str] = folded
    is_alone: Callable[[str], bool] = lambda _: True
    collate: str = ""


class Among(NamedTuple):
    """What holds of an experiment that has a row in another table.

    Attributes:
        table: Which; it is called ``c`` in the rest.
        where: What must hold of the row.
        is_once: Whether an experiment has one such row at most.
    """

    table: str
    where: str
    is_once: bool = False

    def select(self, owner_id: str, also: str = "") -> str:
        """Return a statement for whose rows these are."""
        return f"SELECT c.{owner_id} FROM {self.table} c{_where(self.where, also)}"


class Phase(NamedTuple):
    """Experiments that are sorted by one key; those of one phase come before those of the next.

    Attributes:
        source: What comes behind FROM.
        id: The expression for an experiment's key, where the source has that first.
        where: What holds of these besides the filter; empty for nothing.
        key: By what they are sorted, before `Schema.ties`; None where by these alone.
        descending: Whether the largest key comes first.
        without: Where these are the experiments that have no key: what holds of all others, as `where` says, too.
    """

    source: str
    id: str
    where: str = ""
    key: str | None = None
    descending: bool = False
    without: Among | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A filter and an order as SQL.

    Attributes:
        own: What the filter asks of the experiments themselves, over the alias ``e``.
        among: In which other tables they must have rows. Both together are the filter.
        phases: The order.
        parameters: All named parameters of the filter and the phases, which may have more than one of these needs.
        schema: What tables and columns are called.
        dialect: Of which database.
    """

    own: str
    among: Sequence[Among]
    phases: Sequence[Phase]
    parameters: Mapping[str, Any]
    schema: Schema
    dialect: Dialect

    @property
    def where(self) -> str:
        """The whole filter, over the alias ``e``."""
        schema = self.schema
        found = [self.own, *(f"e.{schema.id} IN ({each.select(schema.owner_id)})" for each in self.among)]
        return " AND ".join(f"({each})" for each in found if each)


def compile(  # noqa: A001 - what it is called everywhere else, too
    bound: Bound, order: Order | None, schema: Schema, dialect: Dialect, now_ns: int
) -> Compiled:
    """Return a filter, and an order (None is the newest first), as SQL.

    A SQLite connection needs what `install` puts there.
    """
    return _Compiler(schema, dialect, now_ns).compile(bound, order)


def install(connection: Connection) -> None:
    """Give a connection of `sqlite3` the functions that compiled statements call there."""
    connection.create_function("ml_dash_fold", 1, _fold, deterministic=True)
    connection.create_function("ml_dash_fits", 2, _fits, deterministic=True)


def _fold(text: Any) -> Any:
    return folded(text) if isinstance(text, str) else text


def _fits(pattern: str, prefix: Any) -> bool:
    return isinstance(prefix, str) and pattern_matcher(pattern)(prefix)


def _where(*conditions: str) -> str:
    given = [f"({condition})" for condition in conditions if condition]
    return f" WHERE {' AND '.join(given)}" if given else ""


class _Compiler:
    def __init__(self, schema: Schema, dialect: Dialect, now_ns: int) -> None:
        self._schema = schema
        self._dialect: Dialect = dialect
        self._is_sqlite = dialect == "sqlite"
        self._parameters: dict[str, Any] = {"now": now_ns}

    def compile(self, bound: Bound, order: Order | None) -> Compiled:
        conditions = ["1 = 0"] if bound.is_empty else []
        conditions += [self._holds(self._schema.words, self._schema.text(word)) for word in bound.words]
        conditions += [self._glob(glob) for glob in bound.globs]
        among: list[Among] = []
        for condition in bound.conditions:
            found = self._condition(condition)
            among.append(found) if isinstance(found, Among) else conditions.append(found)
        phases = self._phases(order)
        own = " AND ".join(f"({condition})" for condition in conditions)
        return Compiled(own, among, phases, self._used(own, phases), self._schema, self._dialect)

    def _used(self, own: str, phases: Sequence[Phase]) -> dict[str, Any]:
        """Return the parameters without ``now`` where nothing asks for it: drivers refuse what is not used."""
        texts = [own, *(text for phase in phases for text in (phase.source, phase.where, phase.key or ""))]
        is_timed = any(re.search(r":now\b", text) for text in texts)
        return {name: value for name, value in self._parameters.items() if is_timed or name != "now"}

    def _put(self, value: Any) -> str:
        name = f"p{len(self._parameters)}"
        self._parameters[name] = value
        return f":{name}"

    # --- texts

    def _holds(self, expression: str, text: str) -> str:
        function = "instr" if self._is_sqlite else "strpos"
        return f"{function}({expression}, {self._put(text)}) > 0"

    def _folded(self, expression: str) -> str:
        return (
            f"ml_dash_fold({expression})" if self._is_sqlite else f"lower({expression}){self._schema.collate}"
        )

    def _like(self, expression: str, pattern: str) -> str:
        """Return that a text fits a pattern in which ``*`` alone means anything."""
        if self._is_sqlite:
            escaped = re.sub(r"[?\[]", r"[\g<0>]", pattern)
            return f"{expression} GLOB {self._put(escaped)}"
        escaped = re.sub(r"[\\%_]", r"\\\g<0>", pattern).replace("*", "%")
        return f"{expression} LIKE {self._put(escaped)}"

    def _glob(self, pattern: str) -> str:
        """Return that the prefix fits a pattern, see `ml_dash.query.patterns`."""
        prefix = self._schema.columns["prefix"]
        text = pattern.lstrip("/")
        whole = text if "/" in pattern or text == "**" else f"**/{text}"
        head = whole[: match.start()] if (match := _SPECIAL.search(whole)) else whole
        if not self._is_sqlite:
            # most prefixes differ at the beginning, which takes a tenth of what an expression takes
            begins = f"starts_with({prefix}, {self._put(head)})" if head else "true"
            is_all = whole == f"{head}**" and head.endswith("/")
            return begins if is_all else f"{begins} AND {prefix} ~ {self._put(_regex(whole))}"
        conditions = []
        if head:
            conditions = [f"{prefix} >= {self._put(head)}", f"{prefix} < {self._put(head + _TOP)}"]
        if whole != f"{head}**" or (head and not head.endswith("/")):
            # what is looked at natively leaves few for the function in Python
            coarse = re.sub(r"\[[^/]*", "*", whole.replace("**/", "*"))
            conditions.append(f"{prefix} GLOB {self._put(coarse)}")
            conditions.append(f"ml_dash_fits({self._put(pattern)}, {prefix})")
        return " AND ".join(conditions) or "1 = 1"

    # --- conditions

    def _condition(self, condition: Condition) -> str | Among:
        target = condition.target
        if isinstance(target, RecordTarget):
            return self._of_record(target.key, condition)
        among = self._among(target, self._inside(target, condition))
        return self._not(among) if condition.operator == "!=" else among

    def _among(self, target: ParamTarget | FieldTarget, inside: str) -> Among:
        """Return that an experiment has a row of this parameter or field of which something holds."""
        table, named = self._named(target, "c")
        names = [target.name] if isinstance(target, ParamTarget) else [target.metric or "", target.field]
        return Among(table, f"{named} AND ({inside})", all(map(self._schema.is_alone, names)))

    def _not(self, among: Among) -> str:
        """Return that an experiment has no such row."""
        schema = self._schema
        if self._is_sqlite:
            return f"e.{schema.id} NOT IN ({among.select(schema.owner_id)})"
        # PostgreSQL has no plan for NOT IN that could not be slow
        own = f"c.{schema.owner_id} = e.{schema.id}"
        return f"NOT EXISTS (SELECT 1 FROM {among.table} c{_where(own, among.where)})"

    def _named(self, target: ParamTarget | FieldTarget, alias: str) -> tuple[str, str]:
        """Return the table of a target, and which of its rows are about it."""
        if isinstance(target, ParamTarget):
            return self._schema.params, f"{alias}.name = {self._put(self._schema.name(target.name))}"
        metric, name = self._schema.name(target.metric), self._schema.name(target.field)
        return (
            self._schema.fields,
            f"{alias}.metric = {self._put(metric)} AND {alias}.field = {self._put(name)}",
        )

    def _values(self, target: ParamTarget | FieldTarget, alias: str) -> tuple[str, str | None]:
        """Return the expressions for the number and for the text of a target's row."""
        if isinstance(target, ParamTarget):
            return f"{alias}.number", f"{alias}.text"
        number = self._schema.aggregates[target.aggregate].replace("{t}", alias)
        # of a best value that is the last one, the text would be that: no text is good or bad
        return number, f"{alias}.last_text" if target.aggregate == "last" else None

    def _inside(self, target: ParamTarget | FieldTarget, condition: Condition) -> str:
        """Return what holds of the row; of ``!=`` what must hold of none."""
        number, text = self._values(target, "c")
        operator = "=" if condition.operator == "!=" else condition.operator
        if condition.is_pattern:
            if not condition.value.strip("*"):
                return f"{number} IS NOT NULL" + ("" if text is None else f" OR {text} IS NOT NULL")
            return "1 = 0" if text is None else self._like(text, self._schema.text(condition.value))
        wanted = number_of(condition.value)
        if wanted is None:
            if text is None:
                return "1 = 0"
            compared = f"{text}{self._schema.collate} {operator} {self._put(self._wanted(condition.value))}"
            # the digits of a large number are no text
            return (
                compared
                if operator == "="
                else f"{compared} AND ({number} IS NULL OR abs({number}) <= {EXACT_MAX})"
            )
        if isinstance(target, ParamTarget) and isinstance(wanted, int) and abs(wanted) >= EXACT_MAX:
            return self._compared_exactly(number, f"{text}{self._schema.collate}", operator, wanted)
        return f"{number} {operator} {self._put(to_float(wanted))}"

    def _compared_exactly(self, number: str, text: str, operator: Operator, wanted: int) -> str:
        """Return how a parameter is compared with a whole number that float64 may not hold, by each of its digits.

        Those that are the same as float64 differ in their digits, which are the text. Without them it is a float.
        """
        as_float = to_float(wanted)
        limit, digits = self._put(as_float), self._put(str(wanted))
        # of numbers of one sign, that with more digits is farther from 0
        sign = operator[0] if wanted > 0 else {"<": ">", ">": "<"}.get(operator[0], "=")
        length = len(str(wanted))
        farther = f"length({text}) {sign} {length} OR (length({text}) = {length} AND {text} {sign} {digits})"
        same = [f"{text} = {digits}" if operator == "=" else f"({text} IS NOT NULL AND ({farther}))"]
        if operator in {"<=", ">="}:
            same.append(f"{text} = {digits}")
        if math.isfinite(as_float) and holds(int(as_float), operator, str(wanted)):
            same.append(f"{text} IS NULL")
        alike = f"{number} = {limit} AND ({' OR '.join(same)})"
        return alike if operator == "=" else f"{number} {operator[0]} {limit} OR ({alike})"

    def _wanted(self, text: str) -> str:
        return self._schema.text(text)[:TEXT_MAX]

    def _of_record(self, key: str, condition: Condition) -> str | Among:
        value, is_not = condition.value, condition.operator == "!="
        is_any = condition.is_pattern and not value.strip("*")
        if key == "tags":
            return self._of_tags(value, is_not=is_not, is_any=is_any, is_pattern=condition.is_pattern)
        expression = self._schema.columns[key]
        if is_any:
            return f"{expression} IS {'' if is_not else 'NOT '}NULL"
        if condition.span is not None:
            return self._in_time(expression, condition)
        if key in LONG_TEXTS:
            held = self._holds(f"coalesce({expression}, '')", self._schema.text(value))
            return f"NOT ({held})" if is_not else held
        if key in TEXTS:
            return self._of_text(expression, condition)
        wanted: Any = value
        if key in NUMBERS:
            number = number_of(value)
            wanted = None if number is None else to_float(number)
        compared = f"{expression} {'<>' if is_not else condition.operator} {self._put(wanted)}"
        return f"{expression} IS NULL OR {compared}" if is_not else compared

    def _of_text(self, expression: str, condition: Condition) -> str:
        is_not = condition.operator == "!="
        text = self._folded(expression)
        if condition.is_pattern:
            fits = self._like(text, self._wanted(condition.value))
            return f"{expression} IS NULL OR NOT ({fits})" if is_not else fits
        compared = (
            f"{text} {'<>' if is_not else condition.operator} {self._put(self._schema.text(condition.value))}"
        )
        return f"{expression} IS NULL OR {compared}" if is_not else compared

    def _of_tags(self, value: str, *, is_not: bool, is_any: bool, is_pattern: bool) -> str | Among:
        where = ""
        if is_pattern and not is_any:
            where = self._like("c.tag", self._schema.text(value))
        elif not is_any:
            where = f"c.tag = {self._put(self._schema.text(value))}"
        among = Among(self._schema.tags, where)
        return self._not(among) if is_not else among

    def _in_time(self, expression: str, condition: Condition) -> str:
        assert condition.span is not None  # noqa: S101 - for the type checker
        first, stop = map(self._put, condition.span)
        return {
            "=": f"{expression} >= {first} AND {expression} < {stop}",
            "!=": f"{expression} IS NULL OR {expression} < {first} OR {expression} >= {stop}",
            "<": f"{expression} < {first}",
            "<=": f"{expression} < {stop}",
            ">": f"{expression} >= {stop}",
            ">=": f"{expression} >= {first}",
        }[condition.operator]

    # --- order

    def _phases(self, order: Order | None) -> list[Phase]:
        all_of_them = f"{self._schema.experiments} e", f"e.{self._schema.id}"
        if order is None:
            return [Phase(*all_of_them)]
        target, descending = order
        if isinstance(target, RecordTarget):
            expression = self._schema.columns[target.key]
            key = self._folded(expression) if target.key in TEXTS else expression
            found = [Phase(*all_of_them, f"{expression} IS NOT NULL", key, descending)]
            return [*found, Phase(*all_of_them, f"{expression} IS NULL")]
        schema = self._schema
        table, named = self._named(target, "o")
        source = f"{table} o JOIN {schema.experiments} e ON e.{schema.id} = o.{schema.owner_id}"
        id_ = f"o.{schema.owner_id}"
        phases = [
            Phase(source, id_, f"{named} AND {has}", key, descending) for key, has in self._keys(target, "o")
        ]
        others = self._among(target, " OR ".join(f"({has})" for _, has in self._keys(target, "c")))
        rest = Phase(*all_of_them, self._not(others), without=others)
        return [*(reversed(phases) if descending else phases), rest]

    def _keys(self, target: ParamTarget | FieldTarget, alias: str) -> list[tuple[str, str]]:
        """Return by what rows of a target are sorted, each with which rows have that: numbers, then texts."""
        number, text = self._values(target, alias)
        found = [(number, f"{number} IS NOT NULL")]
        if text is not None:
            is_text = f"{number} IS NULL AND {text} <> '{NAN}'"
            found.append((f"{text}{self._schema.collate}", is_text))
        return found


def _regex(pattern: str) -> str:
    """Return a whole pattern as a regular expression of PostgreSQL's, which takes no longer for many stars."""
    segments = pattern.split("/")
    if segments[-1] == "**":
        segments.append("*")
    found = ["(?:[^/]+/)*" if each == "**" else f"{_segment(each)}/" for each in segments[:-1]]
    return f"^{''.join(found)}{_segment(segments[-1])}$"


def _segment(pattern: str) -> str:
    found, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        end = pattern.find("]", at + (3 if pattern[at + 1 : at + 2] in {"!", "^"} else 2))
        if character == "[" and end > 0:
            found += _choice(pattern[at + 1 : end])
            at = end + 1
            continue
        found += {"*": "[^/]*", "?": "[^/]"}.get(character) or _literal(character)
        at += 1
    return found


def _choice(content: str) -> str:
    negated = content[0] in "!^"
    members, found, at = content[1:] if negated else content, "", 0
    while at < len(members):
        first, last = members[at], members[at + 2 : at + 3]
        if members[at + 1 : at + 2] == "-" and last:
            found += f"{_literal(first)}-{_literal(last)}" if first <= last else ""
            at += 3
            continue
        found += _literal(first)
        at += 1
    if negated:
        return f"[^/{found}]"
    return f"(?!/)[{found}]" if found else "(?!)"


def _literal(character: str) -> str:
    return character if character.isalnum() else f"\\{character}" if character.isascii() else character
