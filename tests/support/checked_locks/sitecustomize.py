"""Run by every interpreter that has this directory on its path: checks the order in which locks are taken."""

from __future__ import annotations

from tests.support.lock_order import install

install(fatal=True)
