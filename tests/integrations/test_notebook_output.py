"""What a cell of a notebook prints: kept, and shown below its cell as ever, by a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

_SCRIPT = '''
from jupyter_client.manager import start_new_kernel

CELL = """
import subprocess, sys
from ml_dash import Experiment
with Experiment("alice/vision/notebook", capture={"console": MODE, "git": False}, echo=False).run as exp:
    print("printed")
    print("careful", file=sys.stderr)
    shown = sys.stdout.write("written\\\\n")
print("behind the run")
"""
manager, client = start_new_kernel(kernel_name="python3")
shown = []
client.execute_interactive(CELL, output_hook=lambda message: shown.append(str(message["content"])), timeout=60)
manager.shutdown_kernel(now=True)
print("".join(shown))
'''


@pytest.mark.parametrize("mode", [True, "native"])
def test_a_cells_output_is_kept_and_shown(tmp_path: Path, mode: object) -> None:
    needs("ipykernel")
    shown = train(_SCRIPT.replace("MODE", repr(mode)), tmp_path, ML_DASH_CAPTURE="1")
    assert all(text in shown for text in ("printed", "careful", "written", "behind the run")), shown
    exp = ml_dash.open("alice/vision/notebook", tmp_path / ".dash")
    assert [row["text"] for row in exp.logs.console("stdout")["data"]] == ["printed", "written"]
    assert [row["text"] for row in exp.logs.console("stderr")["data"]] == ["careful"]
    assert "console" not in exp.environment.get("missing", {})
