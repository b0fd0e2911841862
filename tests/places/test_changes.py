"""Experiments deleted, restored, moved, tagged and annotated: the same in a local root and at a server."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport
from ml_dash.client.transport import Answer, Stream
from ml_dash.errors import (
    ChangedMeanwhileError,
    ExperimentExistsError,
    ExperimentMissingError,
    ExperimentRunningError,
    InvalidArgumentError,
    InvalidPrefixError,
    JournalWriteError,
    MLDashError,
    RemoteError,
)
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.objects import from_msgpack
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.places import local_changes
from ml_dash.places.changing import Changes, NewTags
from ml_dash.places.local_changes import LocalChanges
from ml_dash.places.remote_changes import RemoteChanges
from ml_dash.protocol import JSON
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.file_locks import directory_lock
from ml_dash.storage.marks import bucket_of, marked, prepare
from ml_dash.storage.relocating import relocate
from ml_dash.storage.survey import survey
from ml_dash.storage.trash import TRASH, Trash
from ml_dash.tokens import Token
from tests.support.seen import TOKEN, law
from tests.support.simulated_clock import HandClock

DAY = 86_400 * 1_000_000_000
PREFIX = "alice/vision/lr01"


@dataclass(frozen=True)
class Place:
    """A local root or a server, with what changes it."""

    where: str
    changes: Changes
    is_root: bool

    def experiment(self, prefix: str, **arguments: Any) -> Experiment:
        here = {"dash_root": self.where} if self.is_root else {"dash_url": self.where, "dash_root": None}
        return Experiment(prefix, echo=False, **here, **arguments)

    def made(self, prefix: str = PREFIX, rows: int = 3, **arguments: Any) -> str:
        """An experiment with rows, whose run has ended."""
        with self.experiment(prefix, **arguments).run as exp:
            for step in range(rows):
                exp.metrics("train").log(step=step)
            exp.files("ckpt").save_json({"step": rows}, to="last.json")
            exp.flush()
        return exp.prefix

    def steps(self, prefix: str) -> list[int]:
        exp = ml_dash.open(prefix, self.where)
        assert exp.files("ckpt/last.json").exists()
        return [row["data"]["step"] for row in exp.metrics("train").read()["data"]]

    def tags(self, prefix: str) -> list[str]:
        return list(ml_dash.open(prefix, self.where).tags)

    def is_there(self, prefix: str) -> bool:
        try:
            ml_dash.open(prefix, self.where)
        except ExperimentMissingError:
            return False
        return True


def remote_changes(url: str, token: str = TOKEN) -> RemoteChanges:
    return RemoteChanges(Client(AiohttpTransport(url, lambda: Token(token), RUNTIME.look_up)), RUNTIME.ask)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data=tmp_path_factory.mktemp("server"), admin_token=TOKEN).start()
    yield server
    server.stop()


@pytest.fixture(params=["root", "server"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer
) -> Place:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_API_URL", server.url)
    if request.param == "root":
        root = tmp_path / "dash"
        return Place(str(root), LocalChanges(str(root)), is_root=True)
    return Place(server.url, remote_changes(server.url), is_root=False)


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> str:
    """An owner that no other test has: the server is shared."""
    return f"u{abs(hash(request.node.name)):x}"


@pytest.mark.sample(2)
def test_what_was_deleted_comes_back_whole(place: Place, owner: str) -> None:
    prefix = place.made(f"{owner}/p/a", tags=["t"])
    place.made(f"{owner}/p/b")
    gone = place.changes.delete(prefix)
    assert gone.prefix == prefix
    assert gone.purge_ns is not None
    assert gone.deleted_ns is not None
    assert gone.purge_ns - gone.deleted_ns == 30 * DAY
    assert not place.is_there(prefix)
    assert place.is_there(f"{owner}/p/b")
    assert [each.prefix for each in place.changes.trash() if each.prefix.startswith(owner)] == [prefix]
    with pytest.raises(ExperimentMissingError):
        place.changes.delete(prefix)

    assert place.changes.restore(prefix) == prefix
    assert place.steps(prefix) == [0, 1, 2]
    assert place.tags(prefix) == ["t"]
    assert [each for each in place.changes.trash() if each.prefix.startswith(owner)] == []
    with pytest.raises(ExperimentMissingError):
        place.changes.restore(prefix)


def test_of_several_of_a_name_the_last_comes_back_and_another_name_can_be_given(
    place: Place, owner: str
) -> None:
    prefix = f"{owner}/p/a"
    for rows in (1, 2, 3):
        place.made(prefix, rows=rows)
        if rows < 3:
            place.changes.delete(prefix)
    with pytest.raises(ExperimentExistsError, match=prefix):
        place.changes.restore(prefix)
    assert place.changes.restore(prefix, f"{owner}/p/old") == f"{owner}/p/old"
    assert [len(place.steps(each)) for each in (prefix, f"{owner}/p/old")] == [3, 2]
    place.changes.delete(prefix)
    assert len([each for each in place.changes.trash() if each.prefix == prefix]) == 2
    place.changes.restore(prefix)
    assert len(place.steps(prefix)) == 3


@pytest.mark.sample(2)
def test_a_moved_experiment_is_whole_under_its_new_name(place: Place, owner: str) -> None:
    prefix = place.made(f"{owner}/p/a", tags=["t"])
    after = f"{owner}/q/deep/er/b"
    assert place.changes.move(prefix, after) == after
    assert not place.is_there(prefix)
    assert place.steps(after) == [0, 1, 2]
    assert place.tags(after) == ["t"]
    assert place.changes.move(after, after) == after
    # the next run of either name is what it says
    place.made(prefix, rows=1)
    assert (len(place.steps(prefix)), len(place.steps(after))) == (1, 3)


@pytest.mark.sample(3)
@pytest.mark.parametrize("names", [("a", "a/in/b"), ("a/in/b", "a"), ("a", "a/b")], ids="to ".join)
def test_a_name_inside_of_another_is_no_obstacle(place: Place, owner: str, names: tuple[str, str]) -> None:
    """And an experiment that lies in it stays where it is."""
    before, after = (f"{owner}/p/{name}" for name in names)
    place.made(before)
    other = place.made(f"{owner}/p/a/in/x", rows=1)
    place.changes.move(before, after)
    assert (place.steps(after), place.steps(other)) == ([0, 1, 2], [0])
    assert not place.is_there(before)
    place.changes.delete(after)
    assert not place.is_there(after)
    assert place.steps(other) == [0]
    place.changes.restore(after)
    assert (place.steps(after), place.steps(other)) == ([0, 1, 2], [0])


def test_a_name_that_is_taken_or_is_none_changes_nothing(place: Place, owner: str) -> None:
    prefix, taken = place.made(f"{owner}/p/a"), place.made(f"{owner}/p/b", rows=1)
    with pytest.raises(ExperimentExistsError, match="b"):
        place.changes.move(prefix, taken)
    for name in (f"{owner}/p/../c", f"{owner}/p/journal", ""):
        with pytest.raises((InvalidPrefixError, RemoteError)):
            place.changes.move(prefix, name)
    with pytest.raises(ExperimentMissingError):
        place.changes.move(f"{owner}/p/none", f"{owner}/p/c")
    assert (place.steps(prefix), place.steps(taken)) == ([0, 1, 2], [0])


def test_tags_are_added_removed_and_replaced(place: Place, owner: str) -> None:
    prefix = place.made(f"{owner}/p/a", tags=["a", "b"])
    assert place.changes.tag(prefix, NewTags(add=["c", "a"])) == ["a", "b", "c"]
    assert place.changes.tag(prefix, NewTags(remove=["b", "x"])) == ["a", "c"]
    assert place.changes.tag(prefix, NewTags(only=["d"], add=["e"])) == ["d", "e"]
    assert place.tags(prefix) == ["d", "e"]
    for tags in (["x" * 2000], [f"t{at}" for at in range(1001)]):
        with pytest.raises(InvalidArgumentError):
            place.changes.tag(prefix, NewTags(add=tags))
    # what a run says later wins, and what it does not say stays
    place.made(prefix)
    assert place.tags(prefix) == ["d", "e"]
    place.made(prefix, tags=["mine"])
    assert place.tags(prefix) == ["mine"]


def test_a_note_is_read_back_and_taken_away(place: Place, owner: str) -> None:
    prefix = place.made(f"{owner}/p/a", readme="of the run")
    assert place.changes.read_note(prefix) is None
    place.changes.note(prefix, "**diverges**\n\nafter 3 epochs")
    assert place.changes.read_note(prefix) == "**diverges**\n\nafter 3 epochs"
    assert ml_dash.open(prefix, place.where).readme == "of the run"
    with pytest.raises(InvalidArgumentError):
        place.changes.note(prefix, "x" * (1 << 21))
    place.made(prefix)
    assert place.changes.read_note(prefix) == "**diverges**\n\nafter 3 epochs"
    place.changes.note(prefix, "")
    assert place.changes.read_note(prefix) is None


def test_a_readme_is_changed_until_a_run_says_another_one(place: Place, owner: str) -> None:
    prefix = place.made(f"{owner}/p/a", readme="of the run")
    assert place.changes.read_readme(prefix) == "of the run"
    place.changes.readme(prefix, "# Mine")
    assert place.changes.read_readme(prefix) == "# Mine" == ml_dash.open(prefix, place.where).readme
    with pytest.raises(InvalidArgumentError, match="a readme of"):
        place.changes.readme(prefix, "x" * (1 << 21))
    place.made(prefix)
    assert place.changes.read_readme(prefix) == "# Mine", "a run that says none leaves it"
    place.made(prefix, readme="of a later run")
    assert place.changes.read_readme(prefix) == "of a later run"
    place.changes.readme(prefix, "")
    assert place.changes.read_readme(prefix) is None


@pytest.mark.parametrize("what", ["note", "readme"])
def test_of_two_who_change_a_text_the_second_is_told(
    place: Place, owner: str, what: Literal["note", "readme"]
) -> None:
    prefix = place.made(f"{owner}/p/a")
    write, read = getattr(place.changes, what), getattr(place.changes, f"read_{what}")
    write(prefix, "first", "")
    with pytest.raises(ChangedMeanwhileError, match=f"the {what}"):
        write(prefix, "mine", "")
    assert read(prefix) == "first"
    write(prefix, "first", "what was there long before")
    write(prefix, "both", "first")
    write(prefix, "whatever there was")
    assert read(prefix) == "whatever there was"
    exp = ml_dash.open(prefix, place.where)
    say = exp.note if what == "note" else exp.describe
    with pytest.raises(ChangedMeanwhileError, match=f"the {what}"):
        say("mine", before="both")
    assert say("mine", before="whatever there was") == "mine" == read(prefix)
    with pytest.raises(InvalidArgumentError, match="goes with a text"):
        say(before="mine")


def test_a_run_that_goes_on_is_only_deleted_by_force_and_loses_nothing(place: Place, owner: str) -> None:
    exp = place.experiment(f"{owner}/p/a").run.start()
    exp.files("ckpt").save_json({}, to="last.json")
    exp.metrics("train").log(step=0)
    exp.flush()
    with pytest.raises(ExperimentRunningError, match="goes on"):
        place.changes.delete(exp.prefix)
    assert place.steps(exp.prefix) == [0]
    place.changes.tag(exp.prefix, NewTags(add=["odd"]))
    assert place.tags(exp.prefix) == ["odd"]

    place.changes.delete(exp.prefix, force=True)
    exp.metrics("train").log(step=1)
    exp.flush(timeout=0.5)
    law(exp)
    place.changes.restore(exp.prefix)
    exp.run.complete()
    law(exp)
    if not place.is_root:  # what it could not send lies in the outbox; the next run of the directory sends it
        with place.experiment(exp.prefix).run as again:
            again.flush()
    assert place.steps(exp.prefix) == [0, 1]


@pytest.mark.sample(2)
def test_a_script_does_the_same_with_what_it_has_opened(place: Place, owner: str) -> None:
    exp = ml_dash.open(place.made(f"{owner}/p/a", tags=["a"]), place.where)
    assert exp.tag("b", "c", remove=["a"]) == ["b", "c"]
    assert exp.tag(only=["d"]) == ["d"] == exp.tags
    assert exp.note() is None
    assert exp.note("hm") == "hm" == exp.note()
    assert exp.describe() is None
    assert exp.describe("# It") == "# It" == exp.describe()
    moved = exp.move(f"{owner}/p/b")
    assert (moved.prefix, exp.exists(), moved.tags, moved.note()) == (f"{owner}/p/b", False, ["d"], "hm")
    moved.delete()
    assert not moved.exists()
    back = moved.restore()
    assert back.prefix == moved.prefix
    assert place.steps(back.prefix) == [0, 1, 2]
    back.delete()
    assert back.restore(to=f"{owner}/p/c").prefix == f"{owner}/p/c"
    with pytest.raises(ExperimentMissingError):
        exp.delete()
    calls: list[Callable[[Any], object]] = [exp.move, exp.tag, exp.note, exp.describe, exp.restore]
    for call in calls:
        with pytest.raises(InvalidArgumentError):
            call(1)


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_token_that_may_only_read_changes_nothing(server: EmbeddedServer, place: Place, owner: str) -> None:
    prefix = place.made(f"{owner}/p/a", tags=["t"])
    made = RUNTIME.ask(
        Client(AiohttpTransport(server.url, lambda: Token(TOKEN), RUNTIME.look_up)).post(
            "/api/v1/tokens", {"name": "t", "grants": [{"owner": owner, "scope": "read"}]}
        )
    )
    reader = remote_changes(server.url, made["token"])
    attempts: list[Callable[[], object]] = [
        lambda: reader.delete(prefix),
        lambda: reader.move(prefix, f"{owner}/p/b"),
        lambda: reader.tag(prefix, NewTags(add=["x"])),
        lambda: reader.note(prefix, "x"),
        lambda: reader.readme(prefix, "x"),
    ]
    for attempt in attempts:
        with pytest.raises(RemoteError, match="'write'"):
            attempt()
    assert place.steps(prefix) == [0, 1, 2]
    assert place.tags(prefix) == ["t"]
    place.changes.delete(prefix)
    with pytest.raises(RemoteError, match="'write'"):
        reader.restore(prefix)


class OldServer:
    """A line to a server of before there was a trash."""

    url = "https://old.example"
    is_loopback = False

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **_: Any
    ) -> Answer:
        def error(status: int, code: str) -> Answer:
            return answer(status, {"error": {"code": code, "message": "no"}})

        def answer(status: int, body: Any) -> Answer:
            return Answer(status, {"content-type": JSON}, json.dumps(body).encode())

        if method == "GET" and path == "/api/v1/experiments":
            return answer(
                200, {"data": [self._record], "total": 1, "hasMore": False, "cursor": None, "asOf": ""}
            )
        if method == "DELETE":
            return error(400, "invalid") if query else answer(200, self._record)
        return error(405, "invalid") if path.endswith("note") else error(404, "no_route")

    def stream(self, path: str, **_: Any) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError


def test_a_server_of_an_older_version_is_told_of_and_still_deletes() -> None:
    record = {"id": "exp_1", "prefix": PREFIX, "status": "RUNNING", "stale": True}
    changes = RemoteChanges(Client(OldServer(record)), asyncio.run)
    gone = changes.delete(PREFIX)
    assert (gone.prefix, gone.purge_ns) == (PREFIX, None)
    attempts: list[Callable[[], object]] = [
        lambda: changes.move(PREFIX, "alice/p/b"),
        lambda: changes.tag(PREFIX, NewTags(add=["x"])),
        lambda: changes.note(PREFIX, "x"),
        changes.trash,
    ]
    for attempt in attempts:
        with pytest.raises(RemoteError, match="version of ML-Dash"):
            attempt()
    record["stale"] = False
    with pytest.raises(ExperimentRunningError):
        changes.delete(PREFIX)


class PlainNotes(OldServer):
    """A line to a server that has notes, and knows no `before`."""

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, **more: Any
    ) -> Answer:
        if path.endswith("/exp_1") and method == "GET":
            return Answer(200, {"content-type": JSON}, json.dumps(self._record).encode())
        if not path.endswith("/note"):
            return await super().request(method, path, query=query, **more)
        given = from_msgpack(body)
        if "before" in given:
            error = {
                "code": "invalid",
                "message": "before='…': there is no such field: send one object of note",
            }
            return Answer(400, {"content-type": JSON}, json.dumps({"error": error}).encode())
        self._record |= given
        return Answer(200, {"content-type": JSON}, json.dumps(self._record).encode())


def test_at_a_server_that_knows_no_before_a_note_is_looked_at_first() -> None:
    record: dict[str, Any] = {"id": "exp_1", "prefix": PREFIX, "note": "theirs"}
    changes = RemoteChanges(Client(PlainNotes(record)), asyncio.run)
    with pytest.raises(ChangedMeanwhileError, match="the note"):
        changes.note(PREFIX, "mine", "")
    assert record["note"] == "theirs"
    changes.note(PREFIX, "both", "theirs")
    assert record["note"] == "both"


# --- a local root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dash"


def made(root: Path, prefix: str = PREFIX) -> Path:
    """The directory of an experiment with a row."""
    with Experiment(prefix, dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(step=0)
    return root / prefix


def prefixes(root: Path) -> list[str]:
    return [each.prefix for each in survey(str(root)).experiments]


def test_a_run_that_goes_on_is_not_moved_in_a_root(root: Path) -> None:
    """Its process would write on to a directory that is not there."""
    exp = Experiment(PREFIX, dash_root=root, echo=False).run.start()
    changes = LocalChanges(str(root))
    with pytest.raises(ExperimentRunningError, match="wait for its end"):
        changes.move(PREFIX, "alice/p/b")
    exp.metrics("train").log(step=0)
    exp.run.complete()
    assert changes.move(PREFIX, "alice/p/b") == "alice/p/b"
    assert prefixes(root) == ["alice/p/b"]
    assert not (root / "alice" / "vision").exists(), "no empty directories are left"
    assert json.loads((root / "alice/p/b/experiment.json").read_text())["prefix"] == "alice/p/b"


@pytest.mark.parametrize("other", ["move", "delete", "tag"])
@pytest.mark.parametrize("verb", ["tag", "note"])
def test_two_who_change_one_at_once_wait_for_one_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, verb: str, other: str
) -> None:
    """What is said of an experiment that is gone would make a directory anew where it was, and be lost with it."""
    made(root)
    changes = LocalChanges(str(root))
    others: dict[str, Callable[[], object]] = {
        "move": lambda: changes.move(PREFIX, "alice/p/b"),
        "delete": lambda: changes.delete(PREFIX),
        "tag": lambda: changes.tag(PREFIX, NewTags(add=("theirs",))),
    }
    second = threading.Thread(target=others[other])

    def meanwhile(journal: str) -> int:
        if second.ident is None:
            second.start()
            second.join(0.1)  # as far as it comes: to its end, where nothing holds it up
        return latest_ns(journal)

    monkeypatch.setattr(local_changes, "latest_ns", meanwhile)
    if verb == "tag":
        changes.tag(PREFIX, NewTags(add=("ours",)))
    else:
        changes.note(PREFIX, "ours")
    second.join()
    if other == "delete":
        assert prefixes(root) == []
        changes.restore(PREFIX)
    prefix = "alice/p/b" if other == "move" else PREFIX
    assert prefixes(root) == [prefix]
    exp = ml_dash.open(prefix, root)
    assert exp.note() == ("ours" if verb == "note" else None)
    assert exp.tags == [*(["ours"] if verb == "tag" else []), *(["theirs"] if other == "tag" else [])]
    assert exp.metrics("train").stats()["count"] == 1


@pytest.mark.parametrize("verb", ["tag", "note", "move", "delete"])
def test_who_comes_too_late_is_told_that_it_is_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Another one has moved it between the look and the lock."""
    directory = made(root)
    changes = LocalChanges(str(root))
    verbs: dict[str, Callable[[], object]] = {
        "tag": lambda: changes.tag(PREFIX, NewTags(add=("ours",))),
        "note": lambda: changes.note(PREFIX, "ours"),
        "move": lambda: changes.move(PREFIX, "alice/p/b"),
        "delete": lambda: changes.delete(PREFIX),
    }

    def moved_first(path: str) -> AbstractContextManager[bool]:
        if path == str(directory):  # and not the root, which is held before
            directory.rename(root / "alice" / "elsewhere")
        return directory_lock(path)

    monkeypatch.setattr(local_changes, "directory_lock", moved_first)
    with pytest.raises(ExperimentMissingError, match="there is no experiment"):
        verbs[verb]()
    assert prefixes(root) == ["alice/elsewhere"]
    assert not directory.exists()


