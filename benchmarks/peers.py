"""Other experiment trackers, each as its documentation says that it logs fastest, with what it captures by itself off.

Each lives in an environment of its own, and is imported only there: nothing but the standard library is imported at the
top. The rows that a tracker leaves on disk are counted by its own reader, where it has one that works offline.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contenders import CONTENDERS, OURS, PREFIX, Contender, Sink

__all__ = ["PEERS", "Peer", "level_db_records"]

_FIELDS = '{"loss": loss, "acc": acc, "lr": lr}'
_FIELD = "loss"
_WANDB_BLOCK = 32 * 1024


class Peer(NamedTuple):
    """A tracker to compare with.

    Attributes:
        contender: how it logs.
        requirement: what `pip` is asked for; empty for ours, which is installed from this checkout.
        read: returns the values of one field of all rows, by its own reader; None where it has none that works offline.
        most_steps: of a tight loop, so that the slow ones take a minute and not an hour.
    """

    contender: Contender
    requirement: str
    read: Callable[[str], list[float]] | None
    most_steps: int = 100_000


# --- ours, and the public package of this name, which has the same interface


def _open_experiment(directory: str) -> Sink:
    from ml_dash import Experiment

    with _quiet():
        experiment = Experiment(prefix=PREFIX, dash_root=directory)
        experiment.run.start()
    call = 'experiment.metrics("train").log(loss=loss, acc=acc, lr=lr)'
    return Sink(call, {"experiment": experiment}, _quietly(experiment.run.complete))


def _read_experiment(directory: str) -> list[float]:
    from ml_dash import Experiment

    with _quiet():
        experiment: Any = Experiment(prefix=PREFIX, dash_root=directory)
        experiment.run.start()
        rows = experiment.metrics("train").read(start_index=0, limit=1_000_000)["data"]
        experiment.run.complete()
    return [row["data"][_FIELD] for row in rows]


# --- wandb


def _open_wandb(directory: str) -> Sink:
    import wandb

    settings = wandb.Settings(
        mode="offline", console="off", silent=True, x_disable_stats=True, x_disable_meta=True,
        disable_git=True, disable_code=True, save_code=False,
    )  # fmt: skip
    run = wandb.init(project="bench", dir=directory, settings=settings)
    return Sink(f"log({_FIELDS})", {"log": run.log}, run.finish)


def _stored_by_wandb(directory: str) -> int:
    """Count the history records of the run's file: LevelDB's log format of protobuf messages, behind 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    (path,) = Path(directory).rglob("*.wandb")
    record = wandb_internal_pb2.Record()
    rows = 0
    for message in level_db_records(path.read_bytes()[7:], start=7):
        record.ParseFromString(message)
        rows += record.WhichOneof("record_type") == "history"
    return rows


def level_db_records(data: bytes, start: int) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format, `start` bytes into its first block."""
    at, parts = 0, b""
    while at + 7 <= len(data):
        left = _WANDB_BLOCK - (start + at) % _WANDB_BLOCK
        if left < 7:  # too little for a head: the block is filled up
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        at += 7
        if not kind or at + length > len(data):
            return
        parts += data[at : at + length]
        at += length
        if kind in {1, 4}:  # a whole record, or the last part of one
            yield parts
            parts = b""


# --- trackio


def _open_trackio(directory: str) -> Sink:
    os.environ["TRACKIO_DIR"] = directory
    import trackio

    with _quiet():
        trackio.init(project="bench", name="run", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return Sink(f"log({_FIELDS})", {"log": trackio.log}, _quietly(trackio.finish))


def _stored_by_trackio(directory: str) -> int:
    return _counted(os.path.join(directory, "bench.db"), "SELECT count(*) FROM metrics")


def _read_trackio(directory: str) -> list[float]:
    os.environ["TRACKIO_DIR"] = directory
    import trackio

    (run,) = trackio.Api().runs("bench")
    return [row[_FIELD] for row in trackio.SQLiteStorage.get_logs("bench", run.name)]


# --- tensorboardX


def _open_tensorboard(directory: str) -> Sink:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(directory)
    names = {"add": writer.add_scalar}
    call = 'add("loss", loss, step); add("acc", acc, step); add("lr", lr, step)'
    return Sink(call, names, writer.close)


def _stored_by_tensorboard(directory: str) -> int:
    return len(_read_tensorboard(directory))


def _read_tensorboard(directory: str) -> list[float]:
    """Read a file of events: length, its checksum, a protobuf message, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: list[float] = []
    event = Event()
    for path in Path(directory).glob("events.*"):
        data, at = path.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            if at + 16 + length > len(data):
                break
            event.ParseFromString(data[at + 12 : at + 12 + length])
            found += [value.simple_value for value in event.summary.value if value.tag == _FIELD]
            at += 16 + length
    return found


# --- expman-rs


