"""What native code and child processes print: kept, shown as ever, and never a run that hangs or lies for it.

Scripts run as processes of their own, for it is their file descriptors that are taken; what they print goes to a pipe,
a terminal or a file.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.capture.console import CHARACTERS_WAITING_MAX
from tests.capture.native_runs import command, given, kept, until


def run(place: Path, script: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a script with pipes for streams, until nobody can write to them any more."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run(command(place, script), **given(place), check=False, timeout=60, **streams)


def test_child_processes_and_native_code_are_heard_and_shown(tmp_path: Path) -> None:
    """In the order in which it was written, without a byte more or less, and not as children of the script."""
    ended = run(
        tmp_path,
        """
        print("python", end=", ")
        sys.stdout.flush()
        os.write(1, b"native \\xff\\n")
        subprocess.run(["sh", "-c", "echo child; printf '10%%\\\\r100%%\\n' >&2"])
        if (child := os.fork()) == 0:
            os.write(1, b"forked\\n")
            os._exit(0)
        assert os.wait() == (child, 0)
        print("no end", end="")
        exp.run.complete()
        os.write(1, b" of it\\n")
        """,
    )
    assert ended.stdout == b"python, native \xff\nchild\nforked\nno end of it\n", ended.stderr
    assert ended.stderr == b"10%\r100%\n"
    assert kept(tmp_path, "stdout") == ["python, native \ufffd", "child", "forked", "no end"]
    assert kept(tmp_path, "stderr") == ["100%"]


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    "death", ["os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(3)"]
)
@pytest.mark.parametrize("leads_to", ["pipe", "file"])
def test_the_last_words_of_a_run_that_dies(tmp_path: Path, death: str, leads_to: str) -> None:
    script = f"""
        for number in range(200):
            os.write(1, b"%d\\n" % number)
        os.write(2, b"no end")
        {death}
        """
    if leads_to == "file":
        with open(tmp_path / "log.txt", "wb") as log:
            log.write(b"of somebody else\n")
            log.flush()
            run(tmp_path, script, stdout=log, stderr=log)
        shown = (tmp_path / "log.txt").read_bytes().removeprefix(b"of somebody else\n")
    else:
        ended = run(tmp_path, script)
        shown = ended.stdout + ended.stderr
    lines = [*map(str, range(200)), "no end"]
    assert shown.decode().splitlines() == lines
    until(lambda: len(kept(tmp_path)) == len(lines))
    assert kept(tmp_path) == lines


@pytest.mark.parametrize("leads_to", ["pipe", "file"])
def test_what_a_child_says_of_the_death_of_a_run_is_kept(tmp_path: Path, leads_to: str) -> None:
    """A worker that loses its parent tells why, a moment later."""
    script = """
        read, write = os.pipe()
        parent = os.getpid()
        if os.fork() == 0:
            os.write(write, b".")
            while os.getppid() == parent:
                time.sleep(0.001)
            time.sleep(0.1)  # it notices late
            os.write(1, b"my parent is gone\\n")
            os._exit(0)
        os.read(read, 1)
        os.write(1, b"last words\\n")
        os.kill(parent, signal.SIGKILL)
        """
    lines = ["last words", "my parent is gone"]
    if leads_to == "file":
        with open(tmp_path / "log.txt", "wb") as log:
            run(tmp_path, script, stdout=log, stderr=log)
    else:
        assert run(tmp_path, script).stdout.decode().splitlines() == lines
    until(lambda: kept(tmp_path) == lines)


def in_terminal(place: Path, script: str, typed: bytes = b"") -> tuple[bytes, int]:
    """Run a script in a terminal of 33 lines and 77 columns; type once it shows ``ready``; return what was shown."""
    terminal, end = pty.openpty()
    import termios

    termios.tcsetwinsize(end, (33, 77)) if hasattr(termios, "tcsetwinsize") else _set_size(end)
    process = subprocess.Popen(
        command(place, script), **given(place), stdin=end, stdout=end, stderr=end, start_new_session=True,
        preexec_fn=_takes_terminal,  # noqa: PLW1509 - there are no other threads that hold locks
    )  # fmt: skip
    os.close(end)
    shown = b""
    while select.select([terminal], [], [], 30)[0]:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # of a terminal to which nobody can write any more
            break
        shown += data
        if typed and b"ready" in shown:
            os.write(terminal, typed)
            typed = b""
    os.close(terminal)
    return shown, process.wait(30)


def _set_size(number: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))


def _takes_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_terminal_stays_one(tmp_path: Path) -> None:
    """With its size, its line ends, what is typed, and one order for both streams."""
    shown, status = in_terminal(
        tmp_path,
        """
        assert os.isatty(1) and os.isatty(2) and os.get_terminal_size(1) == (77, 33)
        os.write(2, b"first\\n")
        os.write(1, b"\\x1b[31msecond\\x1b[0m\\n")
        assert subprocess.run(["sh", "-c", "test -t 1"]).returncode == 0
        assert input("ready? ") == "yes"
        """,
        typed=b"yes\n",
    )
    assert status == 0, shown
    assert shown.replace(b"yes\r\n", b"").startswith(b"first\r\n\x1b[31msecond\x1b[0m\r\nready? ")
    assert kept(tmp_path) == ["first", "\x1b[31msecond\x1b[0m", "ready? "]


def test_an_interrupt_is_the_scripts_alone(tmp_path: Path) -> None:
    """Ctrl-C reaches the script, and what it prints then is passed on."""
    shown, status = in_terminal(
        tmp_path,
        """
        try:
            print("ready", flush=True)
            time.sleep(30)
        except KeyboardInterrupt:
            os.write(1, b"interrupted\\n")
            sys.exit(7)
        """,
        typed=b"\x03",
    )
    assert status == 7, shown
    assert shown.endswith(b"interrupted\r\n")
    assert kept(tmp_path)[-1] == "interrupted"


def test_should_the_process_die_the_run_goes_on(tmp_path: Path) -> None:
    """It neither hangs at a full pipe nor dies of a broken one; nor do its children."""
    ended = run(
        tmp_path,
        """
        os.write(1, b"before\\n")
        time.sleep(0.2)
        child = subprocess.Popen(
            ["sh", "-c", "read line; head -c 300000 /dev/zero; echo; echo child"], stdin=subprocess.PIPE
        )
        (number,) = relays()
        os.kill(number, signal.SIGKILL)
        child.communicate(b"go\\n")
        print("x" * 300_000)
        print("after")
        """,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count(b"\0") == ended.stdout.count(b"x") == 300_000
    assert {b"before", b"child"} <= set(ended.stdout.split(b"\n"))
    assert b"passes on the output of this one has ended" in ended.stderr
    assert kept(tmp_path)[-1] == "after"


def test_who_hangs_up_is_missed_as_without_us(tmp_path: Path) -> None:
    """``| head -1``: the script finds out by its next lines, and its run has failed of that."""
    script = """
        try:
            while True:
                print("line", flush=True)
        except BrokenPipeError:
            os.write(2, b"nobody reads\\n")
            os._exit(5)
        """
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command(tmp_path, script), **given(tmp_path), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    os.read(reading, 5)
    os.close(reading)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (5, b"nobody reads\n")


def test_children_that_go_on_behind_the_run_keep_their_output(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        subprocess.Popen(["sh", "-c", "sleep 0.5; echo later"])
        print("now")
        """,
    )
    assert ended.stdout == b"now\nlater\n"
    assert kept(tmp_path)[0] == "now"


