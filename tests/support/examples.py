"""How many examples hypothesis makes up: all of them, or those that are enough for `make test`."""

from __future__ import annotations

import hypothesis

QUICK = "quick"
"""The profile of `make test`, which `tests/conftest.py` chooses; see `many`."""


def many(examples: int) -> int:
    """Return how many of so many examples are made up now: a fifth in `make test`, else all.

    A number that a test states for itself overrides the profile's, so that each has to be asked for here.
    """
    return max(5, examples // 5) if hypothesis.settings.get_current_profile_name() == QUICK else examples
