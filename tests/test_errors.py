"""The errors: one tree, as drawn; each says what happened, with which value, and what to do. And bad disks."""

from __future__ import annotations

import builtins
import copy
import inspect
import math
import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import (
    Experiment,
    InvalidArgumentError,
    InvalidParameterError,
    InvalidPrefixError,
    JournalVersionError,
    JournalWriteError,
    MissingExtraError,
    MLDashError,
    NotStartedError,
    errors,
)
from ml_dash.journal.frame import encode_segment_header, segment_name
from tests.support.journals import WRITER, later_version
from tests.support.scripts import python

ERRORS = [name for name in errors.__all__ if not name.endswith("Warning")]


def drawn_tree() -> dict[str, tuple[str, str | None]]:
    """The tree in the docstring: each class with the one above it and the builtin beside it."""
    tree: dict[str, tuple[str, str | None]] = {}
    above = ["MLDashError"]
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        found = re.match(r" {4}([│ ]*)[├└]── (\w+)(?:\((\w+)\))?", line)
        if found:
            depth = 1 + len(found[1]) // 4
            del above[depth:]
            tree[found[2]] = above[-1], found[3]
            above.append(found[2])
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    """Every class is drawn, below the one that it is derived from, with the builtin that a user would catch."""
    classes = {name: getattr(errors, name) for name in ERRORS}
    actual = {}
    for name, error in classes.items():
        if error is MLDashError:
            assert error.__bases__ == (Exception,)
            continue
        parent, *beside = error.__bases__
        actual[name] = parent.__name__, beside[0].__name__ if beside else None
        assert len(beside) <= 1
        assert all(base.__module__ == "builtins" for base in beside)

    assert drawn_tree() == actual
    assert all(issubclass(error, MLDashError) for error in classes.values())


def test_every_error_is_public_and_documented() -> None:
    """They can be caught by `ml_dash.…`, and say what they are for."""
    defined = [name for name, value in vars(errors).items() if inspect.isclass(value)]

    assert sorted(defined) == sorted(errors.__all__)
    for name in errors.__all__:
        assert getattr(ml_dash, name) is getattr(errors, name)
        assert inspect.getdoc(getattr(errors, name))
        assert not hasattr(builtins, name)


