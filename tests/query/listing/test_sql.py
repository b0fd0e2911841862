"""What SQL says of experiments is what Python says of them: the same, and in the same order."""

from __future__ import annotations

import itertools
import math
import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from ml_dash.query.listing import finding, sql
from ml_dash.query.listing.binding import bind, bind_order, searched, value_of
from ml_dash.query.listing.comparing import Kept, folded, kept, sort_key, to_float
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.finding import Finder, Found, Statement, finder
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.listing.naming import KnownNames
from ml_dash.query.listing.sql import Compiled, Schema, install
from ml_dash.query.listing.summary import FieldSummary
from ml_dash.query.times import NANOSECONDS

NOW = 1_800_000_000 * NANOSECONDS
SCHEMA = Schema(
    columns={
        **{name: f"e.{name}" for name in ("prefix", "owner", "project", "folder", "name", "host", "error")},
        **{name: f"e.{name}" for name in ("status", "note", "readme", "rows", "attempts")},
        **{name: f"e.{name}_ns" for name in ("started", "ended", "active", "created")},
        "duration": "((coalesce(e.ended_ns, CASE e.status WHEN 'running' THEN :now WHEN 'stale' THEN e.active_ns END)"
        " - e.started_ns) / 1000000000.0)",
    },
    words="e.words",
    aggregates={
        **{name: f"{{t}}.{name}" for name in ("first", "last", "min", "max", "mean", "count")},
        "best": "CASE {t}.best WHEN 'min' THEN {t}.min WHEN 'max' THEN {t}.max ELSE {t}.last END",
    },
)
TABLES = """
CREATE TABLE experiments (id INTEGER PRIMARY KEY, prefix, owner, project, folder, name, host, error, status, note,
    readme, words, rows, attempts, started_ns, ended_ns, active_ns, created_ns);
CREATE TABLE params (experiment_id, name, number REAL, text, PRIMARY KEY (experiment_id, name)) WITHOUT ROWID;
CREATE TABLE metric_fields (experiment_id, metric, field, count REAL, first REAL, last REAL, last_text, min REAL,
    max REAL, mean REAL, best, PRIMARY KEY (experiment_id, metric, field)) WITHOUT ROWID;
CREATE TABLE tags (experiment_id, tag);
"""


def number(value: Any) -> float | None:
    return None if value is None else to_float(value)


