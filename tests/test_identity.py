from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ml_dash.errors import InvalidArgumentError, InvalidPrefixError, MLDashError
from ml_dash.identity import Identity, current_user, file_path, parse_prefix, script_stem

NOON = datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=timezone.utc)
NOON_NS = 1_767_323_045_123_456_789


def parse(prefix: Any, *, user: str = "zoe", now_ns: int = NOON_NS, script: str | None = "train") -> Identity:
    return parse_prefix(prefix, user=lambda: user, now_ns=lambda: now_ns, script=script)


@pytest.fixture(autouse=True)
def no_prefix_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML_DASH_PREFIX", raising=False)
    monkeypatch.delenv("ML_DASH_USER", raising=False)


@pytest.mark.parametrize(
    ("prefix", "parts"),
    [
        ("alice/proj/exp", ("alice", "proj", "", "exp")),
        ("alice/proj/vision/resnet/run-1", ("alice", "proj", "vision/resnet", "run-1")),
        ("/alice/proj/exp/", ("alice", "proj", "", "exp")),
        ("///alice/proj/exp//", ("alice", "proj", "", "exp")),
        ("a/b", ("a", "b", "", "b")),
        ("a", ("zoe", "scratch", "", "a")),
        ("Zoë/模型/exp 1", ("Zoë", "模型", "", "exp 1")),
        ("a/b/C: * ? < > |", ("a", "b", "", "C: * ? < > |")),
        ("journal/files/exp", ("journal", "files", "", "exp")),
        ("a/b/journals/c", ("a", "b", "journals", "c")),
        ("a/b/c..d.", ("a", "b", "", "c..d.")),
    ],
)
def test_a_prefix_is_split_into_owner_project_folder_and_name(prefix: str, parts: tuple[str, ...]) -> None:
    identity = parse(prefix)
    assert (identity.owner, identity.project, identity.folder, identity.name) == parts


@pytest.mark.parametrize("prefix", ["", "/", "///"])
def test_a_prefix_without_any_segment_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidPrefixError, match="names nothing"):
        parse(prefix)


@pytest.mark.parametrize(
    ("prefix", "segment", "problem"),
    [
        ("a//b", "", "is empty"),
        ("a/./b", ".", "is a step in a path"),
        ("a/../b", "..", "is a step in a path"),
        ("../../etc/passwd", "..", "is a step in a path"),
        ("a/b/.hidden", ".hidden", "starts with a dot"),
        ("..", "..", "is a step in a path"),
        ("a/b/c\\..\\d", "c\\..\\d", "contains a backslash"),
        ("a/b/c\x00", "c\x00", "contains a control character"),
        ("a/b/c\nd", "c\nd", "contains a control character"),
        ("a/b/\x7f", "\x7f", "contains a control character"),
        ("a/b/\x9b", "\x9b", "contains a control character"),
        ("a/b/journal", "journal", "own files"),
        ("a/b/files/c", "files", "own files"),
        ("a/b/c/experiment.json", "experiment.json", "own files"),
        ("a/b/parameters.json/c", "parameters.json", "own files"),
        ("a/journal", "journal", "own files"),
        ("files", "files", "own files"),
        ("a/b/\ud800x", "\ud800x", "lone surrogate"),
    ],
)
def test_a_segment_that_cannot_be_a_name_is_refused_and_shown(
    prefix: str, segment: str, problem: str
) -> None:
    with pytest.raises(InvalidPrefixError) as caught:
        parse(prefix)
    assert f"segment {segment!r} " in str(caught.value)
    assert problem in str(caught.value)


def test_the_error_is_a_value_error_of_our_tree() -> None:
    assert issubclass(InvalidPrefixError, ValueError)
    assert issubclass(InvalidPrefixError, MLDashError)


def test_a_segment_may_have_255_bytes_of_utf_8_and_no_more() -> None:
    assert parse("a/b/" + "x" * 255).name == "x" * 255
    assert parse("a/b/" + "ä" * 127).name == "ä" * 127
    with pytest.raises(InvalidPrefixError, match="is 256 bytes long") as caught:
        parse("a/b/" + "ä" * 128)
    assert "at most 255 bytes" in str(caught.value)


def test_a_prefix_may_have_1024_bytes_and_no_more() -> None:
    longest = "/".join(["x" * 204] * 4 + ["x" * 204])
    assert len(longest) == 1024
    assert parse(longest).prefix == longest
    with pytest.raises(InvalidPrefixError, match="1025 bytes long") as caught:
        parse(longest + "y")
    assert "at most 1024 bytes" in str(caught.value)


@pytest.mark.parametrize("value", [Path("a/b/c"), b"a/b/c", 5, ["a", "b"], True])
def test_a_prefix_that_is_no_str_is_refused_by_the_name_of_its_type(value: object) -> None:
    with pytest.raises(InvalidPrefixError, match=type(value).__qualname__):
        parse(value)


def test_without_a_prefix_the_name_is_made_of_the_utc_time_and_the_script() -> None:
    assert int(NOON.timestamp()) * 1_000_000 + NOON.microsecond == NOON_NS // 1000
    assert parse(None).prefix == "zoe/scratch/20260102-030405-123456-train"


