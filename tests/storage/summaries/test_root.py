"""Lists of a root say what is on the disk, whatever was done to it and by whom, and read nothing twice."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.frame import decode_segment_header
from ml_dash.query.listing.binding import bind, bind_order
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.summary import FieldSummary
from ml_dash.series import Kind
from ml_dash.storage import marks
from ml_dash.storage.summaries import looking
from ml_dash.storage.summaries.asking import selected_records, unreadable
from ml_dash.storage.summaries.digest import digest
from ml_dash.storage.summaries.records import Record
from ml_dash.storage.summaries.root import RootIndex
from ml_dash.storage.survey import survey
from tests.storage.summaries.looks import LaterClock, let_time_pass, opened, shown
from tests.support.cli_experiments import killed
from tests.support.journals import later_version
from tests.support.small_runs import BEGAN_NS, age, append, end, said, segment_of, start, values, write_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dash"


@pytest.fixture
def none_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a root of 100,000 experiments: hardly any of them has its turn in a look."""
    monkeypatch.setattr(looking, "CHECKED_LEAST", 0)
    monkeypatch.setattr(looking, "_CHECKED_SECONDS", 0.0)


def last(index: RootIndex, prefix: str) -> object:
    return shown(index)[prefix].metrics["train"]["loss"].last


def test_an_experiment_has_what_its_journal_says(root: Path) -> None:
    write_run(
        root, "alice/p/deep/a", [1.0, 0.5], params={"lr": 0.1}, tags=["x"], readme="Words", status="FAILED"
    )
    index = opened(root)
    look = index.look()
    assert (look.added, look.opened, look.unread, look.refused) == (1, 1, 0, {})
    (found,) = shown(index).values()
    assert (found.owner, found.project, found.folder, found.name) == ("alice", "p", "deep", "a")
    assert (found.status, found.tags, found.readme, found.rows, found.attempts) == (
        "FAILED",
        ("x",),
        "Words",
        2,
        1,
    )
    assert found.params == {"lr": 0.1}
    assert found.metrics["train"]["loss"] == FieldSummary(2, 0, 1.0, 0.5, 0.5, 1.0, 1.5, 0, 1, 1, 0)


@pytest.mark.usefixtures("none_in_turn")
def test_a_look_at_what_has_not_changed_opens_and_lists_nothing(root: Path) -> None:
    """However many there are: what is asked of the disk is the times of the few directories that hold them."""
    for number in range(60):
        write_run(root, f"alice/p{number % 3}/run{number}")
    index = opened(root, clock=LaterClock())
    first = index.look()
    assert (first.opened, first.rows_read) == (60, 60 * 4)
    for each in (index, opened(root, clock=LaterClock())):
        look = each.look()
        assert (look.opened, look.rows_read, look.listed, look.checked) == (0, 0, 0, 0)
        assert len(shown(each)) == 60


@pytest.mark.usefixtures("none_in_turn")
def test_a_new_one_costs_a_list_of_its_directory(root: Path) -> None:
    for number in range(20):
        write_run(root, f"alice/p{number % 4}/run{number}")
    index = opened(root, clock=LaterClock())
    index.look()
    let_time_pass(root / "alice/p1")
    write_run(root, "alice/p1/new")
    look = index.look()
    assert (look.added, look.opened, look.listed) == (1, 1, 2)


@pytest.mark.usefixtures("none_in_turn")
def test_what_is_removed_moved_or_copied_in_is_noticed(root: Path, tmp_path: Path) -> None:
    """Copied in with times of years ago, also that of the directory that it comes into, as rsync does."""
    for name in "abcd":
        write_run(root, f"alice/p/{name}", params={"name": name})
    write_run(tmp_path / "elsewhere", "alice/p/e", [7.0])
    index = opened(root, clock=LaterClock())
    index.look()
    let_time_pass(root / "alice/p")
    shutil.rmtree(root / "alice/p/a")
    (root / "bob").mkdir()
    (root / "alice/p/b").rename(root / "bob/b")
    (root / "alice/p/c").rename(root / "alice/p/C")
    shutil.copytree(tmp_path / "elsewhere", root, dirs_exist_ok=True)
    age(root / "alice/p/e")
    for path in (root / "alice/p", root / "alice"):
        os.utime(path, ns=(BEGAN_NS, BEGAN_NS))
    look = index.look()
    assert shown(index).keys() == {"alice/p/C", "alice/p/d", "alice/p/e", "bob/b"}
    assert shown(index)["bob/b"].params == {"name": "b"}
    assert last(index, "alice/p/e") == 7.0
    # what was moved is known already
    assert look.opened == 1


@pytest.mark.usefixtures("none_in_turn")
def test_a_directory_that_takes_another_s_place_is_read(root: Path) -> None:
    write_run(root, "alice/p/a", [1.0])
    write_run(root, "alice/p/b", [2.0])
    index = opened(root, clock=LaterClock())
    index.look()
    let_time_pass(root / "alice/p")
    (root / "alice/p/a").rename(root / "alice/p/gone")
    (root / "alice/p/b").rename(root / "alice/p/a")
    (root / "alice/p/gone").rename(root / "alice/p/b")
    index.look()
    assert (last(index, "alice/p/a"), last(index, "alice/p/b")) == (2.0, 1.0)


