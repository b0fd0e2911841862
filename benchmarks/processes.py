"""Fresh interpreters for single measurements, and where their results go."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

__all__ = [
    "RESULTS",
    "ROOT",
    "child",
    "clean_environment",
    "command",
    "environment",
    "listening",
    "load",
    "python",
    "save",
]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = os.path.join(ROOT, "benchmarks", "results")


def child(module: str, **job: Any) -> dict[str, Any]:
    """Run a module's job in a process of its own and return what it found."""
    found: dict[str, Any] = json.loads(python(*command(module, **job)[1:]))
    return found


def command(module: str, **job: Any) -> list[str]:
    """Return the command line of a job."""
    return [sys.executable, "-m", module, json.dumps(job)]


def python(*arguments: str) -> str:
    """Run the interpreter from the project's root and return its standard output."""
    line = [sys.executable, *arguments]
    return subprocess.run(
        line, cwd=ROOT, env=clean_environment(), check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def killed(line: list[str]) -> None:
    """Run a job that ends its own process."""
    subprocess.run(line, cwd=ROOT, env=clean_environment(), check=False)


def clean_environment() -> dict[str, str]:
    """Our defaults, whatever the shell has set; and one thread for numpy, or cores would be measured."""
    unwanted = ("ML_DASH_", "PYTHONDONTWRITEBYTECODE")  # the import is measured with its byte code at hand
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def environment() -> dict[str, Any]:
    """Describe what the figures belong to."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": {name: version(name) for name in ("ml-dash", "anyio", "msgpack", "msgspec", "numpy")},
        "load_before": load(),
    }


def load() -> float | None:
    """Return how many processes wanted a core in the last minute; ours count too."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def save(name: str, results: dict[str, Any], text: str) -> None:
    """Write the raw results, and the tables as Markdown."""
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    with open(os.path.join(RESULTS, f"{name}.md"), "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def listening(module: str, **job: Any) -> Iterator[dict[str, Any]]:
    """Run a job that is a server, and give what it says of itself."""
    unwanted = ("ML_DASH_",)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    line = command(module, **job)
    with subprocess.Popen(
        line, cwd=ROOT, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        where: dict[str, Any] = json.loads(process.stdout.readline())
        yield where
        process.stdin.close()
