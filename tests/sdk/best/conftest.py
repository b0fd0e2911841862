"""A place of each kind, of each test's own."""

from __future__ import annotations

from tests.support.two_places import place

__all__ = ["place"]
