"""The one collection of the server's tables: the store's and the accounts'."""

from __future__ import annotations

from sqlalchemy import MetaData

__all__ = ["METADATA"]

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Constraints have names that do not depend on the database, so that a migration can refer to them."""
