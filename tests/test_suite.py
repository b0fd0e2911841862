"""What holds for the tests themselves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import PROJECT

TESTS = PROJECT / "tests"


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, or that a script in it does."""
    # not parsed: that would take seconds for all of them
    yield from re.findall(
        r"^ *(?:from|import) (tests\.[\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )


def test_tests_share_by_way_of_support_and_never_import_each_other() -> None:
    """A test that is moved or removed takes nothing from others; pytest alone knows test modules and conftests."""
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        folder = ".".join(path.relative_to(PROJECT).parent.parts)
        for module in imported(path):
            where, _, name = module.rpartition(".")
            near = where in {folder, "tests.support"}
            if not near or name == "conftest" or name.startswith("test_"):
                wrong.append(f"{path.relative_to(PROJECT)} imports {module}")
    assert not wrong


@pytest.mark.slow
def test_ctrl_c_works_in_what_tests_start_however_they_were_started_themselves(tmp_path: Path) -> None:
    """A process in the background of a shell ignores SIGINT, and so does all that it starts: `make test &`."""
    (tmp_path / "test_inner.py").write_text(
        "import signal, subprocess, sys\n"
        "def test_a_child_has_the_default():\n"
        "    script = 'import signal; signal.raise_signal(signal.SIGINT)'\n"
        "    child = subprocess.run([sys.executable, '-c', script], stderr=subprocess.DEVNULL)\n"
        "    assert child.returncode == -signal.SIGINT\n"
    )
    command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(tmp_path))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        inner = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    output, _ = inner.communicate()
    assert inner.returncode == 0, output
