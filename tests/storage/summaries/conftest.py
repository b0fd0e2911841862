"""Whatever a test has opened is closed behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storage.summaries.looks import OPEN


@pytest.fixture(autouse=True)
def closed_behind() -> Iterator[None]:
    """Close the summaries that a test has opened."""
    yield
    while OPEN:
        OPEN.pop().close()
