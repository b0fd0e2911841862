"""A fixture that checks the order in which locks are taken, for the conftest of a folder of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lock_order import VIOLATIONS, install, uninstall

__all__ = ["order_of_locks"]


@pytest.fixture(autouse=True)
def order_of_locks() -> Iterator[None]:
    """Check the locks that are made in this test, in all threads."""
    install()
    VIOLATIONS.clear()
    try:
        yield
    finally:
        uninstall()
    assert VIOLATIONS == []
