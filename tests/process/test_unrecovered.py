"""What a process had in shared memory when it was killed, and nobody can append: that is told, wherever one looks."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, JournalDamageWarning
from ml_dash.server.catalogue.records import ExperimentFilter
from ml_dash.server.local.library import LocalLibrary
from ml_dash.slabs.place import QUEUE_DIR
from tests.support.processes import Scripts
from tests.support.shell import invoke

_SCRIPT = """
    import os, signal
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False, capture=False).run.start()
    exp.flush()
    for step in range({rows}):
        exp.metrics("train").log(step=step)
    {end}
    """


class Left:
    """A root and the shared memory of a process that was killed, or ended otherwise."""

    def __init__(self, root: Path, queues: Path) -> None:
        self.root = root
        self.queues = queues
        self.listed: list[str] = []
        """What lists have told last."""

    @property
    def slab(self) -> Path:
        (path,) = self.queues.glob("*/*.slab")
        return path

    def told(self) -> tuple[str, int, str, list[str]]:
        """Return what is `missing` by `show`, the code of `verify` and what that says, and what Python warns of."""
        shown = json.loads(invoke("show", "resnet", "--root", self.root, "--json").out)
        text = " ".join(invoke("show", "resnet", "--root", self.root).out.split())
        assert bool(shown["missing"]) == (" missing " in text)
        self.check_lists(shown["missing"])
        checked = invoke("verify", "--root", self.root)
        exp = Experiment("alice/vision/resnet", dash_root=str(self.root), echo=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                exp.metrics("train").read()
        warned = [str(each.message) for each in caught if each.category is JournalDamageWarning]
        return " ".join(shown["missing"]), checked.code, " ".join(checked.out.split()), warned

    def check_lists(self, missing: list[str]) -> None:
        """Lists and pages tell the same, but of a process that may live."""
        done = invoke("ls", self.root, "--json")
        (listed,) = json.loads(done.out)
        assert (done.code, set(listed["missing"]) <= set(missing)) == (0, True)
        assert (" !" in invoke("ls", self.root).out) == bool(listed["missing"])
        assert all(text in done.err for text in listed["missing"])
        library = LocalLibrary(str(self.root), 90.0)
        try:
            (id_,) = (row["id"] for row in self.pages(library))
            (row,) = self.pages(library)
            assert row["missing"] == library.record(id_)["missing"] == listed["missing"]
        finally:
            library.close()
        self.listed = listed["missing"]

    def pages(self, library: LocalLibrary) -> list[dict[str, Any]]:
        """What the list of the pages has."""
        found: list[dict[str, Any]] = []

        def take(row: dict[str, Any]) -> bool:
            found.append(row)
            return True

        library.listing(take, ExperimentFilter(), 10, None)
        return found

    def expect_told(self, words: str) -> None:
        missing, code, checked, warned = self.told()
        assert words in " ".join(self.listed)
        assert words in missing
        assert (code, "incomplete" in checked, words in checked) == (1, True, True)
        assert [words in each for each in warned] == [True]

    def expect_nothing(self, rows: int) -> None:
        missing, code, checked, warned = self.told()
        assert (missing, code, warned) == ("", 0, [])
        assert "sound" in checked
        exp = Experiment("alice/vision/resnet", dash_root=str(self.root), echo=False)
        assert exp.metrics("train").read(limit=0)["total"] == rows


def _leave(scripts: Scripts, queues: Path, rows: int, end: str) -> Left:
    queues.mkdir()
    env = {QUEUE_DIR: str(queues), "ML_DASH_LINGER": "3600"}
    scripts.run(_SCRIPT.format(rows=rows, end=end), env=env)
    return Left(scripts.home / ".dash", queues)


@pytest.fixture
def killed(scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Left:
    """A process that has died with 100 rows in shared memory."""
    queues = tmp_path / "queues"
    monkeypatch.setenv(QUEUE_DIR, str(queues))
    return _leave(scripts, queues, 100, "os.kill(os.getpid(), signal.SIGKILL)")


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _fill(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _link(path: Path) -> None:
    path.rename(path.parent / "real")
    path.symlink_to(path.parent / "real")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: os.truncate(path, 0), "is damaged"),
        (lambda path: os.truncate(path, 4096), "is damaged"),
        (_zero, "is damaged"),
        (_fill, "is damaged"),
        (_link, "symbolic link"),
        (_pipe, "not a file of this user's own"),
        pytest.param(
            lambda path: os.chown(path, 65534, -1),
            "not a file of this user's own",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
        ),
        (Path.unlink, "is not here"),
    ],
    ids=["empty", "short", "zeros", "noise", "link", "pipe", "foreign", "gone"],
)
def test_what_cannot_be_recovered_is_told(killed: Left, harm: Callable[[Path], None], words: str) -> None:
    harm(killed.slab)

    killed.expect_told(words)


def test_what_lies_where_nobody_looks_is_told_until_it_is_recovered(
    killed: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another directory of queues; and, by another name of the boot, in another machine's."""
    (tmp_path / "others").mkdir()
    monkeypatch.setenv(QUEUE_DIR, str(tmp_path / "others"))
    killed.expect_told(QUEUE_DIR)
    with monkeypatch.context() as patch:
        patch.setattr("ml_dash.query.runs.process_space", lambda: "another boot")
        assert "may wait in shared memory of" in killed.told()[0]
        patch.setenv(QUEUE_DIR, str(killed.queues))
        assert killed.told()[0] == "", "it is recovered"

    killed.expect_nothing(100)


