"""Scripts that train with a real framework, in the environment that `make integrations` makes for them."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from tests.support.processes import Finished, finish
from tests.support.project import PROJECT

PYTHON = PROJECT / ".venv" / "integrations" / "bin" / "python"
DEADLINE = 900.0
"""Seconds after which a script counts as hanging. To import a framework takes up to twenty on an idle processor, in
each process of a training: beside other work that becomes minutes."""
TIMEOUT = 3 * DEADLINE
"""Of a test, which runs two of them at most."""
PAGE = (PROJECT / "docs" / "integrations.md").read_text(encoding="utf-8")


def needs(*packages: str) -> None:
    """Skip where the environment is not there, or has not what a test is about."""
    if not PYTHON.exists():
        pytest.skip("there is no environment with frameworks: make integrations")
    installed = {path.name for path in PYTHON.parents[1].glob("lib/python*/site-packages/*")}
    for package in packages:
        if package not in installed:
            pytest.skip(
                f"{package} is too large to be installed by `make integrations`; it is tested by hand"
            )


def train(script: str, cwd: Path, *, status: int = 0, **environment: str) -> str:
    """Run a script in `cwd`, expect its exit status and no word of ours on standard error; return what it printed."""
    finished = run(script, cwd, **environment)
    assert finished.returncode == status, (
        f"exit status {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
    )
    assert "ml_dash" not in finished.stderr.replace(str(PROJECT), "") or status, finished.stderr
    return finished.stdout


def run(script: str, cwd: Path, **environment: str) -> Finished:
    """Run a script in `cwd` to its end; one that hangs fails the test with the stacks of its threads."""
    # Without its cache of bytecode torch takes ten seconds to import, each time.
    environment_of_tests = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    quiet = {
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "KERAS_BACKEND": "torch",
        "OMP_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    process = subprocess.Popen(
        [PYTHON, "-c", textwrap.dedent(script)],
        cwd=cwd,
        env={**environment_of_tests, "PYTHONPATH": str(PROJECT), "COLUMNS": "200", **quiet, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    return finish(process, deadline=DEADLINE)


def snippet(heading: str, number: int = 0) -> str:
    """Return a block of Python of a section of docs/integrations.md: the one that its test runs."""
    section = re.split(rf"^##+ {re.escape(heading)}$", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^##+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    blocks: list[str] = re.findall(r"^```python[^\n]*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return blocks[number]


def rows(cwd: Path, prefix: str, metric: str | None = None, **which: Any) -> list[dict[str, Any]]:
    """Return the rows of a metric of an experiment below `cwd`, without their times."""
    read = ml_dash.open(prefix, cwd / ".dash").metrics(metric).read(limit=10_000, **which)
    return [{name: value for name, value in row["data"].items() if name != "_ts"} for row in read["data"]]


def status(cwd: Path, prefix: str) -> str:
    """Return how the newest attempt of an experiment stands."""
    return str(ml_dash.open(prefix, cwd / ".dash").view.attempts()[-1]["status"])
