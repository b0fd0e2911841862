"""Log messages: levels, metadata, reading back, and the echo on the console."""

from __future__ import annotations

import io
import sys
import threading
from datetime import datetime, timezone
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("debug", "debug"),
        ("INFO", "info"),
        ("Warn", "warn"),
        ("warning", "warn"),
        ("WARNING", "warn"),
        ("eRRor", "error"),
        ("FATAL", "fatal"),
        (None, "info"),
    ],
)
def test_levels_are_taken_in_any_case(given: str | None, stored: str, exp: Experiment) -> None:
    """`warning` means `warn`, and None info."""
    exp.log("x", level=given)

    assert exp.logs.read()["data"][0]["level"] == stored


@pytest.mark.parametrize("level", ["critical", "", "warn ", 3, b"info", ["info"]])
def test_an_unknown_level_is_a_value_error_that_lists_the_five(level: Any, exp: Experiment) -> None:
    """It is raised in the caller, and nothing is logged."""
    with pytest.raises(InvalidArgumentError) as caught:
        exp.log("x", level=level)

    assert isinstance(caught.value, ValueError)
    for known in ("debug", "info", "warn", "error", "fatal", repr(level)):
        assert known in str(caught.value)
    assert exp.status().logged == 0


def test_keyword_arguments_win_over_equal_keys_of_metadata(exp: Experiment) -> None:
    """Both together are the entry's metadata."""
    exp.log("x", metadata={"a": 1, "b": 2}, b=3, c=4)

    assert exp.logs.read()["data"][0]["metadata"] == {"a": 1, "b": 3, "c": 4}


def test_metadata_is_taken_at_the_call(exp: Experiment) -> None:
    """A dict that is used again for the next message does not change the one before."""
    metadata: dict[str, Any] = {"step": 1, "path": [1]}
    exp.log("one", metadata=metadata)
    metadata["step"] = 2
    metadata["path"].append(2)
    exp.log("two", metadata=metadata)

    assert [row["metadata"] for row in exp.logs.read()["data"]] == [
        {"step": 1, "path": [1]},
        {"step": 2, "path": [1, 2]},
    ]


@pytest.mark.parametrize("metadata", ["x", 5, [("a", 1)]])
def test_metadata_that_is_no_dict_is_refused(metadata: Any, exp: Experiment) -> None:
    """The message shows it and says what to pass."""
    with pytest.raises(InvalidArgumentError, match=r"metadata=.*dict"):
        exp.log("x", metadata=metadata)


def test_rows_have_index_timestamp_level_message_and_metadata(exp: Experiment) -> None:
    """The shape of `exp.logs.read()`."""
    before = datetime.now(timezone.utc)
    exp.log("one", epoch=1)
    after = datetime.now(timezone.utc)

    page = exp.logs.read()
    assert {**page, "data": None} == {
        "data": None,
        "startIndex": 0,
        "endIndex": 0,
        "total": 1,
        "hasMore": False,
    }
    (row,) = page["data"]
    assert list(row) == ["index", "timestamp", "level", "message", "metadata"]
    assert before.timestamp() - 1 <= parse(row["timestamp"]) <= after.timestamp() + 1