def store(experiments: list[ListedExperiment]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    install(connection)
    connection.executescript(TABLES)
    for at, each in enumerate(experiments):
        said = (
            each.prefix,
            each.owner,
            each.project,
            each.folder,
            each.name,
            each.host,
            each.error,
            each.standing,
        )
        texts = (
            None if each.note is None else folded(each.note),
            None if each.readme is None else folded(each.readme),
        )
        times = (each.started_ns, each.ended_ns, each.active_ns, each.created_ns)
        row = (at, *said, *texts, searched(each), each.rows, each.attempts, *times)
        connection.execute(f"INSERT INTO experiments VALUES ({', '.join('?' * len(row))})", row)
        connection.executemany("INSERT INTO tags VALUES (?, ?)", [(at, folded(tag)) for tag in each.tags])
        for name, value in each.params.items():
            if (
                stored := kept(value if isinstance(value, (int, float, str, type(None))) else str(value))
            ) is not None:
                connection.execute("INSERT INTO params VALUES (?, ?, ?, ?)", (at, name, *stored))
        for metric, fields in each.metrics.items():
            for field, found in fields.items():
                last = kept(found.last) or Kept(None, None)
                numbers = (number(found.min), number(found.max), found.mean, each.best.get((metric, field)))
                values = (at, metric or "", field, found.count, number(found.first), *last, *numbers)
                connection.execute(
                    f"INSERT INTO metric_fields VALUES ({', '.join('?' * len(values))})", values
                )
    return connection


SEEDS: list[int | float] = [
    2**60,
    2**60 + 1,
    2.0**60,
    -(2**60),
    -(2**60) - 1,
    2**53,
    2**53 + 1,
    10**19 - 1,
    10**19,
]


def drawn(random_: random.Random, at: int) -> ListedExperiment:
    def maybe(value: Any) -> Any:
        return value if random_.random() < 0.7 else None

    params = {
        "lr": random_.choice([0.1, 0.01, 1, 0.1, math.nan, math.inf]),
        "mixed": random_.choice([1, "adam", "Sgd", "2.5", True, False, 5, "zz"]),
        "opt": random_.choice(["adam", "AdamW", "sgd", "É", "a[b]?"]),
        "seed": random_.choice([*SEEDS, 7, 2**60 + 1]),
    }
    lasts: list[float | str] = [0.1, 0.5, 0.9, math.nan, "warm", "Cold"]
    last = random_.choice(lasts)
    low, high = sorted([random_.choice([0.1, 0.2]), random_.choice([0.5, 0.9, math.inf])])
    found = FieldSummary(
        3, 1 if isinstance(last, float) and math.isnan(last) else 0, low, last, low, high, 3 * low
    )
    owner, project, name = (
        random_.choice(["alice", "Bob"]),
        random_.choice(["vision", "nlp"]),
        f"Run-{at % 7}",
    )
    folder = random_.choice(["", "sweep", "sweep/lr=0.1", "x_y"])
    start = (1_769_860_800 + random_.randrange(10**6)) * NANOSECONDS
    status = random_.choice([None, "RUNNING", "COMPLETED", "FAILED"])
    return ListedExperiment(
        "/".join(filter(None, [owner, project, folder, f"{name}-{at}"])),
        owner,
        project,
        folder,
        f"{name}-{at}",
        tags=tuple(random_.sample(["base", "Sweep-1", "sweep-2", "b"], random_.randint(0, 2))),
        readme=maybe("A Baseline of É"),
        note=maybe("looks 100% wrong"),
        status=status,
        stale=status == "RUNNING" and random_.random() < 0.5,
        created_ns=start - at,
        started_ns=None if status is None else start,
        ended_ns=start + 90 * NANOSECONDS if status in {"COMPLETED", "FAILED"} else None,
        active_ns=maybe(start + 50 * NANOSECONDS),
        host=maybe("Node7"),
        attempts=random_.randint(0, 2),
        rows=random_.randint(0, 3),
        params={name: value for name, value in params.items() if random_.random() < 0.8},
        metrics={"val": {"acc": found}, None: {"loss": found}} if random_.random() < 0.8 else {},
        best=random_.choice([{}, {("val", "acc"): "max"}, {("val", "acc"): "min"}]),
    )


RANDOM = random.Random(16)
EXPERIMENTS = [drawn(RANDOM, at) for at in range(150)]
NAMES = KnownNames(EXPERIMENTS)
CONDITIONS = [
    *(
        f"lr{sign}{value}"
        for sign in ("=", "!=", "<", "<=", ">", ">=")
        for value in ("0.1", "0.01", "1", "inf")
    ),
    *(
        f"mixed{sign}{value}"
        for sign in ("=", "!=", "<", ">=")
        for value in ("adam", "1", "true", "sgd", "2.5", "nan")
    ),
    *(
        "lr=nan",
        "lr!=nan",
        "lr=*",
        "lr!=*",
        "opt=ad*",
        "opt!=ad*",
        "opt=*d*",
        'opt="a[b]?"',
        "opt=a[b*",
        "opt=é",
    ),
    *(
        f"seed{sign}{seed}"
        for sign in ("=", "!=", "<", "<=", ">", ">=")
        for seed in (*map(int, SEEDS), 10**350)
    ),
    *("seed>1e18", "seed<=7", "mixed=a*", "mixed=*"),
    *(f"val/acc{sign}{value}" for sign in ("=", "!=", "<", ">=") for value in ("0.5", "warm", "nan", "cold")),
    *(
        "val/acc=w*",
        "loss=*",
        "loss!=*",
        "max(val/acc)>0.5",
        "min(val/acc)=0.1",
        "mean(val/acc)<=0.2",
        "count(loss)=3",
    ),
    *("first(val/acc)!=0.1", "best(val/acc)>0.4", "best(val/acc)<0.2", "max(val/acc)=inf"),
    *(
        "status:running",
        "status!=completed",
        "status:stale",
        'status="not started"',
        "tag:BASE",
        "tag!=base",
        "tag:sweep-*",
    ),
    *(
        "tag=*",
        "tag!=*",
        "owner:bob",
        "owner!=bob",
        "project=v*",
        "name<run-3",
        "name:run-2*",
        "host:node7",
        "host!=node7",
    ),
    *(
        "host=*",
        "host!=*",
        "error=*",
        "folder=sweep",
        "readme:é",
        "readme!=baseline",
        "note:100%",
        "note=*",
        "note!=*",
    ),
    *(
        "started>2026-02-05",
        "started=2026-02",
        "started!=2026-02-05",
        "started<=2026-02-05T10",
        "ended>=2026-02-05",
    ),
    *(
        "active=*",
        "active!=*",
        "created<2026-02-05",
        "duration=90s",
        "duration>1min",
        "duration!=90",
        "duration<1000d",
    ),
    *("rows>=2", "rows!=0", "attempts=1", "run", "É", '"baseline of"', "run-1 wrong", "base", "100%"),
    *(
        "alice/**",
        "alice/vision/*",
        "Bob/*/sweep/**",
        "**/lr=*/*",
        "Run-1*",
        "**/sweep/**",
        "*-[1-3][!0-5]",
        "*/*/x_?/**",
    ),
    *("**/lr=0.1/Run-?-*", "**", "x*/**", "alice/vision/**/Run-2*"),
]
ORDERS = [
    "lr",
    "mixed",
    "opt",
    "seed",
    "val/acc",
    "max(val/acc)",
    "best(val/acc)",
    "loss",
    "started",
    "duration",
    "name",
]
ORDERS += ["status", "host", "rows", "active"]


FIND_NOTHING = {"error=*", "x*/**", "lr=nan", "lr<0.01", "lr>inf", "mixed=nan", "mixed<1", "val/acc<cold"}


@pytest.fixture(scope="module", params=["as of few", "as of very many"])
def database(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    connection = store(EXPERIMENTS)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "as of very many":
            for name, number in (("FEW", 20), ("HANDFUL", 5), ("AHEAD", 7)):
                patch.setattr(finding, name, number)
        yield connection
    connection.close()


def compiled(text: str, order: str | None = None) -> Compiled:
    bound_order = None if order is None else bind_order(order, NAMES)
    return sql.compile(bind(parse(text), NAMES).checked(), bound_order, SCHEMA, "sqlite", NOW)


def by_python(text: str, order: str | None = None) -> list[str]:
    bound = bind(parse(text), NAMES).checked()
    found = [each for each in EXPERIMENTS if bound.matches(each, NOW)]
    found.sort(key=lambda each: each.created_ns or 0, reverse=True)
    if order is not None and (by := bind_order(order, NAMES)) is not None:
        found.sort(
            key=lambda each: sort_key(value_of(by.target, each, NOW), descending=by.descending),
            reverse=by.descending,
        )
    return [each.prefix for each in found]


def asking(database: sqlite3.Connection, question: Compiled) -> Finder:
    def run(asked: Statement) -> list[Any]:
        text = asked.text()
        given = {**question.parameters, **asked.values}
        return database.execute(text, {name: given[name] for name in given if f":{name}" in text}).fetchall()

    return finder(question, run, ["e.prefix"])


def by_sql(database: sqlite3.Connection, text: str, order: str | None = None, page: int = 1000) -> list[str]:
    question = compiled(text, order)
    found: list[Found] = []
    while True:
        # as a list asks: each page, and how many there are, by itself
        asked = asking(database, question)
        more = asked.page(found[-1].place if found else None, page)
        found += more
        if len(more) < page:
            break
    assert asked.total() == len(found) == asking(database, question).total()
    return [each.columns[0] for each in found]


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_finds_what_python_finds(database: sqlite3.Connection, text: str) -> None:
    found = by_python(text)
    assert by_sql(database, text) == found
    assert found or text in FIND_NOTHING or text.startswith("seed"), "a case that finds nothing says nothing"


@pytest.mark.parametrize("order", [sign + each for each in ORDERS for sign in ("", "-")])
def test_an_order_sorts_as_python_does_and_page_by_page(database: sqlite3.Connection, order: str) -> None:
    assert by_sql(database, "lr=*", order) == by_python("lr=*", order)
    assert by_sql(database, "", order, page=7) == by_python("", order)


def test_conditions_hold_together(database: sqlite3.Connection) -> None:
    random_ = random.Random(7)
    for first, second in itertools.islice(iter(lambda: random_.sample(CONDITIONS, 2), None), 200):
        text = f"{first} {second}"
        assert by_sql(database, text) == by_python(text), text


def test_what_users_write_is_never_a_part_of_the_statement() -> None:
    text = "\"x' OR 1=1 --\" lr='0; DROP TABLE params' note:\"'); --\" a'*/** name:\"%' OR '1\""
    bound = bind(
        parse(text), KnownNames([ListedExperiment("a/b/c", "a", "b", "", "c", params={"lr": "x"})])
    ).checked()
    for dialect in ("sqlite", "postgresql"):
        statements: list[str] = []

        def run(asked: Statement, told: list[str] = statements) -> list[tuple[Any]]:
            told.append(asked.text())
            return [("[1]",)] if "json_group" in told[-1] else [(1,)] * 3000 if asked.limit else [(1,)]

        question = sql.compile(bound, None, SCHEMA, dialect, NOW)
        asked = finder(question, run)
        asked.page(None, 3000)
        asked.total()
        statement = "".join(statements)
        assert len(statements) >= 2
        assert "DROP" not in statement
        assert "'" not in statement.replace("''", "").replace("'nan'", "")
