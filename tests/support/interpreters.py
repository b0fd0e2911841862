"""Other versions of Python that this machine has, each with ML-Dash's dependencies in an environment of its own."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import PROJECT

VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def interpreter(version: str, request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """Return an interpreter of this version that can import ML-Dash, and the environment that it needs for that.

    The dependencies are installed once and kept in pytest's cache; ML-Dash itself comes from the working tree.
    """
    if version == "{}.{}".format(*sys.version_info[:2]):
        return sys.executable, {}
    found = _find(version)
    if found is None:
        pytest.skip(f"this machine has no Python {version}")
    requirements = _requirements()
    key = hashlib.sha256("\n".join([found, *requirements]).encode()).hexdigest()[:12]
    assert request.config.cache is not None
    home = request.config.cache.mkdir("interpreters") / f"{version}-{key}"
    python = home / "bin" / "python"
    with _alone(Path(f"{home}.lock")):
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([found, "-m", "venv", "--without-pip", str(home)], check=True)
            pip = [sys.executable, "-m", "pip", f"--python={python}", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "--quiet", "--no-compile", *requirements], check=True)
            (home / "ready").touch()
    return str(python), {"PYTHONPATH": str(PROJECT)}


def _find(version: str) -> str | None:
    name = f"python{version}"
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for candidate in [shutil.which(name), *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/{name}"))]:
        if candidate is not None and _version(candidate) == version:
            return candidate
    return None


def _version(python: str) -> str | None:
    """Ask an interpreter for its version; None where it is a launcher of one that is not there."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def _requirements() -> list[str]:
    """Return what ML-Dash depends on, as pyproject.toml has it, but for what only the command line needs."""
    text = (PROJECT / "pyproject.toml").read_text()
    section = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    found: list[str] = re.findall(r'"(.+?)"', section[1])
    return [requirement for requirement in found if not requirement.startswith(("rich", "typer"))]


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other test processes out: they would build the same environment."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
