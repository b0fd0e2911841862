"""Lists are right whatever is wrong with the file of summaries: missing, damaged, foreign, full, in use."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_dash.storage.summaries import database
from ml_dash.storage.summaries.database import Database, places_for
from ml_dash.storage.summaries.root import RootIndex
from ml_dash.storage.survey import survey
from tests.storage.summaries.looks import opened, shown
from tests.support.scripts import start_python
from tests.support.small_runs import write_run

RUNS = 12
WIDE = {f"key{number}": number for number in range(200)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of some experiments, and a cache directory of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(RUNS):
        write_run(tmp_path / "dash", f"alice/p/run{number}", params={"number": number})
    return tmp_path / "dash"


def file_of(root: Path) -> Path:
    """The one file in a root."""
    (path,) = (root / ".summaries").glob("*.sqlite3")
    return path


def check(index: RootIndex) -> None:
    """All experiments are listed, with what their journals say."""
    index.look()
    found = shown(index)
    assert {each.params["number"] for each in found.values()} == set(range(RUNS))
    assert all(each.metrics["train"]["loss"].last == 0.5 for each in found.values())


def test_the_file_lies_in_the_root_and_is_used_again(root: Path) -> None:
    check(opened(root))
    path = file_of(root)
    again = opened(root)
    assert again.look().opened == 0
    check(again)
    assert file_of(root) == path


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def garbage_behind_the_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {database.VERSION + 1}")
    connection.close()


def another_program_s(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()


def a_copy(path: Path) -> None:
    """As rsync makes one, or an archive."""
    shutil.copy(path, f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


def gone(path: Path) -> None:
    shutil.rmtree(path.parent)


HARM: list[Callable[[Path], None]] = [
    garbage,
    garbage_behind_the_head,
    empty,
    cut,
    newer,
    another_program_s,
    a_copy,
    gone,
]


@pytest.mark.sample(3)
@pytest.mark.parametrize("harm", HARM)
def test_a_file_that_is_not_ours_or_not_whole_is_made_anew(root: Path, harm: Callable[[Path], None]) -> None:
    index = opened(root)
    check(index)
    index.close()
    before = file_of(root)
    harm(before)
    check(opened(root))
    # another name: the rollback journal of an old file would be taken for the new one's
    assert file_of(root) != before or harm is empty


@pytest.mark.parametrize("harm", [garbage, garbage_behind_the_head, cut, gone])
def test_a_file_that_is_harmed_while_it_is_open_is_made_anew(
    root: Path, harm: Callable[[Path], None]
) -> None:
    index = opened(root)
    check(index)
    harm(file_of(root))
    write_run(root, "alice/p/run0", params={"number": 0})
    check(index)
    check(opened(root))


def test_a_question_is_answered_where_the_file_was_harmed_since_the_look(root: Path) -> None:
    index = opened(root)
    check(index)
    garbage(file_of(root))
    assert len(shown(index)) == RUNS


def test_the_file_of_a_newer_version_stays_and_is_not_opened(root: Path) -> None:
    """Whoever goes back to an older version and forth again does not read all journals each time."""
    check(opened(root))
    path = file_of(root)
    theirs = path.with_name(path.name.replace(f".v{database.VERSION}.", f".v{database.VERSION + 1}."))
    theirs.write_bytes(b"of a version that we know nothing of")
    check(opened(root))
    assert theirs.read_bytes() == b"of a version that we know nothing of"
    os.utime(theirs, (0, 0))  # nobody has used it for decades
    check(opened(root))
    assert not theirs.exists()


def test_the_file_of_another_machine_is_not_touched(root: Path) -> None:
    """One that has the root by a network writes its own: no lock has to hold between the two."""
    check(opened(root))
    path = file_of(root)
    theirs = path.with_name(f"{'0' * 12}{path.name[12:]}")
    theirs.write_bytes(b"theirs")
    check(opened(root))
    assert theirs.read_bytes() == b"theirs"
    assert path.exists()


def test_a_root_that_cannot_be_written_has_its_file_in_the_cache(root: Path, tmp_path: Path) -> None:
    """Simulated by a file in the directory's place, since tests may run as the superuser."""
    (root / ".summaries").write_text("in the way")
    check(opened(root))
    (path,) = (tmp_path / "cache").rglob("*.sqlite3")
    assert path.stat().st_size > 0
    assert opened(root).look().opened == 0
    assert (tmp_path / "cache/ml-dash/summaries").stat().st_mode & 0o077 == 0 or os.umask(0) != 0


