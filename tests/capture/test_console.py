"""Lines that are printed: whole, overwritten, coloured, too many, by several threads."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ml_dash.capture import console as module
from ml_dash.capture.console import LINE_MAX, Console

OUT, ERR = "stdout", "stderr"


@pytest.fixture
def files() -> dict[str, io.TextIOWrapper]:
    """Streams of its own: those of the test's runner stay as they are."""
    return {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for name in (OUT, ERR)}


@pytest.fixture
def out(files: dict[str, io.TextIOWrapper]) -> io.TextIOWrapper:
    return files[OUT]


@pytest.fixture
def err(files: dict[str, io.TextIOWrapper]) -> io.TextIOWrapper:
    return files[ERR]


@pytest.fixture
def console(files: dict[str, io.TextIOWrapper]) -> Iterator[Console]:
    console = Console()
    console.open(files[OUT], files[ERR])
    yield console
    console.close()


def texts(console: Console, *, rest: bool = True) -> list[str]:
    return [line.text for line in console.take(rest=rest)]


def shown(file: Any) -> str:
    text: str = file.buffer.getvalue().decode()
    return text


def test_print_is_collected_and_shown_as_ever(
    console: Console, out: io.TextIOWrapper, err: io.TextIOWrapper
) -> None:
    print("one", 2, file=out)
    print("three", file=err)
    assert [(line.stream, line.text) for line in console.take()] == [("stdout", "one 2"), ("stderr", "three")]
    assert (shown(out), shown(err)) == ("one 2\n", "three\n")


def test_what_has_no_end_yet_waits(console: Console, out: io.TextIOWrapper) -> None:
    print("begun", file=out, end="")
    assert texts(console, rest=False) == []
    print(", ended\nnext", file=out, end="")
    assert texts(console, rest=False) == ["begun, ended"]
    assert texts(console) == ["next"]
    assert texts(console) == []


def test_a_progress_bar_is_one_line(console: Console, out: io.TextIOWrapper, err: io.TextIOWrapper) -> None:
    err.writelines(f"\r{step / 100:.0f}%|{'#' * (step // 1000)}" for step in range(10_000))
    err.write("\n")
    print("done", file=out)
    assert texts(console) == ["100%|#########", "done"]


def test_a_bar_that_goes_on_for_hours_takes_no_memory(console: Console, err: io.TextIOWrapper) -> None:
    for _ in range(100):
        err.write("\r" + "x" * 1000)
        console.take()
    assert len(console._lines["stderr"]._line) == 1000


def test_bars_below_each_other_leave_no_empty_lines(console: Console, err: io.TextIOWrapper) -> None:
    for step in (1, 2):
        err.write(f"\rfirst {step}")
        err.write(f"\n\rsecond {step}\x1b[A")
    err.write("\n\x1b[A\n\n")
    assert [text for text in texts(console) if text] == ["first 1", "first 2", "second 2"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2K\x1b[1Ggone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("windows\r", "windows"),
        ("", ""),
        ("ünïcödé 🎉", "ünïcödé 🎉"),
    ],
)
def test_colours_stay_and_movements_do_not(
    console: Console, written: str, kept: str, out: io.TextIOWrapper
) -> None:
    out.write(written + "\n")
    assert texts(console) == [kept]


def test_a_long_line_is_cut(console: Console, out: io.TextIOWrapper) -> None:
    print("x" * (LINE_MAX + 1), file=out)
    print("y" * (LINE_MAX + 1), file=out, end="")
    assert texts(console) == ["x" * LINE_MAX, "y" * LINE_MAX]


def test_too_much_is_counted_and_said(
    console: Console, monkeypatch: pytest.MonkeyPatch, out: io.TextIOWrapper
) -> None:
    monkeypatch.setattr(module, "CHARACTERS_WAITING_MAX", 10)
    out.writelines("12345678\n" for _ in range(100))
    first, second, told = texts(console)
    assert (first, second) == ("12345678", "12345678")
    assert told == "[882 characters more were printed than are kept]"
    print("again", file=out)
    assert texts(console) == ["again"]


def test_too_many_lines_at_once(
    console: Console, monkeypatch: pytest.MonkeyPatch, out: io.TextIOWrapper
) -> None:
    monkeypatch.setattr(module, "_LINES_TAKEN_MAX", 3)
    out.write("a\n" * 10)
    assert texts(console, rest=False) == ["a", "a", "a", "[14 characters more were printed than are kept]"]
    out.write("b\n" * 10)
    assert texts(console) == ["b"] * 10  # at the end: they say how it ended


def test_no_line_of_any_thread_is_lost(console: Console, out: io.TextIOWrapper) -> None:
    found: list[str] = []
    ended = threading.Event()

    def take() -> None:
        while not ended.is_set():
            found.extend(texts(console, rest=False))

    def write(number: int) -> None:
        out.writelines(f"{number} {line}\n" for line in range(500))

    taker = threading.Thread(target=take)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (taker, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    taker.join()
    found += texts(console)
    assert sorted(found) == sorted(f"{number} {line}" for number in range(4) for line in range(500))


def test_logging_is_heard(console: Console, err: io.TextIOWrapper) -> None:
    logger = logging.getLogger("ml_dash_test_console")
    logger.addHandler(logging.StreamHandler(err))
    logger.warning("careful")
    logger.handlers.clear()
    assert texts(console) == ["careful"]


def test_closed_all_is_as_before(console: Console, out: io.TextIOWrapper) -> None:
    console.close()
    assert "write" not in out.__dict__
    print("unheard", file=out)
    assert texts(console) == []


def test_another_wrapper_above_ours_is_left_alone(console: Console, out: io.TextIOWrapper) -> None:
    ours = out.write

    def theirs(text: str) -> int:
        return ours(text.upper())

    out.write = theirs  # type: ignore[method-assign]
    console.close()
    print("heard", file=out)
    assert out.write is theirs
    assert shown(out) == "HEARD\n"
    assert texts(console) == []


def test_a_program_without_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", object())
    console = Console()
    console.open()
    console.close()
    assert console.take(rest=True) == []


def test_an_error_of_the_terminal_is_the_scripts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Broken())
    console = Console()
    console.open()
    with pytest.raises(BrokenPipeError):
        print("x")
    console.close()
    assert console.take(rest=True) == []
