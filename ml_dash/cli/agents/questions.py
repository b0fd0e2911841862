"""The questions, apart from the protocol by which they come.

Every answer is plain data of a bounded size. What was left out of one is told in it, so that nobody who reads it takes
a part for the whole. Nothing is changed, and no path leads out of the root.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml_dash.cli.comparison import json_of, pairs_of, ranked_of, side_of
from ml_dash.cli.file_source import open_source
from ml_dash.cli.one_view import open_view
from ml_dash.cli.place import open_place
from ml_dash.errors import InvalidArgumentError
from ml_dash.query.environments import newest
from ml_dash.query.files import FileQuery, full_name
from ml_dash.query.listing.definitions import checked_best
from ml_dash.query.listing.listed import Best, ListedExperiment
from ml_dash.query.listing.naming import title_of
from ml_dash.query.listing.summary import STEP, FieldSummary
from ml_dash.query.pages import whole_number
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series

RUNS_MOST, POINTS_MOST, LINES_MOST, FILES_MOST, COMPARED_MOST = 100, 1_000, 500, 500, 20
TEXT_MOST = 100_000
"""Characters of a file that are read; an answer of more would fill what an agent can hold in mind."""
_VALUE_MOST = 2_000
"""Characters of one value, message or line."""
_FIELDS_MOST = 200
_LAST_WORDS = 5


@dataclass(frozen=True)
class Questions:
    """Questions about the experiments of one place.

    Args:
        root: The root on this disk.
        url: The server, in its place; None for the root.
    """

    root: str
    url: str | None = None

    def search_runs(self, filter: str = "", order: str | None = None, limit: int = 20) -> dict[str, Any]:
        """List runs with their status, parameters, and the last values of their metrics.

        Args:
            filter: Which ones, as in 'alice/vision/** tag:sweep lr<0.01 val/acc>0.9 status:failed'; empty for all.
            order: By what they are sorted, as in '-max(val/acc)' (the largest first) or 'lr'; without it the newest
                come first.
            limit: How many at most, up to 100; 'more' tells whether there are others.
        """
        most = _bounded("limit", limit, RUNS_MOST)
        with open_place(self.root, self.url) as place:
            found = list(place.place.find(filter, order, most + 1))
        return {"runs": [_short(each) for each in found[:most]], "more": len(found) > most}

    def run_summary(self, run: str) -> dict[str, Any]:
        """Tell all about one run in short: status, error, parameters, metrics with their best values, last messages.

        Args:
            run: Its prefix, as 'alice/vision/first', or the last part of it.
        """
        with open_view(run, self.root, self.url) as viewed:
            view = viewed.view
            info = view.run()
            surroundings = newest(view.environments())
            metrics = {
                title_of(name, field): summary.to_json()
                for name in [each["name"] for each in view.metrics()][:_FIELDS_MOST]
                for field, summary in view.summaries(Series(Kind.METRIC, name)).items()
            }
            total = view.logs(limit=0)["total"]
            last = view.logs(start_index=max(0, total - _LAST_WORDS))["data"]
            errors = [row for level in ("error", "fatal") for row in _last(view.logs, level=level)]
            kept = {
                name: value for name, value in surroundings.items() if name not in {"packages", "variables"}
            }
            return _told(
                {
                    "run": viewed.prefix,
                    "status": "STALE" if info.stale else info.status,
                    "error": info.error,
                    "startedAt": _time(info.started_at),
                    "endedAt": _time(info.ended_at),
                    "attempts": info.attempts,
                    "said": {
                        name: value for name, value in (info.experiment or {}).items() if name != "prefix"
                    },
                    "params": view.params(),
                    "metrics": metrics,
                    "lastMessages": last,
                    "errors": errors,
                    "environment": kept,
                    "files": len(view.files()),
                    "damaged": [str(each) for each in viewed.damage],
                }
            )

    def history(
        self,
        run: str,
        metric: str | None = None,
        fields: list[str] | None = None,
        max_points: int = 100,
        from_step: float | None = None,
        to_step: float | None = None,
    ) -> dict[str, Any]:
        """Return rows of a metric; of many the first, the last, and the extremes of each field in stretches between.

        Args:
            run: Its prefix.
            metric: The metric, as 'train' for values called 'train/loss'; none for the unnamed one.
            fields: Only these of its fields; all by default.
            max_points: Rows at most, up to 1,000; 'rows' tells how many there are.
            from_step: Only rows from this step on.
            to_step: Only rows up to this step.
        """
        most = _bounded("max_points", max_points, POINTS_MOST)
        with open_view(run, self.root, self.url) as viewed:
            arrays = viewed.view.to_numpy(Series(Kind.METRIC, metric))
            names = [each["name"] for each in viewed.view.metrics()]
        if not len(arrays.get("index", ())):
            known = ", ".join(
                "the unnamed one" if name is None else repr(name) for name in names[:_FIELDS_MOST]
            )
            raise InvalidArgumentError(f"{viewed.prefix} has no metric {metric!r}: it has {known or 'none'}")
        wanted = [name for name in arrays if name not in {"index", "_ts", "step"}]
        if fields is not None:
            if missing := [name for name in fields if name not in wanted]:
                raise InvalidArgumentError(
                    f"{metric!r} has no field {missing[0]!r}: it has {', '.join(wanted)}"
                )
            wanted = fields
        rows = _between(arrays, from_step, to_step)
        shown = _sampled(arrays, rows, wanted, most)
        lead = [name for name in ("step", "_ts") if name in arrays]
        columns = {name: [_plain(arrays[name][row]) for row in shown] for name in (*lead, *wanted)}
        told = "all" if len(shown) == len(rows) else "first, last and extremes of equal stretches between"
        counted = {"rows": len(rows), "shown": len(shown), "which": told}
        return _told({"run": viewed.prefix, "metric": metric, **counted, "columns": columns})

    def compare_runs(self, runs: list[str], everything: bool = False) -> dict[str, Any]:
        """Show in what runs differ: parameters, surroundings (code, packages, machine), last and best values.

        Args:
            runs: Two to twenty prefixes.
            everything: Whether what is equal is shown, too.
        """
        if not 2 <= len(runs) <= COMPARED_MOST:
            raise InvalidArgumentError(f"runs has {len(runs)}: name 2 to {COMPARED_MOST}")
        sides = []
        for run in runs:
            with open_view(run, self.root, self.url) as viewed:
                sides.append(side_of(viewed))
        if len(sides) == 2:
            a, b = sides
            parts = (
                (name, getattr(a, name), getattr(b, name)) for name in ("params", "environment", "metrics")
            )
            found = {name: json_of(pairs_of(one, other, everything=everything)) for name, one, other in parts}
            return _told({"a": a.prefix, "b": b.prefix, **found})
        told: dict[str, Any] = {"runs": [side.prefix for side in sides]}
        for name in ("params", "metrics"):
            known = list(dict.fromkeys(key for side in sides for key in getattr(side, name)))
            values = {key: [getattr(side, name).get(key) for side in sides] for key in known}
            told[name] = {
                key: several
                for key, several in values.items()
                if everything or any(repr(each) != repr(several[0]) for each in several)
            }
        return _told(told)

    def best_runs(
        self,
        metric: str,
        filter: str = "",
        mode: Literal["min", "max", "last"] | None = None,
        limit: int = 10,
    ) -> dict[str, Any]:
        """Rank runs by the best value of a metric, each with its step and its parameters.

        Args:
            metric: A metric's field, as 'val/acc'.
            filter: Among which runs, as of search_runs; empty for all.
            mode: Which value is the best; without it as it was defined, or as the name tells: a loss is best where it
                is least.
            limit: How many at most, up to 100.
        """
        most = _bounded("limit", limit, RUNS_MOST)
        wanted: Best | None = None if mode is None else checked_best(mode, "mode")
        with open_place(self.root, self.url) as place:
            listed = list(place.place.find(filter))
        ranked = ranked_of(listed, metric, wanted)
        by_prefix = {each.prefix: each for each in listed}
        if not ranked:
            names = sorted({name for each in listed for name, _ in _fields(each)})
            raise InvalidArgumentError(
                f"none of {len(listed):,} runs has numbers of {metric!r}: there are {', '.join(names[:50]) or 'none'}"
            )
        return _told(
            {
                "runs": [
                    {
                        "run": prefix,
                        "value": found.value,
                        "step": found.step,
                        "status": by_prefix[prefix].status,
                        "params": dict(by_prefix[prefix].params),
                    }
                    for prefix, found in ranked[:most]
                ],
                "more": len(ranked) > most,
            }
        )

    def logs(
        self,
        run: str,
        source: Literal["log", "console"] = "log",
        search: str | None = None,
        level: str | None = None,
        last: int = 50,
    ) -> dict[str, Any]:
        """Return the last messages that a run logged, or lines that it printed.

        Args:
            run: Its prefix.
            source: 'log' for what was logged, 'console' for what was printed.
            search: Only those that contain this.
            level: Only messages of this level: debug, info, warn, error or fatal.
            last: How many at most, up to 500; 'total' tells how many there are.
        """
        most = _bounded("last", last, LINES_MOST)
        if source == "console" and level is not None:
            raise InvalidArgumentError("printed lines have no level: leave it out, or ask for source='log'")
        with open_view(run, self.root, self.url) as viewed:
            ask = viewed.view.logs if source == "log" else viewed.view.console
            asked = {
                name: value for name, value in (("search", search), ("level", level)) if value is not None
            }
            return _told({"run": viewed.prefix, **_last_page(ask, most, **asked)})

    def list_files(self, run: str, pattern: str | None = None) -> dict[str, Any]:
        """List the files of a run: names, sizes in bytes, kinds, tags, and what is said of them.

        Args:
            run: Its prefix.
            pattern: Only these, as in 'checkpoints/*.pt'; all by default.
        """
        with open_source(run, self.root, self.url) as files:
            rows = files.files(FileQuery(pattern=pattern))
        told = [
            {"name": full_name(row), "size": row["sizeBytes"], "kind": row["contentType"], "tags": row["tags"],
             "metadata": row["metadata"], "uploadedAt": row["uploadedAt"]}
            for row in rows[:FILES_MOST]
        ]  # fmt: skip
        return _told({"files": told, "total": len(rows)})

    def read_file(self, run: str, name: str, offset: int = 0) -> dict[str, Any]:
        """Return the text of a file, up to 100,000 characters from an offset; of one that is no text, that it is none.

        Args:
            run: Its prefix.
            name: The file's name, as list_files tells it.
            offset: At which byte to begin; 'next' tells where to go on.
        """
        start = whole_number("offset", offset)
        with open_source(run, self.root, self.url) as files, tempfile.TemporaryDirectory() as directory:
            rows = [row for row in files.files(FileQuery()) if full_name(row) == name.strip("/")]
            if not rows:
                raise InvalidArgumentError(f"{run} has no file {name!r}: list_files tells which there are")
            path = os.path.join(directory, "content")
            files.fetch(rows[0], path, lambda _: None)
            with open(path, "rb") as file:
                file.seek(start)
                data = file.read(TEXT_MOST)
        size = rows[0]["sizeBytes"]
        if b"\0" in data:
            return {"name": name, "size": size, "text": None, "why": "it is no text"}
        end = start + len(data)
        text = data.decode("utf-8", "backslashreplace")
        return {"name": name, "size": size, "text": text, "next": end if end < size else None}

    def sql(self, query: str, filter: str = "", limit: int = 100) -> dict[str, Any]:
        """Answer a SELECT by DuckDB over the tables experiments, params, points, logs, tracks and files of runs.

        The tables are those of docs/export.md: points has prefix, metric, field, index, step, time, value and text;
        params has prefix, name, value and text; experiments has prefix, status, tags, created_at and more.

        Args:
            query: The query.
            filter: Of which runs, as of search_runs; empty for all, at most 500 of them.
            limit: How many rows of the answer at most, up to 1,000.
        """
        from ml_dash.cli.agents.sql import answer

        return _told(answer(query, filter, _bounded("limit", limit, POINTS_MOST), self.root, self.url))


def _bounded(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidArgumentError(f"{name}={value!r} is not a whole number from 1 to {most:,}")
    return value


def _fields(listed: ListedExperiment) -> list[tuple[str, FieldSummary]]:
    """Return the fields of a run's metrics by the names that people know them by, with what is kept of them."""
    return [
        (title_of(name, field), summary)
        for name, fields in listed.metrics.items()
        for field, summary in fields.items()
        if field != STEP
    ]