@pytest.mark.usefixtures("none_in_turn")
def test_a_run_that_goes_on_is_looked_at_each_time_and_read_from_where_it_was(root: Path) -> None:
    run = write_run(root, "alice/p/live", range(500), status=None)
    write_run(root, "alice/p/done")
    index = opened(root, clock=LaterClock(), stale_after=1e9)
    index.look()
    assert shown(index, "status:running").keys() == {"alice/p/live"}
    append(run, [values("train", 500, loss=[-1.0])], first=2)
    look = index.look()
    assert (look.checked, look.opened, look.rows_read) == (1, 1, 1)
    assert last(index, "alice/p/live") == -1.0
    append(run, [end()], first=3)
    assert index.look().rows_read == 1
    assert shown(index, "status:completed").keys() == {"alice/p/live", "alice/p/done"}


@pytest.mark.usefixtures("none_in_turn")
def test_a_run_that_dies_becomes_stale_though_no_file_changes(root: Path) -> None:
    write_run(root, "alice/p/dead", status=None)
    index = opened(root, stale_after=1e9, clock=LaterClock())
    index.look()
    assert shown(index, "status:running")
    again = opened(root, stale_after=1.0, clock=LaterClock())
    look = again.look()
    assert (look.opened, shown(again)["alice/p/dead"].stale) == (0, True)


