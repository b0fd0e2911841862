"""Fixtures of the tests that run real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import KillingGround
from tests.support.processes import Scripts


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    """Runs scripts with this interpreter, in a temporary directory."""
    return Scripts(tmp_path)


@pytest.fixture
def ground() -> Iterator[KillingGround]:
    """Has children of a warm process killed."""
    ground = KillingGround()
    yield ground
    ground.close()