def test_where_nothing_can_be_written_it_is_in_memory(root: Path, tmp_path: Path) -> None:
    (root / ".summaries").write_text("in the way")
    (tmp_path / "cache").write_text("in the way")
    index = opened(root)
    check(index)
    assert index.store.database.path is None


def test_a_link_in_the_place_of_the_file_or_its_directory_is_not_followed(root: Path, tmp_path: Path) -> None:
    """A root may come from somebody else, who has laid a link to a file of the user's."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / ".summaries").symlink_to(outside)
    check(opened(root))
    assert list(outside.iterdir()) == []
    (root / ".summaries").unlink()
    check(opened(root))
    path = file_of(root)
    path.rename(outside / "mine")
    path.symlink_to(outside / "mine")
    before = (outside / "mine").read_bytes()
    write_run(root, "alice/p/run0", params={"number": 0})
    check(opened(root))
    assert (outside / "mine").read_bytes() == before


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Have no file of this process become longer than so many bytes, as where the disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_a_full_disk_harms_nothing(
    root: Path, tmp_path: Path, full_disk: Callable[[int], None], size: int
) -> None:
    """The rest of the process goes on in memory; what the file had by then is used again."""
    check(opened(root))
    for number in range(RUNS):
        write_run(root, f"alice/p/wide{number}", params={**WIDE, "number": number})
    index = opened(root)
    full_disk(size)
    try:
        index.look()
        assert len(shown(index)) == 2 * RUNS
    finally:
        full_disk(resource.RLIM_INFINITY)
    again = opened(root)
    again.look()
    assert len(shown(again)) == 2 * RUNS
    assert len(survey(str(root)).experiments) == 2 * RUNS


def test_two_that_look_at_the_same_time_enter_the_same(root: Path) -> None:
    """Two processes, or threads: each waits for the other's transactions, and none enters anything twice."""
    indexes = [opened(root) for _ in range(3)]
    errors: list[BaseException] = []

    def look(index: RootIndex) -> None:
        try:
            for _ in range(3):
                index.look()
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=look, args=(index,)) for index in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for index in indexes:
        check(index)
        with index.reading() as store:
            assert store.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


KILLED = """
import os, signal, sys
from ml_dash.storage.summaries import reading
from ml_dash.storage.summaries.root import RootIndex

reading._COMMITTED = 4  # some are entered before
index = RootIndex({root!r}, 90.0)

def progress(read, total):
    if read == 9:  # in the middle of the third transaction
        step = lambda: os.kill(os.getpid(), signal.SIGKILL)
        index.store.connection.set_progress_handler(step, {operations})

index.look(progress=progress)
"""


@pytest.mark.parametrize("operations", [1, 200])
def test_who_is_killed_in_the_middle_leaves_a_file_that_goes_on(root: Path, operations: int) -> None:
    process = start_python(KILLED.format(root=str(root), operations=operations), root)
    assert process.wait(timeout=60) == -9
    process.communicate()
    index = opened(root)
    look = index.look()
    assert look.opened == RUNS - 8
    check(index)
    with index.reading() as store:
        assert store.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_two_processes_that_make_the_file_at_once(root: Path) -> None:
    text = f"""
from ml_dash.storage.summaries.root import RootIndex
index = RootIndex({str(root)!r}, 90.0)
index.look()
with index.reading() as store:
    print(store.count())
"""
    processes: list[subprocess.Popen[str]] = [start_python(text, root) for _ in range(2)]
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert (output, process.returncode) == (f"{RUNS}\n", 0), errors
    check(opened(root))


def test_nothing_but_what_makes_a_file_anew_is_caught(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without descriptors says so, and does not throw away a file that is whole."""
    check(opened(root))
    path = file_of(root)

    def refusing(*_: object) -> object:
        raise OSError(errno.EMFILE, "too many open files")

    index = opened(root)
    write_run(root, "alice/p/new")
    monkeypatch.setattr("ml_dash.storage.summaries.reading.digest", refusing)
    with pytest.raises(OSError, match="too many open files"):
        index.look()
    monkeypatch.undo()
    assert file_of(root) == path
    index.look()
    assert len(shown(index)) == RUNS + 1


def test_the_places_of_a_root(tmp_path: Path) -> None:
    assert places_for(str(tmp_path))[0] == str(tmp_path / ".summaries")
    assert places_for(str(tmp_path))[-1] is None
    assert str(tmp_path / ".summaries") not in places_for(str(tmp_path), is_experiment=True)
    memory = Database(str(tmp_path), [None])
    assert (memory.path, memory.is_there) == (None, True)
    memory.close()