def _short(listed: ListedExperiment) -> dict[str, Any]:
    metrics = {name: summary.last for name, summary in _fields(listed)}
    shown = dict(list(metrics.items())[:_FIELDS_MOST])
    told: dict[str, Any] = {
        "run": listed.prefix,
        "status": "STALE" if listed.stale else listed.status,
        "error": listed.error,
        "startedAt": _time(listed.started_ns),
        "tags": list(listed.tags),
        "params": dict(list(listed.params.items())[:_FIELDS_MOST]),
        "last": shown,
    }
    if len(metrics) > len(shown):
        told["metricsLeftOut"] = len(metrics) - len(shown)
    return _told(told)


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else iso_time(time_ns)


def _last(ask: Any, **asked: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _last_page(ask, _LAST_WORDS, **asked)["rows"]
    return rows


def _last_page(ask: Any, most: int, **asked: Any) -> dict[str, Any]:
    """Return the last rows of a page of all; the pages before them are only counted."""
    rows: list[dict[str, Any]] = []
    start, total = 0, 0
    while True:
        page = ask(start_index=start, limit=LINES_MOST, **asked)
        rows = [*rows, *page["data"]][-most:]
        total, start = page["total"], page["endIndex"] + 1
        if not page["hasMore"]:
            return {"rows": rows, "shown": len(rows), "total": total}


def _between(arrays: Mapping[str, Any], first: float | None, last: float | None) -> Any:
    """Return which rows are asked for."""
    import numpy as np

    rows = np.arange(len(arrays["index"]))
    if first is None and last is None:
        return rows
    steps = np.asarray(arrays["step"], np.float64) if "step" in arrays else rows.astype(np.float64)
    asked = (steps >= (-math.inf if first is None else first)) & (
        steps <= (math.inf if last is None else last)
    )
    return rows[asked]


def _sampled(arrays: Mapping[str, Any], rows: Any, fields: Sequence[str], most: int) -> list[int]:
    """Return at most so many rows: all, or the first and the last, and of stretches between them the extremes."""
    import numpy as np

    if len(rows) <= most:
        return [int(row) for row in rows]
    numbers = [name for name in fields if arrays[name].dtype.kind in "fi"][: max(1, (most - 2) // 2)]
    if most < 4 or not numbers:
        return sorted({int(row) for row in rows[np.linspace(0, len(rows) - 1, most).astype(int)]})
    kept = {int(rows[0]), int(rows[-1])}
    stretches = max(1, (most - 2) // (2 * len(numbers)))
    for some in np.array_split(rows[1:-1], stretches):
        for name in numbers if len(some) else ():
            values = np.asarray(arrays[name], np.float64)[some]
            if not np.isnan(values).all():
                kept |= {int(some[np.nanargmin(values)]), int(some[np.nanargmax(values)])}
    return sorted(kept)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as it is sent."""
    return {name: _cut(value) for name, value in answer.items()}


def _cut(value: Any) -> Any:
    """Return an answer with long texts cut, and floats that JSON has not as texts."""
    if isinstance(value, str):
        return value if len(value) <= _VALUE_MOST else f"{value[:_VALUE_MOST]}… ({len(value):,} characters)"
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, Mapping):
        return {str(key): _cut(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_cut(each) for each in value]
    return value
