"""A root of many runs on this disk: how long a list, a sort and a filter take, and what is looked at for them.

    python benchmarks/local_index.py --runs 100000 --root /tmp/many

The root is made by writing small journals, of 220 rows each, and stays there for another run of this script. Reported
are seconds of this machine, best of several, and what a look has opened, which must not grow with the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame, encode_segment_header, segment_name
from ml_dash.query.listing.binding import bind, bind_order
from ml_dash.query.listing.filters import parse
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series
from ml_dash.storage.summaries.asking import counted, selected
from ml_dash.storage.summaries.reading import Look
from ml_dash.storage.summaries.root import RootIndex

ROWS = 200
IN_A_FOLDER = 10_000
BEGAN_NS = 1_760_000_000_000_000_000
ARCHITECTURES = ("resnet50", "vit_b_16", "mlp")
QUESTIONS = (
    ("newest", "", None),
    ("sorted by a parameter", "", "params.lr"),
    ("sorted by a metric", "", "-max(val/acc)"),
    ("sorted by time", "", "ended"),
    ("filter of a metric", "val/acc>0.99", "-val/acc"),
    ("filter of parameters", "params.lr<0.001 params.arch:vit* status:completed", "-val/acc"),
    ("filter of words and a glob", "run-99 alice/sweep0/**", "params.lr"),
    ("filter of a tag", "tag:even status:failed", None),
)


def write_run(directory: Path, number: int, shared: dict[str, bytes]) -> None:
    """Write what a run of 200 rows leaves: its journal, and the readable file beside it."""
    rng = random.Random(number)
    started = BEGAN_NS + number * 1_000_000_000
    ended = started + ROWS * 1_000_000
    status = "FAILED" if number % 50 == 0 else "COMPLETED"
    writer = f"{started:016x}-{number % 99_999:x}-{number:08x}"
    params = {
        "lr": 10 ** rng.uniform(-5, -1),
        "seed": number,
        "arch": rng.choice(ARCHITECTURES),
        "batch": 128,
    }
    step = np.arange(ROWS)
    noise = np.frombuffer(shared["noise"], "<f8")[number % 1000 : number % 1000 + ROWS]
    about = {"prefix": shared["prefix"].decode(), "tags": ["odd"] if number % 2 else ["even"]}
    blocks = [
        _said(
            started, Kind.RUN, event="start", status="RUNNING", host="node", pid=1, handle=0, experiment=about
        ),
        _said(started, Kind.PARAMS, set=params),
        _metric("train", started, loss=1 / (step + 1) + noise / 10, step=step),
        _metric("val", started, acc=1 - 1 / (step[::10] + 1) - noise[::10] / 100, step=step[::10]),
    ]
    end = _said(ended, Kind.RUN, event="end", status=status, host="node", pid=1, handle=0)
    journal = directory / "journal"
    journal.mkdir(parents=True)
    header = encode_segment_header(writer, 1, started, 1)
    (journal / segment_name(writer, 1)).write_bytes(header + encode_frame(1, blocks) + encode_frame(2, [end]))
    record = {
        **about,
        "status": status,
        "startedAt": iso_time(started),
        "endedAt": iso_time(ended),
        "error": None,
    }
    (directory / "experiment.json").write_text(json.dumps(record, indent=2))


def _said(time_ns: int, kind: Kind, **fields: object) -> Block:
    return Block(
        Series(kind, None), [time_ns], [Column(name, "o", None, [value]) for name, value in fields.items()]
    )


def _metric(name: str, started: int, **fields: np.ndarray) -> Block:
    columns = [
        Column(field, "f" if values.dtype.kind == "f" else "i", None, values)
        for field, values in fields.items()
    ]
    return Block(Series(Kind.METRIC, name), started + fields["step"] * 1_000_000, columns)


def make_root(root: Path, runs: int) -> None:
    """Write the runs that are not there yet."""
    noise = np.random.default_rng(0).normal(size=1000 + ROWS).astype("<f8").tobytes()
    for number in range(runs):
        prefix = f"alice/sweep{number // IN_A_FOLDER}/run-{number}"
        if not (root / prefix).exists():
            write_run(root / prefix, number, {"noise": noise, "prefix": prefix.encode()})


class Took(NamedTuple):
    """Seconds: by the clock, and of the processor, which says more on a machine that others use as well."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall * 1000:.0f} ms ({self.cpu * 1000:.0f} ms of the processor)"


def best(times: int, call: Callable[[], object]) -> Took:
    """Return how long the shortest of several calls took."""
    found = []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        call()
        found.append(Took(time.perf_counter() - began, time.process_time() - used))
    return Took(min(each.wall for each in found), min(each.cpu for each in found))


def ask(index: RootIndex, text: str, order: str | None) -> tuple[int, int]:
    """Look at the root, and return how many runs a filter asks for, and how many of the first hundred came."""
    index.look()
    with index.reading() as store:
        bound = bind(parse(text), store.names).checked()
        by = None if order is None else bind_order(order, store.names)
        return counted(index, bound), len(selected(index, bound, by, limit=100))


def main() -> None:
    """Make the root, read it once, and ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--root", type=Path, required=True, help="where the runs are, or are put")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    args = parser.parse_args()
    began = time.perf_counter()
    make_root(args.root, args.runs)
    print(f"{args.runs:,} runs made in {time.perf_counter() - began:.1f} s")
    figures: dict[str, Took] = {}
    index = RootIndex(str(args.root), 90.0)
    looks: list[Look] = []
    figures["first look"] = best(1, lambda: looks.append(index.look()))
    print(
        f"first look: {figures['first look']}, {looks[0].opened:,} journals and {looks[0].rows_read:,} rows read"
    )
    index.close()

    def opened() -> None:
        again = RootIndex(str(args.root), 90.0)
        looks.append(again.look())
        again.close()

    figures["opened again"] = best(3, opened)
    look = looks[-1]
    print(
        f"opened again: {figures['opened again']}; {look.opened} journals opened, {look.rows_read} rows read, "
        f"{look.checked:,} looked at in turn, {look.listed} directories listed"
    )
    index = RootIndex(str(args.root), 90.0)
    for name, text, order in QUESTIONS:
        figures[name] = best(5, partial(ask, index, text, order))
        total, shown = ask(index, text, order)
        print(f"{name}: {figures[name]} for {shown} of {total:,}")
    path = index.store.database.path
    size = 0 if path is None else os.stat(path).st_size
    print(f"the file: {size / 1e6:.0f} MB")
    index.close()
    if args.json:
        found = {"python": platform.python_version(), "runs": args.runs, "bytes": size}
        args.json.write_text(json.dumps({**found, "seconds": figures}, indent=2))


if __name__ == "__main__":
    main()
