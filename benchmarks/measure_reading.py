"""One measurement of reading in one process: ``python -m benchmarks.measure_reading JOB``; see `benchmarks.measure`."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import peak_rss, rss

__all__ = ["FIELDS", "main"]

FIELDS = ("loss", "acc", "lr")
_PREFIX = "bench/reading/run"


def write(directory: str, rows: int) -> dict[str, float]:
    """Log rows through the whole pipeline, as fast as it takes them."""
    from ml_dash import Experiment

    began = time.perf_counter()
    with Experiment(_PREFIX, dash_root=directory, echo=False).run as experiment:
        log = experiment.metrics("train").log
        for step in range(rows):
            loss = step * 1e-5
            log(loss=loss, acc=1.0 - loss, lr=0.001)
    return {
        "rows_per_s": rows / (time.perf_counter() - began),
        "bytes": sum(map(os.path.getsize, _segments(directory))) / rows,
        "rss_mb": peak_rss(),
    }


def write_columns(directory: str, rows: int) -> dict[str, float]:
    """Log rows of two fields and their times in one call, until they are on file; beside it, write as many bytes."""
    import numpy as np

    from ml_dash import Experiment

    step, loss, stamps = (
        np.arange(rows),
        np.random.default_rng(0).random(rows),
        1.7e9 + np.arange(rows) * 1e-3,
    )
    with Experiment(_PREFIX, dash_root=directory, echo=False).run as experiment:
        metric = experiment.metrics("train")
        metric.log_columns(step=step[:1000], loss=loss[:1000], _ts=stamps[:1000])
        experiment.flush()

        def log() -> None:
            metric.log_columns(step=step, loss=loss, _ts=stamps)
            experiment.flush()

        took, _ = _timed(log)

    def save() -> None:
        with open(os.path.join(directory, "plain"), "wb") as file:
            file.writelines(array.data for array in (step, loss, stamps))
            file.flush()
            os.fsync(file.fileno())

    plain, _ = _timed(save)
    return {"log_columns() and flush()": took, "the arrays, written and synced": plain}


def save_arrays(directory: str, rows: int) -> dict[str, Any]:
    """Save the same columns as numpy does, one file each, for the baseline."""
    import numpy as np

    loss = np.arange(rows) * 1e-5
    arrays = {"index": np.arange(rows), "_ts": np.arange(rows) * 1e-6}
    arrays |= dict(zip(FIELDS, (loss, 1.0 - loss, np.full(rows, 0.001)), strict=True))
    for name, array in arrays.items():
        np.save(_array_path(directory, name), array)
    return {}


def column(directory: str, rows: int) -> dict[str, float]:
    """Read all rows as numpy arrays."""
    import numpy as np

    metric = _metric(directory)
    opened, arrays = _timed(metric.to_numpy)
    again, _ = _timed(metric.to_numpy)
    assert (arrays["loss"] == np.arange(rows) * 1e-5).all()
    loaded, _ = _timed(lambda: [np.load(_array_path(directory, name)) for name in ("index", "_ts", *FIELDS)])
    raw, _ = _timed(lambda: [_read(path) for path in _segments(directory)])
    return {"just opened": opened, "already open": again, "numpy.load": loaded, "raw bytes": raw}


def page(directory: str, rows: int, reads: int) -> dict[str, float]:
    """Read 100 rows anywhere."""
    import numpy as np

    places = [random.Random(0).randrange(rows - 100) for _ in range(reads)]
    before = rss()
    metric = _metric(directory)
    opened, found = _timed(metric.read, rows // 2, 100)
    assert [row["data"]["loss"] for row in found["data"]] == [
        i * 1e-5 for i in range(rows // 2, rows // 2 + 100)
    ]
    times = sorted(_timed(metric.read, place, 100)[0] for place in places)
    after = peak_rss()
    mapped, arrays = _timed(lambda: [np.load(_array_path(directory, name), mmap_mode="r") for name in FIELDS])
    slices = sorted(
        _timed(lambda at: [array[at : at + 100].tolist() for array in arrays], at)[0] for at in places
    )
    return {
        "just opened": opened,
        "already open": times[reads // 2],
        "already open, slowest": times[-1],
        "numpy.load, mapped": mapped + slices[-1],
        "a slice of mapped arrays": slices[reads // 2],
        "rss_growth_mb": after - before,
    }


def rows(directory: str, rows: int, limit: int) -> dict[str, float]:
    """Read as many rows as dicts, and have Python make the plainest dicts of the same arrays."""
    metric = _metric(directory)
    metric.read(rows // 2, 1)
    took, found = _timed(metric.read, rows // 4, limit)
    assert len(found["data"]) == limit
    arrays = metric.to_numpy()
    lists = [arrays[name][:limit].tolist() for name in ("index", "_ts", *FIELDS)]
    plain, _ = _timed(
        lambda: [
            {"index": index, "data": dict(zip(FIELDS, values, strict=True)), "at": at}
            for index, at, *values in zip(*lists, strict=True)
        ]
    )
    return {"read()": took, "dicts of lists": plain}


def stats(directory: str) -> dict[str, float]:
    """Compute the statistics of every field of all rows."""
    import numpy as np

    def by_numpy() -> None:
        for name in FIELDS:
            values = np.load(_array_path(directory, name))
            np.isnan(values).sum()
            np.nanmin(values), np.nanmax(values), np.nanmean(values)

    before = rss()
    metric = _metric(directory)
    took, _ = _timed(metric.stats)
    after = peak_rss()
    return {"stats()": took, "the same by numpy": _timed(by_numpy)[0], "rss_growth_mb": after - before}


def _metric(directory: str) -> Any:
    from ml_dash import Experiment

    return Experiment(_PREFIX, dash_root=directory).metrics("train")


def _timed(work: Callable[..., Any], *arguments: int) -> tuple[float, Any]:
    """Return the milliseconds that some work takes, and its result."""
    began = time.perf_counter()
    result = work(*arguments)
    return (time.perf_counter() - began) * 1e3, result


def _segments(directory: str) -> list[str]:
    journal = os.path.join(directory, _PREFIX, "journal")
    return [os.path.join(journal, name) for name in sorted(os.listdir(journal))]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _array_path(directory: str, name: str) -> str:
    return os.path.join(directory, f"{name}.npy")


_JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "write": write,
    "write_columns": write_columns,
    "save_arrays": save_arrays,
    "column": column,
    "page": page,
    "rows": rows,
    "stats": stats,
}


def main() -> None:
    """Do the job that the command line describes."""
    job = json.loads(sys.argv[1])
    print(json.dumps(_JOBS[job.pop("job")](**job)))


if __name__ == "__main__":
    main()
