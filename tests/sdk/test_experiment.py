"""What an experiment is called, where it lies, what it is made of, and what `flush` and `status` say."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ml_dash import (
    Experiment,
    ExperimentStatus,
    FlushResult,
    InvalidArgumentError,
    InvalidPrefixError,
    ReadOnlyError,
    ml_dash_experiment,
)
from tests.support.scripts import python, start_python
from tests.support.unreadable import no_descriptors


def test_a_prefix_of_two_segments_repeats_the_project_as_the_name(root: str) -> None:
    """`a/b` is `a/b/b`."""
    exp = Experiment("a/b", dash_root=root)

    assert (exp.prefix, exp.owner, exp.project, exp.folder, exp.name) == ("a/b/b", "a", "b", "", "b")


def test_a_prefix_of_one_segment_belongs_to_the_user(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`a` is owned by the user, in the project `scratch`."""
    monkeypatch.setenv("ML_DASH_USER", "zoe")

    assert Experiment("a", dash_root=root).prefix == "zoe/scratch/a"


def test_no_prefix_makes_up_a_name_of_the_time_and_the_script(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is `<user>/scratch/<UTC time>-<script stem>`."""
    monkeypatch.setenv("ML_DASH_USER", "zoe")
    monkeypatch.setattr("sys.argv", ["/home/zoe/train.py"])

    exp = Experiment(dash_root=root)

    assert (exp.owner, exp.project, exp.folder) == ("zoe", "scratch", "")
    found = re.fullmatch(r"(\d{8}-\d{6}-\d{6})-train", exp.name)
    assert found
    moment = datetime.strptime(found[1], "%Y%m%d-%H%M%S-%f").replace(tzinfo=timezone.utc)
    assert abs((datetime.now(timezone.utc) - moment).total_seconds()) < 3600


def test_the_environment_may_give_the_prefix(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ML_DASH_PREFIX stands in where no prefix is given, and only there."""
    monkeypatch.setenv("ML_DASH_PREFIX", "bob/vision/run-7")

    assert Experiment(dash_root=root).prefix == "bob/vision/run-7"
    assert Experiment("alice/proj/exp", dash_root=root).prefix == "alice/proj/exp"


def test_slashes_at_the_ends_of_a_prefix_are_ignored(root: str) -> None:
    """`/a/b/c/` is `a/b/c`."""
    assert Experiment("/a/b/c/", dash_root=root).prefix == "a/b/c"


@pytest.mark.parametrize(
    ("prefix", "segment"),
    [
        ("", ""),
        ("/", ""),
        ("a//b", ""),
        ("a/./b", "."),
        ("a/../b", ".."),
        ("a/b/tab\tbed", "tab\\tbed"),
        ("a/b/nul\0", "nul\\x00"),
        ("a/b\\c/d", "b\\\\c"),
        ("a/.hidden/b", ".hidden"),
        ("a/b/" + "é" * 128, "é"),
        ("/".join(["segment"] * 150), "segment"),
        ("a/b/journal", "journal"),
        ("a/b/files/c", "files"),
        ("a/b/c/experiment.json", "experiment.json"),
        ("a/b/parameters.json", "parameters.json"),
    ],
)
def test_a_prefix_that_can_name_nothing_raises_a_value_error_that_shows_the_segment(
    prefix: str, segment: str, root: str
) -> None:
    """Bad prefixes are told in the line that has them, and nothing is made on disk."""
    with pytest.raises(InvalidPrefixError) as caught:
        Experiment(prefix, dash_root=root)

    assert isinstance(caught.value, ValueError)
    assert segment in str(caught.value)
    assert not os.path.exists(root)


def test_the_longest_segment_allowed_can_be_started(root: str) -> None:
    """255 bytes a segment are a directory's name on every file system in use."""
    with Experiment("a/b/" + "n" * 255, dash_root=root, echo=False).run as exp:
        exp.log("x")

    assert exp.logs.read()["total"] == 1


def test_folder_is_empty_where_there_is_none(root: str) -> None:
    """`folder` is the path between project and name."""
    assert Experiment("a/b/c", dash_root=root).folder == ""
    assert Experiment("a/b/c/d/e", dash_root=root).folder == "c/d"


def test_the_parts_of_the_name_cannot_be_changed(exp: Experiment) -> None:
    """An experiment's identity is fixed when it is made."""
    for name in ("prefix", "owner", "project", "folder", "name", "id", "data"):
        with pytest.raises(AttributeError):
            setattr(exp, name, "other")


def test_nowhere_to_write_is_a_value_error() -> None:
    """`dash_url=None, dash_root=None`."""
    with pytest.raises(InvalidArgumentError, match=r"nowhere to write.*dash_root=") as caught:
        Experiment("a/b/c", dash_url=None, dash_root=None)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("url", ["", "  ", "dash.example.com", "https://alice:secret@dash.example.com"])
@pytest.mark.parametrize("dash_root", [".dash", None])
def test_what_is_no_url_is_refused_at_once(url: str, dash_root: Any) -> None:
    """`dash_url` must not be taken and then ignored: nothing would ever arrive there."""
    with pytest.raises(InvalidArgumentError, match=r"https://|dash_url=") as caught:
        Experiment("a/b/c", dash_url=url, dash_root=dash_root)
    assert isinstance(caught.value, ValueError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [None, False])
def test_without_a_url_everything_stays_here(url: Any) -> None:
    """`dash_url=False` is the same as leaving it out."""
    assert Experiment("a/b/c", dash_url=url).url is None


@pytest.mark.parametrize("given", ["str", "path"])
def test_the_root_may_be_a_string_or_a_path(given: str, tmp_path: Path) -> None:
    """`dash_root` takes what `os.fspath` takes."""
    with Experiment("a/b/c", dash_root=str(tmp_path) if given == "str" else tmp_path, echo=False).run as exp:
        exp.log("x")

    assert (tmp_path / "a" / "b" / "c" / "journal").is_dir()


@pytest.mark.parametrize("dash_root", ["", 5, b"", True])
def test_a_root_that_is_no_path_is_refused(dash_root: Any) -> None:
    """A wrong type raises where it is given, with the value."""
    with pytest.raises(InvalidArgumentError, match=f"dash_root={dash_root!r}"):
        Experiment("a/b/c", dash_root=dash_root)


def test_a_relative_root_means_the_directory_of_the_time_when_the_experiment_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that changes its directory does not scatter its journal."""
    monkeypatch.chdir(tmp_path)
    exp = Experiment("a/b/c", dash_root="dash", echo=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    with exp.run:
        exp.log("x")

    assert (tmp_path / "dash" / "a" / "b" / "c").is_dir()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_tags_and_bindrs_are_empty_lists_when_not_given(root: str) -> None:
    """And readme is None, metadata an empty dict, id and data None."""
    exp = Experiment("a/b/c", dash_root=root)

    assert (exp.tags, exp.bindrs, exp.metadata) == ([], [], {})
    assert (exp.readme, exp.id, exp.data) == (None, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        {"readme": 5},
        {"tags": "tag"},
        {"tags": [1]},
        {"tags": 5},
        {"bindrs": "v1"},
        {"bindrs": [None]},
        {"metadata": [1]},
        {"metadata": "x"},
    ],
)
def test_descriptions_of_the_wrong_kind_are_refused(arguments: dict[str, Any], root: str) -> None:
    """The message names the argument and shows its value."""
    ((name, value),) = arguments.items()
    with pytest.raises(InvalidArgumentError, match=re.escape(f"{name}={value!r}")):
        Experiment("a/b/c", dash_root=root, **arguments)


def test_changing_what_was_given_or_what_was_got_changes_nothing(root: str) -> None:
    """Lists and dicts are copied on their way in; on their way out they cannot be changed."""
    tags, metadata = ["a"], {"gpu": "H100"}
    exp = Experiment("a/b/c", dash_root=root, tags=tags, metadata=metadata)

    tags.append("b")
    with pytest.raises(ReadOnlyError, match=r"write exp.tags = \[\*exp.tags, 'new'\]"):
        exp.tags.append("c")
    metadata["gpu"] = "none"
    with pytest.raises(ReadOnlyError, match=r"write exp.metadata = {\*\*exp.metadata, 'key': value}"):
        exp.metadata["more"] = 1

    assert exp.tags == ["a"]
    assert exp.metadata == {"gpu": "H100"}


def test_a_description_survives_the_process_that_gave_it(root: str) -> None:
    """Who opens an experiment later sees its readme, tags, bindrs and metadata."""
    given = {
        "readme": "Zoë's",
        "tags": ["x"],
        "bindrs": ["y"],
        "metadata": {"seed": 1, "z": {"k": [1.5, None]}},
    }
    with Experiment("a/b/c", dash_root=root, **given).run:  # type: ignore[arg-type]
        pass

    found = Experiment("a/b/c", dash_root=root)

    assert {name: getattr(found, name) for name in given} == given


def test_a_later_start_without_a_description_keeps_the_one_that_is_stored(root: str) -> None:
    """Resuming an experiment by its prefix alone does not wipe out what is known of it."""
    with Experiment("a/b/c", dash_root=root, readme="first", tags=["x"]).run:
        pass
    with Experiment("a/b/c", dash_root=root, tags=["y"]).run:
        pass

    found = Experiment("a/b/c", dash_root=root)

    assert (found.readme, found.tags) == ("first", ["y"])


def test_what_is_of_another_type_in_the_side_file_is_not_said(root: str) -> None:
    """People may edit it: nothing of ours raises because of that, and the journal has what was said."""
    given = {"readme": "why", "tags": ["x"], "bindrs": ["y"], "metadata": {"k": 1}}
    with Experiment("a/b/c", dash_root=root, **given).run as exp:  # type: ignore[arg-type]
        pass
    side = Path(exp.directory, "experiment.json")
    side.write_text(
        json.dumps(json.loads(side.read_text()) | {"readme": 5, "tags": "x", "bindrs": [1], "metadata": [2]})
    )

    found = Experiment("a/b/c", dash_root=root)
    assert {name: getattr(found, name) for name in given} == given
    with found.run:
        pass

    record = json.loads(side.read_text())
    assert {name: record[name] for name in given} == given


@pytest.mark.parametrize("left", [None, b"{", b"[]"], ids=["removed", "torn", "another file"])
def test_a_description_survives_its_side_file(root: str, left: bytes | None) -> None:
    """The journal holds the same: a run after that forgets nothing, either."""
    with Experiment("a/b/c", dash_root=root, readme="why", tags=["x"]).run as exp:
        pass
    side = Path(exp.directory, "experiment.json")
    side.unlink() if left is None else side.write_bytes(left)

    found = Experiment("a/b/c", dash_root=root)
    assert (found.readme, found.tags) == ("why", ["x"])
    with found.run:
        pass

    record = json.loads(side.read_text())
    assert (record["readme"], record["tags"]) == ("why", ["x"])


def test_the_readable_snapshots_say_what_the_journal_says(root: str) -> None:
    """`experiment.json` and `parameters.json` lie beside the journal."""
    with Experiment("a/b/f/c", dash_root=root, readme="why", tags=["x"], echo=False).run as exp:
        exp.params.set(lr=0.1, model={"layers": 2})

    record = json.loads(Path(exp.directory, "experiment.json").read_text())
    expected = {
        "prefix": "a/b/f/c",
        "owner": "a",
        "project": "b",
        "folder": "f",
        "name": "c",
        "readme": "why",
        "tags": ["x"],
        "status": "COMPLETED",
    }
    assert {name: record[name] for name in expected} == expected
    assert record["startedAt"] <= record["endedAt"]
    assert json.loads(Path(exp.directory, "parameters.json").read_text()) == {"lr": 0.1, "model.layers": 2}


def test_what_is_stored_is_not_forgotten_for_want_of_descriptors(root: str) -> None:
    """The side file is not written anew without what could not be read of the one before."""
    with Experiment("a/b/c", dash_root=root, tags=["keep"], readme="why").run:
        pass
    session = Experiment("a/b/c", dash_root=root)._session
    about, journal = session.about, session.written.run()
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        about.known(journal)
    known = about.known(journal)
    assert (known["tags"], known["readme"]) == (["keep"], "why")


@pytest.mark.parametrize("name", ["readme", "tags", "bindrs", "metadata"])
def test_what_is_stored_is_not_called_empty_for_want_of_descriptors(root: str, name: str) -> None:
    """As every other question to an experiment, this one raises what the system says."""
    given = {"readme": "why", "tags": ["x"], "bindrs": ["y"], "metadata": {"k": 1}}
    with Experiment("a/b/c", dash_root=root, **given).run:  # type: ignore[arg-type]
        pass
    found = Experiment("a/b/c", dash_root=root)

    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        getattr(found, name)
    assert getattr(found, name) == given[name]


def test_metadata_that_cannot_be_stored_does_not_keep_a_run_from_starting(root: str) -> None:
    """What msgpack cannot carry is stored as its repr, in the description too."""
    loop: dict[str, Any] = {}
    loop["loop"] = [loop, loop]
    metadata = {"object": object, "bytes": b"\xff", "loop": loop, (1, 2): {3: 4}, "tuple": (1, 2)}
    with Experiment("a/b/c", dash_root=root, metadata=metadata, echo=False).run as exp:  # type: ignore[arg-type]
        exp.log("x")

    stored = Experiment("a/b/c", dash_root=root).metadata
    assert stored["object"] == {"__repr__": "<class 'object'>", "__type__": "builtins.type"}
    assert stored["tuple"] == [1, 2]
    assert exp.logs.read()["total"] == 1


def test_description_is_a_synonym_of_readme_with_one_warning(root: str) -> None:
    """The warning points to the caller's line."""
    with pytest.warns(FutureWarning, match="use readme=") as caught:
        exp = Experiment("a/b/c", dash_root=root, description="why")

    assert exp.readme == "why"
    assert [warning.filename for warning in caught] == [__file__]


def test_readme_wins_over_description(root: str) -> None:
    """Both given: the name of the reference counts."""
    with pytest.warns(FutureWarning):
        exp = Experiment("a/b/c", dash_root=root, description="old", readme="new")

    assert exp.readme == "new"


def test_an_experiment_says_what_it_is(exp: Experiment, root: str) -> None:
    """Its repr has the prefix and the status."""
    assert repr(exp) == "Experiment('alice/proj/exp', RUNNING)"
    assert repr(Experiment("a/b", dash_root=root)) == "Experiment('a/b/b', not started)"


# --- flush and status


def test_flush_says_how_many_events_are_durable(exp: Experiment) -> None:
    """In local mode what is durable is acknowledged, and no server is online."""
    for step in range(10):
        exp.metrics("train").log(step=step)
    exp.log("x")
    exp.params.set(a=1)
    exp.tracks("pose").append(x=1)

    assert exp.flush() == FlushResult(
        durable=13, acknowledged=13, pending=0, dropped=0, online=False, reason=None
    )


def test_flush_takes_a_timeout(exp: Experiment) -> None:
    """`flush(timeout)` tells the truth about what it could do in that time."""
    exp.log("x")
    result = exp.flush(timeout=30)

    assert (result.durable, result.pending, result.reason) == (1, 0, None)

    exp.log("y")
    result = exp.flush(timeout=0)
    assert result.durable + result.pending == 2
    assert (result.reason is None) == (result.pending == 0)


def test_flush_before_the_start_has_nothing_to_say(root: str) -> None:
    """It does not start anything, and does not raise."""
    exp = Experiment("a/b/c", dash_root=root)

    assert exp.flush() == FlushResult(0, 0, 0, 0, online=False, reason=None)
    assert not os.path.exists(root)


async def test_flush_in_async_code(exp: Experiment) -> None:
    """`await exp.aflush()` does the same."""
    exp.log("x")

    assert await exp.aflush() == FlushResult(1, 1, 0, 0, online=False, reason=None)
    assert await exp.aflush(timeout=30) == await exp.aflush(30)


def test_the_status_accounts_for_every_call(exp: Experiment) -> None:
    """The law: logged = acknowledged + pending + dropped, and `logged` is the number of calls, at any time."""
    for step in range(1000):
        exp.metrics("train").log(step=step)
        status = exp.status()
        assert status.logged == step + 1
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())
    exp.flush()

    assert exp.status() == ExperimentStatus(
        status="RUNNING",
        logged=1000,
        durable=1000,
        acknowledged=1000,
        pending=0,
        dropped={},
        pending_bytes=0,
        pending_frames=0,
        pending_files=0,
        online=False,
        offline_since=None,
        last_error=None,
        queue="shared memory",
        recovered=0,
    )