EXAMPLES: dict[str, tuple[type[MLDashError], Callable[[Experiment], object], tuple[str, ...]]] = {
    "prefix": (InvalidPrefixError, lambda exp: Experiment("a/../b"), ("'..'", "write the path without it")),
    "no prefix": (InvalidPrefixError, lambda exp: Experiment("/"), ("'/'", "owner/project/name")),
    "prefix's type": (InvalidPrefixError, lambda exp: Experiment(5), ("5", "str()")),  # type: ignore[arg-type]
    "nowhere": (
        InvalidArgumentError,
        lambda exp: Experiment("a", dash_root=None),
        ("None", "dash_root='.dash'"),
    ),
    "tags": (InvalidArgumentError, lambda exp: Experiment("a", tags="x"), ("tags='x'", "tags=[")),
    "overflow": (
        InvalidArgumentError,
        lambda exp: Experiment("a", overflow="explode"),  # type: ignore[arg-type]
        ("overflow='explode'", "'block'", "'drop'"),
    ),
    "no URL": (
        InvalidArgumentError,
        lambda exp: Experiment("a", dash_url=5),  # type: ignore[arg-type]
        ("dash_url=5", "https://host"),
    ),
    "another scheme": (
        InvalidArgumentError,
        lambda exp: Experiment("a", dash_url="ftp://dash.example.com"),
        ("ftp://dash.example.com", "https://"),
    ),
    "plain http": (
        InvalidArgumentError,
        lambda exp: Experiment("a", dash_url="http://dash.example.com"),
        ("http://dash.example.com", "https://"),
    ),
    "level": (
        InvalidArgumentError,
        lambda exp: exp.log("x", level="loud"),
        ("level='loud'", "use one of", "fatal"),
    ),
    "level of a read": (
        InvalidArgumentError,
        lambda exp: exp.logs.read(level="loud"),
        ("level='loud'", "fatal"),
    ),
    "metadata": (
        InvalidArgumentError,
        lambda exp: exp.log("x", metadata="y"),  # type: ignore[arg-type]
        ("metadata='y'", "pass metadata={"),
    ),
    "parameter": (
        InvalidParameterError,
        lambda exp: exp.params.set(model={"f": object()}),
        ("'model.f'", "object", "store its name"),
    ),
    "metric's name": (InvalidArgumentError, lambda exp: exp.metrics(""), ("''", "pass a non-empty string")),
    "topic": (InvalidArgumentError, lambda exp: exp.tracks("a\n"), (r"'a\n'", "leave them out")),
    "time": (
        InvalidArgumentError,
        lambda exp: exp.metrics.log(_ts=math.nan),
        ("_ts=nan", "pass seconds since the epoch"),
    ),
    "aggregation": (
        InvalidArgumentError,
        lambda exp: exp.metrics.buffer.log_summary("avg"),
        ("'avg'", "use mean, std", "p0 to p100"),
    ),
    "buffered value": (
        InvalidArgumentError,
        lambda exp: exp.metrics.buffer(note="x"),
        ("note='x'", "use log()"),
    ),
    "page": (InvalidArgumentError, lambda exp: exp.metrics.read(limit=-1), ("limit=-1", "give an int")),
    "peek": (
        InvalidArgumentError,
        lambda exp: exp.metrics.buffer.peek("m", limit=0),
        ("limit=0", "pass 1 or more"),
    ),
    "format": (
        InvalidArgumentError,
        lambda exp: exp.tracks("t").read(format="csv"),
        ("format='csv'", "use one of json, jsonl, parquet"),
    ),
    "bound": (
        InvalidArgumentError,
        lambda exp: exp.tracks("t").read(start_timestamp=math.nan),
        ("start_timestamp=nan", "give seconds"),
    ),
    "not started": (
        NotStartedError,
        lambda exp: Experiment("a/b/other").log("x"),
        ("'a/b/other'", "not started", "run.start()"),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_error_shows_the_value_and_the_remedy(name: str, exp: Experiment) -> None:
    """It is raised in the caller, before anything is queued."""
    kind, call, parts = EXAMPLES[name]
    with pytest.raises(kind) as caught:
        call(exp)

    for part in parts:
        assert part in str(caught.value)
    assert exp.status().logged == 0


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("package", "call", "installed"),
    [
        ("pandas", 'exp.metrics("m").to_pandas()', "pandas"),
        ("pyarrow", 'exp.tracks("m").read(format="parquet")', "pyarrow"),
    ],
)
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    package: str, call: str, installed: str, tmp_path: Path
) -> None:
    """An ImportError that names the packages, and not our name, which is another's on the package index."""
    printed = python(
        f"""
        import sys
        sys.modules[{package!r}] = None
        from ml_dash import Experiment, MissingExtraError

        exp = Experiment("a/b/c")
        try:
            {call}
        except MissingExtraError as error:
            assert isinstance(error, ImportError)
            print(error)
        """,
        tmp_path,
    )

    assert package in printed
    assert printed.endswith(f"pip install {installed}\n")


def test_an_error_for_a_missing_package_can_be_raised_anew() -> None:
    """By pickle and copy, which rebuild an exception from its arguments: across processes, for instance."""
    error = MissingExtraError("save_video()", "imageio-ffmpeg", "video")

    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is MissingExtraError
        assert str(again) == str(error)


def test_a_journal_of_a_later_version_is_refused_by_name_and_left_alone(root: str) -> None:
    """The file, its version, ours, and what to install."""
    exp = Experiment("a/b/c", dash_root=root)
    journal = Path(exp.directory, "journal")
    journal.mkdir(parents=True)
    path = journal / segment_name(WRITER, 1)
    path.write_bytes(later_version(encode_segment_header(WRITER, 1, 0, 1)))
    before = path.read_bytes()

    with pytest.raises(JournalVersionError) as caught:
        exp.metrics("train").read()

    assert isinstance(caught.value, RuntimeError)
    for part in (str(path), "format 2", "up to 1", "install a newer version"):
        assert part in str(caught.value)
    assert path.read_bytes() == before


