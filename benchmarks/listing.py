"""What lists of very many experiments cost at a server: sorted, filtered and read page by page, on either database.

    python benchmarks/listing.py                              # 100,000 experiments in SQLite, about two minutes
    python benchmarks/listing.py --database postgresql://…    # in an empty database, or in one that this has filled
    python benchmarks/listing.py --runs 10000 --json
    python benchmarks/listing.py --data /tmp/lists            # keep what was filled for the next time

Each experiment has ten parameters, and twenty fields of metrics as summaries; that no rows are read is measured. Times
are of the store, each answer encoded as JSON; of HTTP there is nothing in them. They are given by the clock, and of the
processor: the latter is what counts on a machine that others use as well. Of a PostgreSQL server on this machine, it is
that of all of its processes. Tables go to standard output, the raw results to ``benchmarks/results/listing.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.processes import environment, load, save  # noqa: E402
from benchmarks.report import Table, mark, markdown, number, print_tables  # noqa: E402

if TYPE_CHECKING:
    from ml_dash.server.store import Store

_TARGET_MS = 100.0
_AT_ONCE = 1000
_METRICS = ("train", "val", "test", "gpu")
_FIELDS = ("loss", "acc", "grad_norm", "lr", "step")
_START = 1_700_000_000_000_000_000
QUESTIONS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "sorted by a metric's largest value": {"order": "-max(val/acc)"},
    "sorted by a metric's last value": {"order": "val/loss"},
    "sorted by a parameter": {"order": "params.lr"},
    "sorted by when they started": {"order": "-started"},
    "filtered by a metric, a hundredth": {"filter": "max(val/acc)>0.99"},
    "filtered by a metric, nearly all": {"filter": "val/acc>0.01"},
    "filtered by two metrics, nearly all": {"filter": "val/acc>0.01 train/loss<0.99"},
    "filtered by a metric's mean, all, sorted by another": {
        "filter": "mean(val/acc)>0.1",
        "order": "-train/acc",
    },
    "sorted by a metric's best value": {"order": "-best(val/acc)"},
    "filtered by a parameter": {"filter": "params.lr<0.001"},
    "all but those with a value": {"filter": "optimizer!=sgd"},
    "by status alone": {"filter": "status:completed"},
    "by status, sorted by a metric": {"filter": "status:completed", "order": "-max(val/acc)"},
    "by a word": {"filter": "run-4711"},
    "low values of one metric, by those of another": {"filter": "max(val/acc)<0.3", "order": "-min(val/acc)"},
    "by a metric, a parameter, a tag and status": {
        "filter": "max(val/acc)>0.9 params.lr<0.01 tag:sweep-7 status:completed",
        "order": "-max(val/acc)",
    },
    "below a folder, sorted by a metric": {"filter": "team/vision/f7/**", "order": "-val/acc"},
    "with two columns": {"order": "-max(val/acc)", "columns": ("params.lr", "val/acc")},
    "with all columns": {"order": "-max(val/acc)", "columns": ("params", "metrics")},
}
OF_AN_OWNER = "filtered by a metric, nearly all, for whom one owner is open"
_TICKS = os.sysconf("SC_CLK_TCK")


class Took(NamedTuple):
    """Milliseconds of each round: by the clock, and of the processor, of which there is a mean alone."""

    wall: list[float]
    cpu: float


def main() -> None:
    """Measure, and report."""
    options = _options()
    results: dict[str, Any] = {"options": vars(options), "environment": environment()}
    with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory:
        found = measure(options.data or directory, options.database, options.runs, options.rounds)
    results["listing"] = {title: took._asdict() for title, took in found.items()}
    results["environment"]["load_after"] = load()
    table = Table(
        f"A page of 100 of {number(options.runs, 0)} experiments, ms, "
        f"{'PostgreSQL' if options.database else 'SQLite'}",
        ["", "of the processor", "by the clock, median", "best", "target, of the processor", ""],
        [
            [
                title,
                number(took.cpu, 0),
                number(median(took.wall), 0),
                number(min(took.wall), 0),
                f"≤ {number(_TARGET_MS, 0)}",
                mark(took.cpu <= _TARGET_MS),
            ]
            for title, took in found.items()
        ],
        "Each answer says how many there are in all.",
    )
    save("listing", results, markdown([table]))
    if options.json:
        print(json.dumps(results))
    else:
        print_tables([table])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="experiments (default: 100,000)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each question (default: 10)")
    parser.add_argument(
        "--database", help="the URL of an empty database, or of one that this script has filled"
    )
    parser.add_argument("--data", help="where the file of SQLite is kept, and is filled if there is none")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    return parser.parse_args()


def measure(directory: str, database: str | None, runs: int, rounds: int) -> dict[str, Took]:
    """Fill a store, unless it is, and return what each question took."""
    from ml_dash.server.catalogue.records import ExperimentFilter
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.store import Store

    store = Store.open(ServerSettings(data=directory, database=database))
    try:
        if store.listing(lambda _: True, ExperimentFilter(), 1, None)["total"] == 0:
            fill(store, runs)
        nearly_all = QUESTIONS["filtered by a metric, nearly all"]
        return {
            **{title: _took(store, asked, None, rounds) for title, asked in QUESTIONS.items()},
            OF_AN_OWNER: _took(store, nearly_all, frozenset({"team"}), rounds),
        }
    finally:
        store.close()


def _took(store: Store, asked: dict[str, Any], owners: frozenset[str] | None, rounds: int) -> Took:
    _ask(store, asked, owners)  # once before: statements are compiled, and pages are in memory
    server = _postmaster(store)
    before = time.process_time() + _cpu_of(server)
    wall = [_ask(store, asked, owners) for _ in range(rounds)]
    return Took(wall, (time.process_time() + _cpu_of(server) - before) * 1e3 / rounds)


def _ask(store: Store, asked: dict[str, Any], owners: frozenset[str] | None) -> float:
    from ml_dash.server.catalogue.records import ExperimentFilter, Search
    from ml_dash.server.http.bodies import to_json

    found: list[bytes] = []

    def take(record: dict[str, Any]) -> bool:
        found.append(to_json(record))
        return True

    where = ExperimentFilter(owners=owners, asked=Search(**asked) if asked else None)
    begun = time.perf_counter()
    answer = store.listing(take, where, 100, None)
    elapsed = time.perf_counter() - begun
    assert len(found) == min(100, answer["total"]), answer
    return elapsed * 1e3


def _postmaster(store: Store) -> int | None:
    """Return the process whose children serve the database; None for SQLite, and for one on another machine."""
    from sqlalchemy import text

    if store.database.dialect != "postgresql":
        return None
    with store.database.read() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    status = _stat(pid)
    return None if status is None else int(status[1])


def _cpu_of(parent: int | None) -> float:
    """Return the seconds of the processor that a process and its children have taken, also those that have ended."""
    own = None if parent is None else _stat(parent)
    if own is None:
        return 0.0
    children = [
        status for pid in os.listdir("/proc") if pid.isdigit() and (status := _stat(int(pid))) is not None
    ]
    ticks = [sum(map(int, each[11:13])) for each in children if int(each[1]) == parent]
    return (sum(ticks) + sum(map(int, own[11:15]))) / _TICKS


def _stat(pid: int) -> list[str] | None:
    """Return what the kernel says of a process, from its state on; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def fill(store: Store, runs: int) -> None:
    """Write experiments as ingest leaves them, with what it keeps of their rows, and none of these."""
    from sqlalchemy import insert, text

    from ml_dash.server.db.tables import EXPERIMENTS, METRIC_FIELDS, NAMES, PARAMS, SERIES, TAGS

    tables = (EXPERIMENTS, TAGS, SERIES, PARAMS, METRIC_FIELDS)
    chance = random.Random(0)
    for start in range(0, runs, _AT_ONCE):
        rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables}
        for at in range(start, min(start + _AT_ONCE, runs)):
            for name, row in _experiment(at, chance):
                rows[name].append(row)
        with store.database.write() as connection:
            for table in tables:
                connection.execute(insert(table), rows[table.name])
    params, fields = [name for name, _ in _params(chance)], [(m, f) for m in _METRICS for f in _FIELDS]
    names = [("", name, True) for name in params] + [(metric, field, False) for metric, field in fields]
    with store.database.write() as connection:
        connection.execute(
            insert(NAMES),
            [
                {
                    "owner": "team",
                    "metric": metric,
                    "name": name,
                    "is_param": is_param,
                    "is_number": name != "optimizer",
                }
                for metric, name, is_param in names
            ],
        )
    if store.database.dialect == "postgresql":
        with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _params(chance: random.Random) -> list[tuple[str, Any]]:
    return [
        ("lr", 10 ** chance.uniform(-5, -1)),
        ("seed", chance.randrange(10)),
        ("optimizer", chance.choice(["adam", "sgd"])),
        *((f"model.p{at}", chance.random()) for at in range(7)),
    ]


