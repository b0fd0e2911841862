"""Scripts of three lines: ours logs all that the framework's own integration with wandb logs, with the same values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integrations.side_by_side import CASES, WANDB, compared, lacking, table
from tests.support.frameworks import PAGE, TIMEOUT, needs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]


@pytest.mark.parametrize("name", sorted(CASES))
def test_ours_lacks_nothing_that_theirs_has(name: str, tmp_path: Path) -> None:
    """But for what the case names, with reasons; and the table in the docs is what the runs say."""
    needs(*CASES[name].packages)
    if not WANDB.exists():
        pytest.skip("wandb is not installed: make integrations")
    rows = compared(CASES[name], tmp_path)
    assert len(rows) > 3
    assert lacking(rows) == []
    assert [line for line in table(CASES[name], rows) if line not in PAGE] == []
