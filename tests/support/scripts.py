"""Python scripts run in a process of their own, for what only a whole process can show."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.project import PROJECT

__all__ = ["python", "start_python"]


def python(script: str, cwd: Path, *, status: int = 0, **environment: str) -> str:
    """Run a script in `cwd` to its end, expect its exit status, and return what it printed."""
    process = start_python(script, cwd, **environment)
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, f"exit status {process.returncode}\n{output}\n{errors}"
    return output


def start_python(script: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a script in `cwd`, with pipes to talk to it."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