def _open_expman(directory: str) -> Sink:
    from expman import Experiment

    experiment = Experiment(
        "bench", run_name="run", base_dir=directory, redirect_console=False, system_metrics_interval_secs=0,
        capture_provenance=False,
    )  # fmt: skip
    return Sink(f"log({_FIELDS}, step)", {"log": experiment.log_vector}, experiment.close)


def _read_expman(directory: str) -> list[float]:
    from expman import read_metrics

    try:
        rows = read_metrics(os.path.join(directory, "bench", "run"))
    except Exception:  # noqa: BLE001 - of a run that was killed there may be nothing
        return []
    return [row[_FIELD] for row in rows]


# --- mlflow


def _open_mlflow(directory: str, *, synchronous: bool = True) -> Sink:
    import logging

    import mlflow

    logging.disable(logging.WARNING)
    mlflow.set_tracking_uri(_mlflow_store(directory))
    mlflow.set_experiment("bench")
    mlflow.start_run(log_system_metrics=False)

    def close() -> None:
        mlflow.flush_async_logging()
        mlflow.end_run()

    rest = "" if synchronous else ", synchronous=False"
    return Sink(f"log({_FIELDS}, step=step{rest})", {"log": mlflow.log_metrics}, close)


def _open_mlflow_async(directory: str) -> Sink:
    return _open_mlflow(directory, synchronous=False)


def _mlflow_store(directory: str) -> str:
    return f"sqlite:///{directory}/mlflow.db"


def _stored_by_mlflow(directory: str) -> int:
    query = "SELECT count(*) FROM metrics WHERE key = 'loss'"
    return _counted(os.path.join(directory, "mlflow.db"), query)


def _read_mlflow(directory: str) -> list[float]:
    import mlflow

    client = mlflow.MlflowClient(_mlflow_store(directory))
    (run,) = client.search_runs([client.get_experiment_by_name("bench").experiment_id])
    return [point.value for point in client.get_metric_history(run.info.run_id, _FIELD)]


# --- aim


def _aim_run(directory: str, run_hash: str | None = None) -> Any:
    from aim import Run

    return Run(
        run_hash, repo=directory, experiment="bench", system_tracking_interval=None, log_system_params=False,
        capture_terminal_logs=False,
    )  # fmt: skip


def _open_aim(directory: str) -> Sink:
    run = _aim_run(directory)
    return Sink(f"track({_FIELDS}, step=step)", {"track": run.track}, run.close)


def _read_aim(directory: str) -> list[float]:
    from aim import Repo

    # As one resumes a run: read-only, a run that was just closed has no metrics yet.
    with _quiet():
        (run_hash,) = Repo(directory).list_all_runs()
        for metric in _aim_run(directory, run_hash).metrics():
            if metric.name == _FIELD:
                return [float(value) for value in metric.values.sparse_numpy()[1]]
    return []


# --- all of them


def _counted(path: str, query: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # killed before the table was made
            return 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let nobody write into the result, which is this process's standard output."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _quietly(close: Callable[[], object]) -> Callable[[], object]:
    def closed() -> None:
        with _quiet():
            close()

    return closed


def _counting(read: Callable[[str], list[float]]) -> Callable[[str], int]:
    return lambda directory: len(read(directory))


def _contender(
    title: str,
    source: str,
    start: Callable[[str], Sink],
    stored: Callable[[str], int],
) -> Contender:
    return Contender(title, source, "", start, stored)


_IMPORT_US = "from ml_dash import Experiment"

PEERS = {
    OURS: Peer(CONTENDERS[OURS], "", _read_experiment),
    "wandb": Peer(
        _contender("wandb (offline)", "import wandb", _open_wandb, _stored_by_wandb), "wandb", None, 20_000
    ),
    "trackio": Peer(
        _contender("trackio", "import trackio", _open_trackio, _stored_by_trackio), "trackio", _read_trackio
    ),
    "tensorboardX": Peer(
        _contender(
            "tensorboardX",
            "from tensorboardX import SummaryWriter",
            _open_tensorboard,
            _stored_by_tensorboard,
        ),
        "tensorboardX",
        _read_tensorboard,
        20_000,
    ),
    "public": Peer(
        _contender("public ml-dash (local)", _IMPORT_US, _open_experiment, _counting(_read_experiment)),
        "ml-dash",
        _read_experiment,
    ),
    "expman-rs": Peer(
        _contender("expman-rs", "from expman import Experiment", _open_expman, _counting(_read_expman)),
        "expman-rs",
        _read_expman,
    ),
    "mlflow": Peer(
        _contender("mlflow (sqlite)", "import mlflow", _open_mlflow, _stored_by_mlflow),
        "mlflow",
        _read_mlflow,
        1_000,
    ),
    "mlflow-async": Peer(
        _contender("mlflow (sqlite, asynchronous)", "import mlflow", _open_mlflow_async, _stored_by_mlflow),
        "mlflow",
        _read_mlflow,
        1_000,
    ),
    "aim": Peer(
        _contender("aim", "from aim import Run", _open_aim, _counting(_read_aim)), "aim", _read_aim, 10_000
    ),
}