def test_the_status_before_the_start_is_empty(root: str) -> None:
    """Nothing was logged; there is no status yet."""
    status = Experiment("a/b/c", dash_root=root).status()

    assert (status.status, status.logged, status.pending, status.dropped) == (None, 0, 0, {})


def test_results_are_read_only(exp: Experiment) -> None:
    """FlushResult and ExperimentStatus are frozen."""
    for result in (exp.flush(), exp.status()):
        with pytest.raises(AttributeError):
            result.pending = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "about",
    [
        {"readme": "caf\udce9 \0"},
        {"tags": ["\ud800", "\udce9"]},
        {"bindrs": ["\udce9"]},
        {"metadata": {"\udce9": ["\udce9", {"a": "\ud800"}]}},
    ],
    ids=lambda about: next(iter(about)),
)
def test_what_is_said_of_an_experiment_may_be_any_text(about: dict[str, Any], root: str) -> None:
    """Stored, and read back as it was: by this object, by another one, and by readers of the journal."""
    with Experiment("a/b/c", dash_root=root, **about, echo=False).run as exp:
        exp.metrics("train").log(step=0)

    ((name, value),) = about.items()
    later = Experiment("a/b/c", dash_root=root)
    assert getattr(exp, name) == getattr(later, name) == value
    assert later.view.run().status == "COMPLETED"
    assert (later.view.run().experiment or {})[name] == value