def test_what_a_disk_refuses_is_told_to_wait_and_comes_later(killed: Left) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        killed.expect_told("File too large")
        assert "wait in shared memory" in killed.told()[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    killed.expect_nothing(100)


def test_events_that_were_damaged_in_shared_memory_are_told(killed: Left) -> None:
    data = bytearray(killed.slab.read_bytes())
    at = data.index(b"step", 8192 + 1000)
    data[at - 2 : at + 6] = b"\xc1" * 8
    killed.slab.write_bytes(data)

    killed.expect_told("was damaged")
    assert not list(killed.queues.glob("*/*.slab"))


@pytest.mark.parametrize(
    "end",
    [
        "exp.run.complete()",
        "",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "exp.flush(); os._exit(0)",
        "os.abort()",
    ],
)
def test_of_a_run_that_ended_and_of_one_that_was_recovered_nothing_is_told(
    end: str, scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where all was in the journal when the process died, and so nothing was appended."""
    queues = tmp_path / "queues"
    monkeypatch.setenv(QUEUE_DIR, str(queues))
    left = _leave(scripts, queues, 10, end)

    left.expect_nothing(10)
    shutil.rmtree(queues)
    monkeypatch.delenv(QUEUE_DIR)
    left.expect_nothing(10)


def test_of_a_process_that_lives_nothing_is_told(
    scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its shared memory is not to be found, either: its rows come, and nobody has lost one."""
    (tmp_path / "queues").mkdir()
    (tmp_path / "others").mkdir()
    text = _SCRIPT.format(rows=10, end="exp.flush(); print('logged', flush=True); input()")
    process = scripts.start(text, env={QUEUE_DIR: str(tmp_path / "queues")})
    assert process.stdout is not None
    assert process.stdout.readline() == b"logged\n"
    monkeypatch.setenv(QUEUE_DIR, str(tmp_path / "others"))
    try:
        Left(scripts.home / ".dash", tmp_path / "queues").expect_nothing(10)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


_MANY = """
    import os, signal
    from ml_dash import Experiment

    for at in range({count}):
        exp = Experiment(f"alice/many/{{at}}", dash_root="{root}", echo=False, capture=False).run.start()
        exp.flush()
        exp.metrics("train").log(step=1)
    os.kill(os.getpid(), signal.SIGKILL)
    """


def test_a_list_looks_once_at_what_lies_in_shared_memory_however_many_miss_rows(
    scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And opens nothing there for those of whom nothing is there."""
    queues = tmp_path / "queues"
    queues.mkdir()
    monkeypatch.setenv(QUEUE_DIR, str(queues))
    counts = []
    for count in (2, 7):
        root = f"dash-{count}"
        env = {QUEUE_DIR: str(queues), "ML_DASH_LINGER": "3600"}
        scripts.run(_MANY.format(count=count, root=root), env=env)
        for slab in queues.glob("*/*.slab"):
            slab.unlink()
        invoke("ls", scripts.home / root)  # reads the journals
        looked: Counter[str] = Counter()
        real = {name: getattr(os, name) for name in ("open", "lstat", "listdir")}

        def counting(name: str, real: Callable[..., Any], looked: Counter[str]) -> Callable[..., Any]:
            def call(path: Any, *more: Any, **named: Any) -> Any:
                looked[name] += str(path).startswith(str(queues))
                return real(path, *more, **named)

            return call

        with monkeypatch.context() as patch:
            for name, function in real.items():
                patch.setattr(os, name, counting(name, function, looked))
            done = invoke("ls", scripts.home / root, "--json")
        listed = json.loads(done.out)
        assert [len(each["missing"]) for each in listed] == [1] * count
        assert done.err.count("is not here") == min(count, 5)
        counts.append(looked)
    few, many = counts
    assert (few["open"], few["lstat"]) == (many["open"], many["lstat"]) == (0, few["lstat"])
    assert max(few["listdir"], many["listdir"]) <= few["lstat"], "and none where it is known what lies there"
