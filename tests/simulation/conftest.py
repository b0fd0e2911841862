"""Tests here check the order in which locks are taken."""

from __future__ import annotations

from tests.support.lock_order_fixture import order_of_locks

__all__ = ["order_of_locks"]