@pytest.mark.parametrize("other", ["restore", "move", "empty"])
def test_two_who_change_names_at_once_wait_for_one_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Else both would find a name free, or take one entry out of the trash."""
    changes = LocalChanges(str(root))
    made(root)
    changes.delete(PREFIX)
    made(root, "alice/p/other")
    others: dict[str, Callable[[], object]] = {
        "restore": lambda: changes.restore(PREFIX, "alice/p/b"),
        "move": lambda: changes.move("alice/p/other", PREFIX),
        "empty": changes.empty_trash,
    }
    told: list[object] = []

    def work() -> None:
        try:
            told.append(others[other]())
        except MLDashError as error:
            told.append(type(error))

    second = threading.Thread(target=work)

    def meanwhile(source: str, target: str) -> None:
        if second.ident is None:
            second.start()
            second.join(0.1)  # as far as it comes: to its end, where nothing holds it up
        relocate(source, target)

    monkeypatch.setattr("ml_dash.storage.trash.relocate", meanwhile)
    assert changes.restore(PREFIX) == PREFIX
    second.join()
    expected = {"restore": ExperimentMissingError, "move": ExperimentExistsError, "empty": []}
    assert told == [expected[other]]
    assert prefixes(root) == ["alice/p/other", PREFIX]
    assert ml_dash.open(PREFIX, root).metrics("train").stats()["count"] == 1


def test_what_is_said_of_an_experiment_is_marked_for_lists(root: Path) -> None:
    """Else a list of a large root would hear of it when its turn comes."""
    made(root)
    prepare(str(root))
    changes = LocalChanges(str(root))
    seen = marked(str(root))
    for change in (lambda: changes.tag(PREFIX, NewTags(add=["x"])), lambda: changes.note(PREFIX, "x")):
        change()
        now = marked(str(root))
        assert now[bucket_of(PREFIX)] != seen.get(bucket_of(PREFIX))
        seen = now


def test_what_a_deleted_run_has_opened_anew_is_put_together_with_it(root: Path) -> None:
    """It was deleted by force, and its next segment lies where it was."""
    directory = made(root)
    changes = LocalChanges(str(root))
    changes.delete(PREFIX)
    (entry,) = Trash(str(root)).entries
    (segment,) = (Path(entry.directory) / "journal").iterdir()
    later = directory / "journal" / segment.name.replace("-000001", "-000002").replace("-1.", "-2.")
    assert later.name != segment.name
    later.parent.mkdir(parents=True)
    later.write_bytes(b"")
    assert changes.restore(PREFIX) == PREFIX
    assert sorted(path.name for path in (directory / "journal").iterdir()) == sorted(
        [segment.name, later.name]
    )
    assert changes.trash() == []
    assert not (root / TRASH).exists()


def test_what_has_lain_in_the_trash_for_its_time_is_removed_with_the_next_deletion(root: Path) -> None:
    clock = HandClock(1_700_000_000_000_000_000)
    trash = Trash(str(root), clock)
    outside = root.parent / "elsewhere"
    os.renames(made(root, "alice/p/linked"), outside)
    os.makedirs(root / "alice/p", exist_ok=True)
    (root / "alice/p/linked").symlink_to(outside)
    trash.put("alice/p/linked", str(root / "alice/p/linked"))
    clock.now_ns += 29 * DAY
    trash.put("alice/p/a", str(made(root, "alice/p/a")))
    assert trash.empty() == []
    clock.now_ns += 2 * DAY
    assert [each.prefix for each in trash.empty()] == ["alice/p/linked"]
    assert (outside / "journal").is_dir(), "what a link leads to is not ours to remove"
    assert [each.prefix for each in trash.entries] == ["alice/p/a"]
    assert [each.prefix for each in LocalChanges(str(root)).empty_trash()] == ["alice/p/a"]
    assert not (root / TRASH).exists()


@pytest.mark.parametrize("verb", ["delete", "move", "restore"])
def test_who_is_killed_half_way_can_do_it_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Where entries are moved one by one, because another experiment lies in the directory."""
    directory = made(root)
    (directory / "files").mkdir(exist_ok=True)
    (directory / "files" / "blob").write_text("x")
    other = made(root, f"{PREFIX}/inner")
    changes = LocalChanges(str(root))
    whole = {
        path.relative_to(directory) for path in directory.rglob("*") if other not in (path, *path.parents)
    }
    if verb == "restore":
        changes.delete(PREFIX)
    do: dict[str, Callable[[], object]] = {
        "delete": lambda: changes.delete(PREFIX),
        "move": lambda: changes.move(PREFIX, "alice/p/b"),
        "restore": lambda: changes.restore(PREFIX),
    }
    moves = 0
    rename = os.rename

    def killed(source: str, target: str) -> None:
        nonlocal moves
        moves += 1
        if moves == 2:
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            do[verb]()
    if verb == "delete":
        assert prefixes(root) == [f"{PREFIX}/inner"]
        changes.restore(PREFIX)
        there = directory
    else:
        do[verb]()
        there = root / "alice/p/b" if verb == "move" else directory
    found = {path.relative_to(there) for path in there.rglob("*") if other not in (path, *path.parents)}
    assert found == whole
    assert (other / "journal").is_dir()


@pytest.mark.parametrize("verb", ["delete", "move", "restore", "tag", "note"])
def test_a_root_that_may_only_be_read_is_told_of_and_stays_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Or one of another user's: the superuser, who runs tests too, is refused as everybody is."""
    made(root)
    changes = LocalChanges(str(root))
    if verb == "restore":
        changes.delete(PREFIX)
    before = sorted(root.rglob("*"))

    reading = os.open

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    def opened(path: str, flags: int, *more: int, **others: Any) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            refused()
        return reading(path, flags, *more, **others)

    monkeypatch.setattr(os, "open", opened)
    for name in ("rename", "mkdir"):
        monkeypatch.setattr(os, name, refused)
    do: dict[str, Callable[[], object]] = {
        "delete": lambda: changes.delete(PREFIX),
        "move": lambda: changes.move(PREFIX, "alice/p/b"),
        "restore": lambda: changes.restore(PREFIX),
        "tag": lambda: changes.tag(PREFIX, NewTags(add=["x"])),
        "note": lambda: changes.note(PREFIX, "x"),
    }
    with pytest.raises(JournalWriteError, match="may only be read"):
        do[verb]()
    monkeypatch.undo()
    assert sorted(root.rglob("*")) == before
