"""`ml-dash ui`, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.support.processes import expect_line


class Ui:
    """`ml-dash ui` in a process of its own."""

    def __init__(self, root: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ml_dash.cli", "ui", root, "--port", "0", "--no-browser"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def address(self) -> str:
        """Return the next address that it prints."""
        return expect_line(self.process).rpartition(" ")[2]

    def stop(self) -> int:
        """End it, and return its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=30)
        return self.process.returncode


def over(root: str) -> Iterator[Ui]:
    """Give `ml-dash ui` over a root, for a fixture; it has to end as it should."""
    ui = Ui(root)
    yield ui
    assert ui.stop() == 0