def _experiment(at: int, chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of an experiment, each with its table."""
    from ml_dash.query.listing.comparing import kept
    from ml_dash.query.listing.summary import FieldSummary
    from ml_dash.server.catalogue.kept import Kept
    from ml_dash.server.db.tables import name_key

    id_, folder = f"exp_{at:020}", f"f{at % 20}"
    prefix = f"team/vision/{folder}/run-{at}"
    created = _START + at * 1_000_000_000
    tag = f"sweep-{at % 50}"
    yield (
        "experiments",
        {
            "id": id_,
            "prefix": prefix,
            "owner": "team",
            "project": "vision",
            "folder": folder,
            "name": f"run-{at}",
            "tags": [tag],
            "bindrs": [],
            "metadata": {"host": "node"},
            "words": f"{prefix}\n{tag}",
            "created_ns": created,
            "updated_ns": created,
            "rows": 1000,
            "metric_rows": 1000,
            "activity_ns": created,
            "status": "COMPLETED" if at % 10 else "FAILED",
            "status_ns": created + 9,
            "started_ns": created + 1,
            "attempts": 1,
            "changed": at,
        },
    )
    yield "experiment_tags", {"experiment_id": id_, "tag": tag, "folded": tag}
    for place, (name, value) in enumerate(_params(chance)):
        said = kept(value)
        compared = {} if said is None else said._asdict()
        yield (
            "params",
            {
                "experiment_id": id_,
                "place": place,
                "full_name": name,
                "name": name,
                "value": value,
                **compared,
            },
        )
    for series, metric in enumerate(_METRICS, 1):
        fields = {}
        for place, field in enumerate(_FIELDS):
            low, high, last = sorted(chance.random() for _ in range(3))
            fields[field] = FieldSummary(1000, 0, low, last, low, high, 500.0, 0, 999, 3, 700)
            yield (
                "metric_fields",
                {
                    "experiment_id": id_,
                    "series": series,
                    "place": place,
                    "metric": metric,
                    "field": field,
                    "count": 1000,
                    "first": low,
                    "last": last,
                    "min": low,
                    "max": high,
                    "mean": 0.5,
                    "best": last,
                },
            )
        yield (
            "series",
            {
                "experiment_id": id_,
                "number": series,
                "kind": 1,
                "name": name_key(metric),
                "rows": 1000,
                "fields": list(_FIELDS),
                "first_ns": created,
                "last_ns": created,
                "hot_rows": 0,
                "summary": Kept(1000, fields).packed(),
                "summary_rows": 1000,
                "unlisted": False,
            },
        )


if __name__ == "__main__":
    main()