@pytest.mark.usefixtures("none_in_turn")
def test_a_run_that_was_resumed_and_has_ended_again_is_noticed(root: Path) -> None:
    """The writer says so by a mark: nothing above its journal has changed."""
    with Experiment("alice/p/a", dash_root=str(root), echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    write_run(root, "alice/p/b")
    index = opened(root)
    index.look()
    with Experiment("alice/p/a", dash_root=str(root), echo=False).run as exp:
        exp.metrics("train").log(loss=2.0)
    index.look()
    assert (last(index, "alice/p/a"), shown(index)["alice/p/a"].attempts) == (2.0, 2)


@pytest.mark.usefixtures("none_in_turn")
def test_a_mark_is_looked_at_once_and_one_of_the_moment_again(root: Path) -> None:
    run = write_run(root, "alice/p/a")
    index = opened(root, clock=LaterClock())
    index.look()
    append(run, [start(1), values("train", 0, loss=[9.0]), end(1)], number=1)
    marks.mark_changed(str(run))
    assert [index.look().opened for _ in range(2)] == [1, 0]
    assert index.look().checked == 0
    now = opened(root)
    marks.mark_changed(str(run))
    assert [now.look().checked for _ in range(2)] == [1, 1]


def test_in_turn_all_are_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody says, as a copy over what is there, is noticed after as many looks as there are parts of the root."""
    monkeypatch.setattr(looking, "CHECKED_LEAST", 4)
    monkeypatch.setattr(looking, "_CHECKED_SECONDS", 0.0)
    runs = [write_run(root, f"alice/p/run{number:02}") for number in range(10)]
    index = opened(root, clock=LaterClock())
    index.look()
    for run in runs:
        append(run, [start(1), values("train", 0, loss=[9.0]), end(1)], number=1)
    looks = [opened(root, clock=LaterClock()).look() for _ in range(3)]
    assert [look.checked for look in looks] == [4, 4, 2]
    assert sum(look.opened for look in looks) == 10
    assert index.look(everything=True).opened == 0


def test_everything_is_looked_at_where_that_is_asked_for(root: Path, none_in_turn: None) -> None:
    run = write_run(root, "alice/p/a")
    index = opened(root, clock=LaterClock())
    index.look()
    append(run, [start(1), values("train", 0, loss=[9.0]), end(1)], number=1)
    assert index.look().opened == 0
    assert index.look(everything=True).opened == 1


@pytest.mark.usefixtures("none_in_turn")
def test_an_experiment_within_another_one_is_found(root: Path) -> None:
    with Experiment("alice/p/a", dash_root=str(root), echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    index = opened(root)
    index.look()
    with Experiment("alice/p/a/inner", dash_root=str(root), echo=False).run as exp:
        exp.metrics("train").log(loss=2.0)
    index.look()
    assert shown(index).keys() == {"alice/p/a", "alice/p/a/inner"}
    shutil.rmtree(root / "alice/p/a")
    index.look()
    assert shown(index).keys() == set()


def test_a_process_that_was_killed_has_its_rows_listed(root: Path) -> None:
    """Those that it had logged, and that no frame has yet; and it is known to be dead."""
    killed(root, "alice/p/a")
    index = opened(root)
    index.look()
    (found,) = shown(index).values()
    assert (found.rows, found.stale) == (1, True)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_found_is_what_a_survey_finds(root: Path, seed: int) -> None:
    """After whatever is made, moved, linked and removed."""
    rng = random.Random(seed)
    (root / "start").mkdir(parents=True)
    index = opened(root)
    for step in range(25):
        directories = [path for path in root.rglob("*") if path.is_dir() and ".summaries" not in path.parts]
        place = rng.choice([root, *directories])
        if place.name in ("journal", "files") or place.is_symlink():
            place = root
        target = place / f"x{step}"
        kind = rng.randrange(6)
        if kind <= 1:
            write_run(place, f"x{step}")
        elif kind == 2:
            (target / "y").mkdir(parents=True)
        elif kind == 3 and place != root:
            shutil.rmtree(place)
        elif kind == 4 and place != root:
            place.rename(root / f"moved{step}")
        else:
            target.symlink_to(rng.choice([root, *directories, Path("/nowhere"), Path("/usr")]))
        look = index.look()
        found = survey(str(root))
        with index.reading() as store:
            assert sorted(row.path for row in store.rows("1 = 1")) == [
                each.prefix for each in found.experiments
            ]
        assert (look.refused, look.strange) == (found.refused, found.strange)


def test_a_root_that_is_not_there_and_one_that_goes_away(root: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="there is no directory"):
        opened(root).look()
    assert not root.exists()
    write_run(root, "alice/p/a")
    index = opened(root)
    index.look()
    shutil.rmtree(root)
    with pytest.raises(InvalidArgumentError, match="there is no directory"):
        index.look()


def test_an_experiment_s_own_directory_is_listed_and_nothing_is_put_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = write_run(tmp_path, "alice/p/a")
    names = sorted(os.listdir(run))
    index = opened(run)
    index.look()
    assert shown(index).keys() == {"alice/p/a"}
    assert sorted(os.listdir(run)) == names


def test_names_of_any_characters(root: Path) -> None:
    """Of directories, parameters, metrics and tags: those of undecodable bytes too."""
    name = os.fsdecode(b"\xff\xfe")
    (root / "alice/p").mkdir(parents=True)
    run = write_run(root, f"alice/p/{name}", tags=["Ünï", "50 %"])
    append(run, [said(Kind.PARAMS, set={"a\ud800": 1, "ö": "ü"})], [values("m\udfff", loss=[1.0])], first=3)
    index = opened(root)
    index.look()
    index.look()
    (found,) = shown(index).values()
    assert found.prefix == f"alice/p/{name}"
    assert found.params == {"a\ud800": 1, "ö": "ü"}
    assert found.metrics["m\udfff"]["loss"].last == 1.0
    assert shown(index, 'tag:"50 %" params.ö:ü')


def test_a_journal_that_cannot_be_read_says_why(root: Path) -> None:
    run = write_run(root, "alice/p/a")
    path = segment_of(run)
    raw = bytearray(path.read_bytes())
    path.unlink()
    path.mkfifo() if hasattr(path, "mkfifo") else os.mkfifo(path)
    index = opened(root)
    index.look()
    (found,) = shown(index).values()
    assert found.problem is not None
    assert "cannot be read" in found.problem
    path.unlink()
    path.write_bytes(raw)
    index.look()
    assert shown(index)["alice/p/a"].problem is None


def test_questions_are_answered_while_a_journal_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that takes long holds up nobody who asks for the list."""
    write_run(root, "alice/p/a")
    index = opened(root)
    index.look()
    write_run(root, "alice/p/b")
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: object) -> object:
        begun.set()
        assert go_on.wait(30)
        return digest(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("ml_dash.storage.summaries.reading.digest", slow)
    thread = threading.Thread(target=index.look)
    thread.start()
    try:
        assert begun.wait(30)
        found = shown(index)
        assert found.keys() == {"alice/p/a", "alice/p/b"}
        # what is known of it is what its side file says
        assert (found["alice/p/b"].status, found["alice/p/b"].metrics) == ("COMPLETED", {})
    finally:
        go_on.set()
        thread.join()
    assert last(index, "alice/p/b") == 0.5


def test_a_page_of_a_list_reads_what_it_shows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many experiments the first two: no more records are unpacked, and no other parameters."""
    for number in range(30):
        write_run(root, f"alice/p/run{number}", [float(number)], params={"n": number})
    broken = write_run(root, "alice/p/broken")
    raw = segment_of(broken).read_bytes()
    header = decode_segment_header(raw, "")
    assert header is not None
    segment_of(broken).write_bytes(later_version(raw[: header.length]) + raw[header.length :])
    index = opened(root)
    index.look()
    unpacked: list[bytes] = []
    real = Record.from_bytes.__func__  # type: ignore[attr-defined]

    def counting(cls: type[Record], data: bytes, directory: str) -> Record:
        unpacked.append(data)
        return real(cls, data, directory)  # type: ignore[no-any-return]

    monkeypatch.setattr(Record, "from_bytes", classmethod(counting))
    with index.reading() as store:
        order = bind_order("-train/loss", store.names)
        pairs = selected_records(index, bind(parse("params.n>5"), store.names), order, limit=2)
    assert [listed.params["n"] for _, listed in pairs] == [29, 28]
    assert len(unpacked) == 2 * len(pairs)
    assert [each.prefix for each in unreadable(index)] == ["alice/p/broken"]
    assert len(unpacked) == 2 * len(pairs) + 1