# --- the decorator factory


def test_a_function_can_be_decorated_with_an_experiment_of_its_own(root: str) -> None:
    """`ml_dash_experiment(prefix=…)`."""

    @ml_dash_experiment(prefix="a/b/c", dash_root=root, echo=False)
    def train(experiment: Experiment, lr: float, *, steps: int = 3) -> float:
        """Train."""
        experiment.params.set(lr=lr, steps=steps)
        return lr * steps

    assert train(0.5, steps=4) == 2.0
    assert (train.__name__, train.__doc__) == ("train", "Train.")
    found = Experiment("a/b/c", dash_root=root)
    assert found.params.get() == {"lr": 0.5, "steps": 4}
    assert found.view.run().status == "COMPLETED"


async def test_an_async_function_can_be_decorated_too(root: str) -> None:
    """The result is awaited, then the run is completed."""

    @ml_dash_experiment(prefix="a/b/c", dash_root=root, echo=False)
    async def train(experiment: Experiment) -> str | None:
        return experiment.run.status

    assert await train() == "RUNNING"
    assert Experiment("a/b/c", dash_root=root).view.run().status == "COMPLETED"


# --- several at once


def test_two_experiments_of_one_prefix_in_one_process_share_the_journal(root: str) -> None:
    """Both log, no row is lost or doubled, and each reads what the other logged."""
    one = Experiment("a/b/c", dash_root=root, echo=False)
    two = Experiment("a/b/c", dash_root=root, echo=False)
    with one.run, two.run:
        for step in range(100):
            one.metrics("train").log(step=2 * step)
            two.metrics("train").log(step=2 * step + 1)
        two.params.set(who="two")
        assert one.params.get() == {"who": "two"}
        assert [row["data"]["step"] for row in one.metrics("train").read(limit=1000)["data"]] == list(
            range(200)
        )
    status = one.status()
    assert status.acknowledged == status.logged == 201
    assert Experiment("a/b/c", dash_root=root).metrics("train").read()["total"] == 200


