"""Fixtures of the tests that run real processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import KillingGround
from tests.support.lock_order_fixture import order_of_locks
from tests.support.processes import Scripts
from tests.support.project import PROJECT

__all__ = ["ground", "order_of_locks", "scripts"]


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    """Runs scripts with this interpreter, in a temporary directory, with the order of locks checked."""
    path = os.pathsep.join([str(PROJECT / "tests" / "support" / "checked_locks"), str(PROJECT)])
    return Scripts(tmp_path, environ={"PYTHONPATH": path})


@pytest.fixture
def ground() -> Iterator[KillingGround]:
    """Has children of a warm process killed."""
    ground = KillingGround()
    yield ground
    ground.close()
