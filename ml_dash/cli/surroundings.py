"""What surrounded a run, in a few lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ml_dash.cli.terminal import plain_text
from ml_dash.cli.text import count_text, size_text

_COMMIT_SHOWN = 10


def surroundings_facts(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and texts; empty where something is not known. What others have written may be anything."""
    command = environment.get("command")
    yield "command", shlex.join(map(str, command)) if isinstance(command, list) else ""
    yield "code", _code(_part(environment, "git"))
    yield "machine", _machine(environment)
    yield "python", _python(environment)
    yield "traceback", _last_call(environment.get("traceback"))


def _part(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = environment.get(name)
    return part if isinstance(part, dict) else {}


def _code(git: Mapping[str, Any]) -> str:
    if not isinstance(commit := git.get("commit"), str):
        return ""
    parts = [commit[:_COMMIT_SHOWN], str(git.get("branch") or "")]
    if isinstance(size := git.get("diffBytes"), int):
        parts.append(f"with changes ({size_text(size)} of diff)")
    if isinstance(untracked := git.get("untrackedCount"), int) and untracked:
        parts.append(f"and {count_text(untracked, 'untracked file')}")
    return " ".join(filter(None, parts))


def _machine(environment: Mapping[str, Any]) -> str:
    cpu = _part(environment, "cpu")
    gpus = environment.get("gpus")
    parts = []
    if isinstance(usable := cpu.get("usable"), int):
        parts.append(f"{count_text(usable, 'core')} of {cpu.get('model') or 'a processor'}")
    if isinstance(memory := environment.get("memory"), int):
        parts.append(size_text(memory))
    if isinstance(gpus, list) and gpus:
        name = gpus[0].get("name") if isinstance(gpus[0], dict) else None
        parts.append(f"{count_text(len(gpus), 'GPU')} ({name or 'of unknown kind'})")
    return ", ".join(parts)


def _python(environment: Mapping[str, Any]) -> str:
    version = _part(environment, "python").get("version")
    if not isinstance(version, str):
        return ""
    packages = _part(environment, "packages")
    return f"{version}, {count_text(len(packages), 'package')}" if packages else version


def _last_call(traceback: Any) -> str:
    """Return where an error was raised: the last line of a traceback that names a file."""
    if not isinstance(traceback, str):
        return ""
    places = [line.strip() for line in traceback.splitlines() if line.lstrip().startswith('File "')]
    return plain_text(places[-1]) if places else ""
