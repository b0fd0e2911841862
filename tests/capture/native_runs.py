"""Scripts whose console is captured natively, and what was kept of it."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_dash import Experiment
from tests.support.project import PROJECT

__all__ = ["command", "given", "kept", "until"]

BEGIN = """
import os, signal, subprocess, sys, time, warnings
warnings.simplefilter("ignore")  # of forks, by Python 3.12
from ml_dash import Experiment

def relays():
    \"\"\"The processes that pass on what this test's scripts print.\"\"\"
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            line, told = (open(f"/proc/{name}/{what}", "rb").read() for what in ("cmdline", "environ"))
        except OSError:
            continue
        if b"ml_dash.capture.relay" in line and os.environb[b"PLACE"] in told:
            found.append(int(name))
    return found

off = dict.fromkeys(("environment", "git", "packages", "system"), False)
exp = Experiment("a/b/c", capture={"console": "native", **off}, echo=False)
exp.run.start()
"""


def given(place: Path) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ML_DASH_")}
    told = {**kept, "PYTHONPATH": str(PROJECT), "PLACE": str(place), "ML_DASH_QUIET": "1"}
    return {"cwd": place, "env": told}


def command(place: Path, script: str) -> list[str]:
    path = place / "train.py"
    path.write_text(BEGIN + textwrap.dedent(script))
    return [sys.executable, str(path)]


def kept(place: Path, stream: str | None = None) -> list[str]:
    page = Experiment("a/b/c", dash_root=place / ".dash").logs.console(stream, limit=10_000)
    return [row["text"] for row in page["data"]]


def until(seen: Callable[[], bool]) -> None:
    while not seen():  # the test's own timeout ends it
        time.sleep(0.01)