def test_a_run_goes_on_beside_a_journal_of_a_later_version(root: str) -> None:
    """Its own segments are its own; only reading has to wait for the newer version."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    journal = Path(exp.directory, "journal")
    journal.mkdir(parents=True)
    path = journal / segment_name(WRITER, 1)
    path.write_bytes(later_version(encode_segment_header(WRITER, 1, 0, 1)))
    with exp.run:
        exp.log("x")
        assert exp.flush().durable == 1
    assert exp.status().durable == 1

    path.unlink()
    assert Experiment("a/b/c", dash_root=root).logs.read()["total"] == 1


# --- bad disks


def unwritable_roots(tmp_path: Path) -> list[str]:
    file = tmp_path / "file"
    file.write_text("not a directory")
    roots = [str(file), str(file / "below")]
    return [*roots, "/proc/dash"] if sys.platform == "linux" else roots


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_root_that_cannot_be_written_is_told_at_the_start(number: int, tmp_path: Path) -> None:
    """`run.start()` raises an OSError that names the directory and the reason; nothing is open then."""
    roots = unwritable_roots(tmp_path)
    if number >= len(roots):
        pytest.skip("no such directory on this system")
    exp = Experiment("a/b/c", dash_root=roots[number], echo=False)

    for start in (exp.run.start, exp.run.__enter__):
        with pytest.raises(JournalWriteError) as caught:
            start()
        assert isinstance(caught.value, OSError)
        assert roots[number] in str(caught.value)
        assert "dash_root=" in str(caught.value)
    with pytest.raises(NotStartedError):
        exp.log("x")
    assert exp.run.status is None
    exp.run.complete()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_root_without_permission_is_told_at_the_start(tmp_path: Path) -> None:
    """The same, by permissions."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(JournalWriteError, match="ermission denied"):
            Experiment("a/b/c", dash_root=tmp_path).run.start()
    finally:
        tmp_path.chmod(0o700)


def test_a_start_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    """Once the cause is mended."""
    root = tmp_path / "root"
    root.write_text("in the way")
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with pytest.raises(JournalWriteError):
        exp.run.start()

    root.unlink()
    with exp.run:
        exp.log("x")
    assert exp.logs.read()["total"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the sizes of files are of Unix")
def test_a_disk_that_refuses_does_not_stop_the_loop(tmp_path: Path) -> None:
    """Events wait in the queue, at capacity new ones are dropped and counted, and all is well once there is room."""
    printed = python(
        """
        import logging, resource, time
        from ml_dash import Experiment

        def law():
            status = exp.status()
            assert status.logged == logged, (status, logged)
            assert logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
            return status

        told = []
        handler = logging.Handler()
        handler.emit = lambda record: told.append(record.getMessage())
        logging.getLogger("ml_dash").addHandler(handler)

        exp = Experiment("a/b/c", dash_root="dash", echo=False).run.start()
        logged = 0
        exp.metrics("train").log(step=-1); logged += 1
        assert exp.flush().durable == 1

        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
        for step in range(20_000):
            exp.metrics("train").log(step=step); logged += 1
        result = exp.flush()
        status = law()
        assert set(status.dropped) == {"disk"} and status.pending > 0, status
        assert result.pending == status.pending and "refuses" in result.reason, result
        assert status.last_error and status.status == "RUNNING"
        assert len([text for text in told if "cannot be written" in text]) == 1, told

        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        while exp.flush().pending:
            time.sleep(0.05)
        status = law()
        exp.metrics("train").log(step=20_000); logged += 1
        assert exp.flush().reason is None
        exp.run.complete()
        assert law().pending == 0
        assert len([text for text in told if "can be written again" in text]) == 1, told
        print(status.dropped["disk"])
        """,
        tmp_path,
        ML_DASH_QUEUE_EVENTS="1000",
        ML_DASH_CRASH_PROOF="0",
    )

    exp = Experiment("a/b/c", dash_root=tmp_path / "dash")
    steps = exp.metrics("train").to_numpy()["step"].tolist()
    assert len(steps) == 20_002 - int(printed)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (-1, 20_000)
    assert exp.view.run().status == "COMPLETED"


def raise_it(error: Any) -> None:
    raise error


@pytest.mark.parametrize("name", [name for name in ERRORS if name != "MissingExtraError"])
def test_every_error_can_be_caught_by_the_root_of_the_tree(name: str) -> None:
    """`except ml_dash.MLDashError`."""
    with pytest.raises(MLDashError, match="why"):
        raise_it(getattr(ml_dash, name)("why"))