def parse(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def test_logs_are_filtered_by_level_and_by_text(exp: Experiment) -> None:
    """`level` in any case, `search` anywhere in the message, in any case; the indices are those of all logs."""
    exp.log("Epoch 1 done")
    exp.log("gradient overflow", level="warn")
    exp.log("epoch 2 done")
    exp.log("EPOCH 3 failed", level="error")

    def found(**arguments: Any) -> list[tuple[int, str]]:
        return [(row["index"], row["message"]) for row in exp.logs.read(**arguments)["data"]]

    assert found(level="WARNING") == [(1, "gradient overflow")]
    assert found(search="epoch") == [(0, "Epoch 1 done"), (2, "epoch 2 done"), (3, "EPOCH 3 failed")]
    assert found(level="info", search="2") == [(2, "epoch 2 done")]
    assert found(search="nowhere") == []
    assert found(search="epoch", start_index=1, limit=1) == [(2, "epoch 2 done")]
    assert exp.logs.read(search="epoch", limit=1)["total"] == 3
    assert exp.logs.read(search="epoch", limit=1)["hasMore"] is True


def test_logs_are_read_in_pages(exp: Experiment) -> None:
    """Both indices are inclusive; an empty page ends before it starts."""
    for number in range(250):
        exp.log(f"message {number}")

    page = exp.logs.read(start_index=200, limit=100)
    assert [row["message"] for row in page["data"]] == [f"message {number}" for number in range(200, 250)]
    assert (page["startIndex"], page["endIndex"], page["total"], page["hasMore"]) == (200, 249, 250, False)
    empty = exp.logs.read(start_index=250)
    assert (empty["data"], empty["startIndex"], empty["endIndex"]) == ([], 250, 249)
    assert len(exp.logs.read()["data"]) == 100


@pytest.mark.parametrize(
    "arguments", [{"level": "loud"}, {"start_index": -1}, {"limit": "all"}, {"search": 5}]
)
def test_bad_arguments_of_a_read_are_refused(arguments: dict[str, Any], exp: Experiment) -> None:
    """With the name and the value."""
    ((name, value),) = arguments.items()
    with pytest.raises(InvalidArgumentError, match=f"{name}={value!r}"):
        exp.logs.read(**arguments)


def test_messages_of_any_text_come_back_exactly(exp: Experiment) -> None:
    """Lines, control characters, lone surrogates, nothing at all; and what is no text as its `str`."""
    messages = ["", "a\nb\r\n", "\0\x1b[31m", "Zoë 模型 🎉", "\udc80 broken", "x" * 100_000]
    for message in messages:
        exp.log(message)
    exp.log(ValueError("bad"))  # type: ignore[arg-type]

    assert [row["message"] for row in exp.logs.read()["data"]] == [*messages, "bad"]


# --- the echo


@pytest.fixture
def loud(root: str) -> Experiment:
    """An experiment that echoes, as they do by default. It is not open."""
    return Experiment("alice/proj/exp", dash_root=root)


def test_each_entry_is_echoed_to_the_console(loud: Experiment, capfd: pytest.CaptureFixture[str]) -> None:
    """Errors and fatal errors to stderr, the rest to stdout, with the metadata."""
    with loud.run:
        loud.log("one", epoch=1, name="a b")
        loud.logs.debug("two")
        loud.log("three", level="warning")
        loud.logs.error("four", code=500)
        loud.log("five", level="fatal")
        sys.stdout.flush()

    captured = capfd.readouterr()
    assert captured.out == "[info] one epoch=1 name='a b'\n[debug] two\n[warn] three\n"
    assert captured.err == "[error] four code=500\n[fatal] five\n"


def test_the_echo_can_be_switched_off_by_an_argument(root: str, capfd: pytest.CaptureFixture[str]) -> None:
    """`echo=False`; and the entry is stored all the same."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        exp.log("one")
        exp.logs.error("two")
        assert exp.logs.read()["total"] == 2

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", ["0", "false", "OFF", "no"])
def test_the_echo_can_be_switched_off_by_the_environment(
    value: str, root: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ML_DASH_ECHO=0`; the argument wins over it."""
    monkeypatch.setenv("ML_DASH_ECHO", value)
    with Experiment("a/b/c", dash_root=root).run as exp:
        exp.log("silent")
    with Experiment("a/b/c", dash_root=root, echo=True).run as exp:
        exp.log("loud")
        sys.stdout.flush()

    assert capfd.readouterr().out == "[info] loud\n"


def test_echo_is_not_an_argument_of_log(exp: Experiment) -> None:
    """There it would be metadata."""
    exp.log("x", echo=False)

    assert exp.logs.read()["data"][0]["metadata"] == {"echo": False}


class _Refusing(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "the terminal is gone")


@pytest.mark.parametrize("stream", [None, _Refusing(), io.BytesIO(), object()])
def test_a_broken_console_does_not_stop_the_loop(
    stream: Any, loud: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it lose the entry."""
    with loud.run:
        monkeypatch.setattr("sys.stdout", stream)
        loud.log("one")
        monkeypatch.undo()

    assert loud.logs.read()["total"] == 1


def test_a_closed_console_does_not_stop_the_loop(loud: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a daemon that closed its streams."""
    stream = io.StringIO()
    stream.close()
    with loud.run:
        monkeypatch.setattr("sys.stdout", stream)
        loud.log("one")
        monkeypatch.undo()

    assert loud.logs.read()["total"] == 1


def test_a_console_that_knows_only_ascii_gets_escapes(
    loud: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot show is shown all the same, as far as it can."""
    buffer = io.BytesIO()
    console = io.TextIOWrapper(buffer, encoding="ascii", write_through=True)
    with loud.run:
        monkeypatch.setattr("sys.stdout", console)
        loud.log("Zoë 🎉", who="Zoë")
        monkeypatch.undo()

    assert buffer.getvalue().splitlines() == [rb"[info] Zo\xeb \U0001f389 who='Zo\xeb'"]


@pytest.mark.filterwarnings("ignore::ml_dash.errors.ValueWarning")
def test_a_value_whose_repr_raises_is_echoed_as_such(
    loud: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Foreign code in metadata cannot stop the loop."""

    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with loud.run:
        loud.log("x", broken=Broken())

    assert capsys.readouterr().out == "[info] x broken=<unrepresentable: ZeroDivisionError>\n"
    assert loud.logs.read()["data"][0]["metadata"]["broken"]["__type__"].endswith("Broken")


@pytest.mark.filterwarnings("ignore::ml_dash.errors.ValueWarning")
def test_containers_are_echoed_as_python_writes_them(
    loud: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those that contain themselves."""
    loop: list[Any] = [1]
    loop.append(loop)
    with loud.run:
        loud.log("x", a={"b": [1.5, None, "c"], 2: (True, {})})
        loud.log("y", loop=loop)

    first, second = capsys.readouterr().out.splitlines()
    assert first == "[info] x a={'b': [1.5, None, 'c'], 2: (True, {})}"
    assert second.startswith("[info] y loop=[1, [1, ")
    assert "…" in second


def test_threads_may_log_at_the_same_time(exp: Experiment) -> None:
    """Nothing is lost, and each thread's order is kept."""

    def log(who: int) -> None:
        for number in range(200):
            exp.log(f"{number}", who=who)

    threads = [threading.Thread(target=log, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rows = exp.logs.read(limit=10_000)["data"]
    assert [row["index"] for row in rows] == list(range(1600))
    for who in range(8):
        mine = [row["message"] for row in rows if row["metadata"]["who"] == who]
        assert mine == [str(number) for number in range(200)]