@pytest.mark.slow
def test_what_is_printed_without_end_is_bounded_and_counted(tmp_path: Path) -> None:
    script = """
        from ml_dash.sdk import capturing
        exp.run.complete()
        capturing._PRINTED_SECONDS = 60.0  # so that nobody takes a line before the end
        exp.run.start()
        subprocess.run("yes 0123456789 | head -c 11000000", shell=True)
        print("last")
        """
    assert len(run(tmp_path, script).stdout) == 11_000_005
    logs = Experiment("a/b/c", dash_root=tmp_path / ".dash").logs
    assert logs.console()["total"] <= CHARACTERS_WAITING_MAX / len("0123456789\n") + 10
    assert logs.console(search="more were printed than are kept")["data"]


def test_streams_that_somebody_else_looks_after_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in a notebook, or here: nothing lies in their place, and Python's are heard."""
    places = [os.fstat(number).st_ino for number in (1, 2)]
    with Experiment("a/b/c", dash_root=tmp_path / ".dash", capture={"console": "native"}).run:
        print("heard")
        os.write(1, b"seen by pytest\n")
        assert [os.fstat(number).st_ino for number in (1, 2)] == places
        shown = capfd.readouterr().out
    assert {"heard", "seen by pytest"} <= set(shown.splitlines())
    assert "heard" in kept(tmp_path)


def test_where_there_can_be_no_process_python_is_heard_and_a_word_said(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        exp.run.complete()
        executable, sys.executable = sys.executable, ""
        with Experiment("a/b/c", capture={"console": "native"}, echo=False).run as exp:
            print("heard")
            while "missing" not in exp.environment:
                time.sleep(0.01)
        """,
    )
    assert ended.stdout == b"heard\n", ended.stderr
    exp = Experiment("a/b/c", dash_root=tmp_path / ".dash")
    assert "native output is not kept" in exp.environment["missing"]["console"]
    assert kept(tmp_path) == ["heard"]