def test_two_runs_within_one_second_get_different_names() -> None:
    assert parse(None).prefix != parse(None, now_ns=NOON_NS + 1000).prefix


def test_without_a_prefix_the_environment_names_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_PREFIX", "bob/proj/exp")
    assert parse(None).prefix == "bob/proj/exp"
    assert parse("alice/proj/exp").owner == "alice"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_PREFIX", "")
    assert parse(None).project == "scratch"


def test_a_bad_prefix_from_the_environment_says_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_PREFIX", "a/../b")
    with pytest.raises(InvalidPrefixError, match=r"ML_DASH_PREFIX.*'\.\.'"):
        parse(None)


def test_a_user_given_from_outside_is_checked_like_any_segment() -> None:
    with pytest.raises(InvalidPrefixError, match="slash"):
        parse("a", user="corp/zoe")
    with pytest.raises(InvalidPrefixError, match="a step in a path"):
        parse("a", user="..")


def test_user_and_time_are_asked_for_only_where_they_are_needed() -> None:
    def never() -> Any:
        raise AssertionError

    assert parse_prefix("a/b", user=never, now_ns=never).name == "b"


def test_a_long_prefix_is_shortened_in_the_message() -> None:
    with pytest.raises(InvalidPrefixError) as caught:
        parse("a/b/" + "x" * 100_000)
    assert len(str(caught.value)) < 500


def test_the_directory_lies_below_the_root() -> None:
    identity = parse("alice/proj/vision/exp")
    below = os.path.join("alice", "proj", "vision", "exp")
    assert identity.directory(".dash") == os.path.join(".dash", below)
    assert identity.directory(".dash" + os.sep) == os.path.join(".dash", below)
    assert identity.directory(os.sep) == os.sep + below


def test_an_identity_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse("a/b/c").name = "d"  # type: ignore[misc]


@given(st.lists(st.sampled_from(["a", "b.c", "ü", "journal", "..", ".", "", "C:", "x" * 300, "\\", "~"])))
def test_segments_in_any_order_stay_below_the_root_or_are_refused(segments: list[str]) -> None:
    assert_safe("/".join(segments))


@given(st.text())
def test_any_text_stays_below_the_root_or_is_refused(prefix: str) -> None:
    assert_safe(prefix)


def assert_safe(prefix: str) -> None:
    try:
        identity = parse(prefix)
    except InvalidPrefixError:
        return
    root = os.path.abspath("root")
    directory = os.path.normpath(identity.directory(root))
    assert directory == identity.directory(root)
    assert os.path.relpath(directory, root).split(os.sep) == list(identity.segments)
    assert len(identity.segments) >= 3
    assert parse(identity.prefix) == identity


def test_the_user_comes_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "carol")
    assert current_user() == "carol"
    monkeypatch.delenv("ML_DASH_USER")
    monkeypatch.setenv("LOGNAME", "dave")
    assert current_user() == "dave"


@pytest.mark.parametrize("error", [KeyError("uid not found: 4711"), OSError("no login"), ImportError("pwd")])
def test_a_machine_without_a_login_name_has_the_user_named_user(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", fail)
    assert current_user() == "user"


@given(st.text())
def test_every_login_name_is_made_safe_as_a_segment(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(getpass, "getuser", lambda: name)
        assert parse("exp", user=current_user()).prefix.endswith("/scratch/exp")


@pytest.mark.parametrize(
    ("argv", "stem"),
    [
        (["/home/zoe/train.py"], "train"),
        (["train.v2.py"], "train.v2"),
        (["/site-packages/ipykernel_launcher.py", "-f", "x.json"], "notebook"),
        (["colab_kernel_launcher.py"], "notebook"),
        (["/src/my_package/__main__.py"], "my_package"),
        (["-c"], "python"),
        ([""], "python"),
        ([], "python"),
        (["..."], "python"),
        (["bad\nname.py"], "bad-name"),
        (["/x/\udcff.py"], "-"),
        (["/x/" + "ü" * 200 + ".py"], "ü" * 50),
    ],
)
def test_the_script_gives_a_safe_stem(monkeypatch: pytest.MonkeyPatch, argv: list[str], stem: str) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert script_stem() == stem
    assert parse(None, script=None).name.endswith(f"-{stem}")


def test_an_embedded_interpreter_without_arguments_has_a_stem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "argv")
    assert script_stem() == "python"


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", ()),
        ("/", ()),
        ("models", ("models",)),
        ("/models/best.pt/", ("models", "best.pt")),
        (".hidden/journal", (".hidden", "journal")),
        ("a b/ü/*[1]?", ("a b", "ü", "*[1]?")),
        ("x" * 255, ("x" * 255,)),
    ],
)
def test_a_files_path_is_cut_into_segments(text: str, segments: tuple[str, ...]) -> None:
    """A leading dot and an experiment's own names are allowed there."""
    assert file_path(text, "path=") == segments


@pytest.mark.parametrize(
    "text",
    ["..", "a/../b", "./a", "a//b", "a\\b", "a\0", "a\n", "\ud800", "x" * 256, "/".join(["y" * 250] * 5)],
)
def test_a_files_path_that_no_file_can_have_is_refused(text: str) -> None:
    """Named as the caller named it."""
    with pytest.raises(InvalidArgumentError, match=r"^path="):
        file_path(text, "path=")