@pytest.mark.slow
def test_an_experiment_stays_open_when_its_twin_ends(root: str) -> None:
    """Each handle is opened and closed by itself."""
    one = Experiment("a/b/c", dash_root=root, echo=False)
    two = Experiment("a/b/c", dash_root=root, echo=False)
    one.run.start()
    two.run.start()

    one.run.complete()
    two.log("still here")
    assert one.view.run().status == "RUNNING"
    two.run.fail()

    assert [row["message"] for row in one.logs.read()["data"]] == ["still here"]
    assert one.view.run().status == "FAILED"


@pytest.mark.slow
def test_two_processes_can_log_to_one_experiment(root: str, tmp_path: Path) -> None:
    """Each has a writer of its own: nothing is lost, and each one's order is kept."""
    script = """
        import os
        from ml_dash import Experiment

        with Experiment("a/b/c", dash_root=os.environ["ROOT"], echo=False).run as exp:
            print("started", flush=True)
            input()
            for step in range(500):
                exp.metrics("train").log(step=step, who=os.environ["WHO"])
        """
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        others = [start_python(script, tmp_path, ROOT=root, WHO=who) for who in ("first", "second")]
        for other in others:
            assert other.stdout
            assert other.stdout.readline() == "started\n"
        for step in range(500):
            exp.metrics("train").log(step=step, who="parent")
            if step == 100:
                for other in others:
                    assert other.stdin
                    other.stdin.write("go\n")
                    other.stdin.flush()
        for other in others:
            assert other.communicate(timeout=60) == ("", "")
        rows = [row["data"] for row in exp.metrics("train").read(limit=10_000)["data"]]

    assert len(rows) == 1500
    for who in ("parent", "first", "second"):
        assert [row["step"] for row in rows if row["who"] == who] == list(range(500))


