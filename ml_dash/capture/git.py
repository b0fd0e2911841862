"""The state of the repository that a script runs in: commit, branch, remote, and what is not committed.

git is asked, and not its files: worktrees, packed references and replaced objects are its own business. What it may do
is bounded. It never asks for a password, takes no lock (so a capture that is killed leaves none, and an editor's git is
not in its way), runs no pager, hook, external diff or filesystem monitor of the repository's configuration, and has a
few seconds altogether: on a cold network disk ``git status`` of a large tree takes minutes.

The difference to the commit is what makes a run repeatable, and may hold anything: so it is cut at a size, binary files
are named and not included, and what looks like a token in it is masked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from typing import IO, Any

from ml_dash.capture.masking import masked

DIFF_BYTES_MAX = 256 * 1024
_UNTRACKED_MAX = 100
_OUTPUT_MAX = 4 * 1024 * 1024
_COMPLAINT_MAX = 300
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.pager=cat", "-c", "core.hooksPath=/dev/null")
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_EXTERNAL_DIFF": "", "LC_ALL": "C",
}  # fmt: skip
_NO_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short")


class GitError(Exception):
    """git is not there, did not answer in time, or said no; the text says which."""


def repository_state(directory: str, timeout: float) -> dict[str, Any]:
    """Return what git says of the repository around a directory; empty where it is in none.

    Args:
        directory: any directory in the work tree.
        timeout: seconds for all questions together.

    Returns:
        ``commit`` (None before the first one), ``branch`` (None where it is detached), ``remote`` (its URL without
        credentials), ``root`` (the work tree's directory), ``dirty``, ``diff`` (text against the commit, at most
        `DIFF_BYTES_MAX` bytes), ``diffBytes`` (of all of it), ``untracked`` (names of files that git does not know,
        at most 100) and ``untrackedCount``. What was not answered in time is left out, and named in ``missing``.

    Raises:
        GitError: git cannot be asked at all.
    """
    git = shutil.which("git")
    if git is None:
        raise GitError("there is no git on the PATH")
    ask = _Git(git, directory, time.monotonic() + timeout)
    try:
        root = ask("rev-parse", "--show-toplevel").strip()
    except _NoAnswerError as refusal:
        if "not a git repository" in str(refusal):
            return {}
        raise GitError(str(refusal)) from None
    state: dict[str, Any] = {"root": root}
    missing = []
    for name, answer in (("commit", _commit), ("branch", _branch), ("remote", _remote), ("dirty", _changes)):
        try:
            state |= answer(ask)
        except _NoAnswerError as refusal:
            missing.append(f"{name}: {refusal}")
    return {**state, "missing": missing} if missing else state


class _NoAnswerError(Exception):
    pass


class _Git:
    def __init__(self, git: str, directory: str, deadline: float) -> None:
        self._git = git
        self._directory = directory
        self._deadline = deadline

    def __call__(self, *arguments: str) -> str:
        """Return what git prints, at most `_OUTPUT_MAX` bytes of it."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _NoAnswerError("there was no time left")
        try:
            # a file for what it complains of: two pipes could only be read by two threads
            with tempfile.TemporaryFile() as complaints, self._process(arguments, complaints) as process:
                output, is_late = _read(process, process.stdout or complaints, left)
                complaints.seek(0)
                lines = complaints.read(_COMPLAINT_MAX).decode(errors="replace").strip().splitlines()
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: there can be no thread
            raise _NoAnswerError(f"git {arguments[0]}: {error}") from None
        if is_late:
            raise _NoAnswerError(f"git {arguments[0]} took too long")
        if process.returncode and len(output) < _OUTPUT_MAX:
            raise _NoAnswerError(lines[0] if lines else f"git {arguments[0]} failed")
        return output.decode(errors="replace")

    def _process(self, arguments: tuple[str, ...], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - git, with arguments of ours
            [self._git, *_SAFE, *arguments],
            cwd=self._directory,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )


def _read(process: subprocess.Popen[bytes], output: IO[bytes], seconds: float) -> tuple[bytes, bool]:
    """Return what a process prints, cut at `_OUTPUT_MAX` bytes, and whether it took too long; it has ended then."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        found = output.read(_OUTPUT_MAX)
        if len(found) == _OUTPUT_MAX:
            process.kill()  # the rest is not wanted
        process.wait()
    finally:
        timer.cancel()
        process.kill()
    return found, late.is_set()


def _commit(ask: _Git) -> dict[str, Any]:
    try:
        return {"commit": ask("rev-parse", "--verify", "HEAD").strip()}
    except _NoAnswerError as refusal:
        if "single revision" in str(refusal):
            return {"commit": None}  # there is none yet
        raise


def _branch(ask: _Git) -> dict[str, Any]:
    try:
        return {"branch": ask("symbolic-ref", "--short", "HEAD").strip()}
    except _NoAnswerError as refusal:
        if "symbolic ref" in str(refusal):
            return {"branch": None}
        raise


def _remote(ask: _Git) -> dict[str, Any]:
    names = ask("remote").split()
    if not names:
        return {"remote": None}
    name = "origin" if "origin" in names else names[0]
    return {"remote": masked(ask("remote", "get-url", name).strip())}


def _changes(ask: _Git) -> dict[str, Any]:
    entries = [
        entry
        for entry in ask("status", "--porcelain=v1", "-z", "--untracked-files=normal").split("\0")
        if entry
    ]
    untracked = [entry[3:] for entry in entries if entry.startswith("?? ")]
    state: dict[str, Any] = {
        "dirty": bool(entries),
        "untracked": untracked[:_UNTRACKED_MAX],
        "untrackedCount": len(untracked),
    }
    if len(untracked) < len(entries) and _commit(ask)["commit"] is not None:
        diff = masked(ask("diff", "HEAD", *_NO_DIFF))
        encoded = diff.encode()
        state |= {"diff": encoded[:DIFF_BYTES_MAX].decode(errors="ignore"), "diffBytes": len(encoded)}
    return state