def test_experiments_of_different_prefixes_are_apart(root: str) -> None:
    """Even where one lies in the other's folder."""
    with (
        Experiment("a/b/c", dash_root=root, echo=False).run as outer,
        Experiment("a/b/c/d", dash_root=root, echo=False).run as inner,
    ):
        outer.params.set(who="outer")
        inner.params.set(who="inner")
        assert (outer.params.get(), inner.params.get()) == ({"who": "outer"}, {"who": "inner"})


# --- the environment


def test_without_the_buffer_every_call_returns_when_it_is_on_disk(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ML_DASH_BUFFER_ENABLED=false."""
    monkeypatch.setenv("ML_DASH_BUFFER_ENABLED", "false")
    logged = 0
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        for write in (
            lambda: exp.metrics("train").log(x=1),
            lambda: exp.metrics("train").log(x=1, _ts=5),
            lambda: exp.metrics.log(x=1),
            lambda: exp.log("x"),
            lambda: exp.params.set(x=1),
            lambda: exp.tracks("t").append(x=1),
        ):
            write()
            logged += 1
            assert exp.status().durable == logged


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["ML_DASH_FLUSH_INTERVAL", "ML_DASH_LINGER"])
def test_the_linger_can_be_set(name: str, tmp_path: Path) -> None:
    """Rows stay in memory for that long unless somebody asks: an hour is for ever here."""
    printed = python(
        """
        import os
        from ml_dash import Experiment

        exp = Experiment("a/b/c", echo=False).run.start()
        exp.flush()
        exp.metrics("train").log(x=1)  # wakes the worker from its first sleep, at most
        while exp._session.channel.queue:
            pass
        exp.metrics("train").log(x=2)
        print(len(exp._session.channel.queue), exp.flush().durable)
        """,
        tmp_path,
        status=0,
        **{name: "3600"},
    )
    assert printed.split() == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ML_DASH_LINGER", "soon"),
        ("ML_DASH_FLUSH_INTERVAL", "-1"),
        ("ML_DASH_SYNC_INTERVAL", "nan"),
        ("ML_DASH_EXIT_TIMEOUT", "inf"),
        ("ML_DASH_QUEUE_EVENTS", "0"),
        ("ML_DASH_QUEUE_BYTES", "1.5"),
        ("ML_DASH_SEGMENT_BYTES", "64M"),
        ("ML_DASH_FRAME_BYTES", "1000"),
        ("ML_DASH_HEARTBEAT", "0"),
        ("ML_DASH_SYSTEM_INTERVAL", "0"),
        ("ML_DASH_OVERFLOW", "explode"),
        ("ML_DASH_BUFFER_ENABLED", "maybe"),
        ("ML_DASH_ECHO", "2"),
    ],
)
def test_a_setting_that_cannot_be_read_is_told_with_its_name_and_value(
    name: str, value: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error must not become a default in silence."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgumentError) as caught:
        Experiment("a/b/c", dash_root=root)
    assert value in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("bad", [-1, "x", math.nan, True, [1]])
def test_a_time_that_is_none_is_refused_with_its_value(bad: Any, root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with exp.run, pytest.raises(InvalidArgumentError) as flushed:
        exp.flush(timeout=bad)
    with pytest.raises(InvalidArgumentError) as asked:
        exp.view.run(stale_after=bad)
    assert f"timeout={bad!r} is not a number of seconds, 0 or more" in str(flushed.value)
    assert f"stale_after={bad!r} is not a number of seconds, 0 or more" in str(asked.value)


def test_what_a_run_says_of_itself_is_refused_at_once_where_no_frame_holds_it(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the run would look as if it had never started."""
    monkeypatch.setenv("ML_DASH_FRAME_BYTES", "65536")
    with pytest.raises(InvalidArgumentError, match=r"readme has 40,00. bytes.*ML_DASH_FRAME_BYTES=65536"):
        Experiment("a/b/c", dash_root=root, echo=False, readme="r" * 40_000).run.start()
    with Experiment("a/b/c", dash_root=root, echo=False, readme="r" * 20_000).run as exp:
        with pytest.raises(InvalidArgumentError, match=r"tags has .* bytes.*shorten tags"):
            exp.tags = [f"{number:01000}" for number in range(50)]
        assert exp.tags == []
        exp.metadata = {"text": "x" * 20_000}
        exp.metrics("train").log(x=1)
    status = exp.status()
    assert (status.logged, status.dropped) == (1, {})
    assert exp.view.run().status == "COMPLETED"


def test_warnings_are_not_raised_by_ordinary_use(root: str) -> None:
    """From start to end nothing of ours warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
            exp.params.set(a=1)
            exp.metrics.log(loss=0.5)
            exp.metrics("train").buffer(loss=1)
            exp.metrics.buffer.log_summary()
            exp.flush()


@pytest.mark.filterwarnings("ignore:.*missing:ml_dash.JournalDamageWarning")  # the frames of before are
@pytest.mark.parametrize("what", ["directory", "root"])
def test_a_journal_that_is_deleted_while_it_is_written_is_not_vouched_for(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An fsync of a deleted file succeeds and keeps nothing: that is said, and a new segment is begun."""
    exp = Experiment("alice/vision/deleted", dash_root=tmp_path / "root", echo=False)
    with exp.run, caplog.at_level(logging.WARNING, "ml_dash"):
        exp.metrics("train").log(step=0)
        assert exp.flush().pending == 0
        shutil.rmtree(exp.directory if what == "directory" else tmp_path / "root")
        exp.metrics("train").log(step=1)
        result = exp.flush()
        assert (result.durable, result.pending) == (1, 1)
        assert "deleted or moved" in (exp.status().last_error or "")
        while exp.flush().pending:
            pass
        status = exp.status()
        assert status.logged == 2 == status.acknowledged + status.pending + sum(status.dropped.values())
    assert [row["data"]["step"] for row in exp.metrics("train").read()["data"]] == [1]
    assert "deleted or moved" in caplog.text


@pytest.mark.filterwarnings("ignore:.*missing:ml_dash.JournalDamageWarning")  # the frames of before are
def test_a_journal_that_is_moved_while_it_is_written_goes_on_where_it_belongs(tmp_path: Path) -> None:
    """Rows that were not acknowledged when the root was renamed are written again below the old name."""
    exp = Experiment("alice/vision/moved", dash_root=tmp_path / "root", echo=False)
    with exp.run:
        exp.metrics("train").log(step=0)
        exp.flush()
        (tmp_path / "root").rename(tmp_path / "elsewhere")
        exp.metrics("train").log(step=1)
        while exp.flush().pending:
            pass
    assert [row["data"]["step"] for row in exp.metrics("train").read()["data"]] == [1]


def test_another_object_of_the_same_prefix_reads_what_was_just_logged(tmp_path: Path) -> None:
    """It never started, so it has no queue of its own, but this process has one for that experiment."""
    exp = Experiment("alice/vision/twice", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("train").log(step=1)
        exp.params.set(lr=0.1)
        exp.log("hello")
        other = Experiment("alice/vision/twice", dash_root=tmp_path)
        assert other.metrics("train").read()["total"] == 1
        assert other.params.get() == {"lr": 0.1}
        assert other.logs.read()["total"] == 1
        assert other.status().status == "RUNNING"


@pytest.mark.skipif(os.name == "nt", reason="there, any character may be in a path")
def test_a_root_that_no_path_can_be_is_refused_at_once(tmp_path: Path) -> None:
    """And not at the start."""
    for odd in ("\0", "\ud800"):
        with pytest.raises(InvalidArgumentError, match="no path"):
            Experiment("a/b/c", dash_root=f"{tmp_path}/{odd}")


def test_wrong_arguments_are_refused_at_once(tmp_path: Path) -> None:
    """They were accepted, or failed later with somebody else's error."""
    with pytest.raises(InvalidArgumentError, match="NUL"):
        Experiment("a/b/c", dash_root="a\0b")
    exp = Experiment("a/b/c", dash_root=tmp_path, echo=False)

    def generate(experiment: Experiment) -> Iterator[int]:
        yield 1

    with pytest.raises(InvalidArgumentError, match="generator"):
        exp.run(generate)
    with pytest.raises(InvalidArgumentError, match="5"):
        exp.run(5)  # type: ignore[arg-type]
    with exp.run, pytest.raises(InvalidArgumentError, match="_ts"):
        exp.metrics("m").buffer(x=1, _ts=1.0)
    with exp.run:
        exp.log("x", self=1)
    assert exp.logs.read()["data"][0]["metadata"] == {"self": 1}
