"""What `ml-dash import mlflow` is given: a directory, a database, or a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError
from ml_dash.importers.mlflow.file_store import file_runs
from ml_dash.importers.mlflow.server import Server
from ml_dash.importers.mlflow.sql_store import sql_runs

if TYPE_CHECKING:
    from ml_dash.importers.mlflow.runs import MlflowRun
    from ml_dash.importers.source import UnreadableRun

_SQLITE, _FILE = "sqlite:///", "file://"


class Mlflow:
    """The runs of a store.

    Args:
        where: A tracking URI (``http://…``, ``sqlite:///…``, ``file://…``), a directory such as ``mlruns``, a database
            such as ``mlflow.db``, or the directory that either is in.
    """

    name = "mlflow"

    def __init__(self, where: str) -> None:
        self._where = where

    def runs(self) -> list[MlflowRun | UnreadableRun]:
        """See `Source.runs`."""
        where = self._where
        if where.startswith(("http://", "https://")):
            found: list[MlflowRun | UnreadableRun] = [*Server(where).runs()]
        else:
            path = where.removeprefix(_SQLITE).removeprefix(_FILE)
            found = _at(path)
        if not found:
            raise InvalidArgumentError(
                f"there is no run of MLflow in {where!r}: name the directory mlruns, a database as mlflow.db, or the "
                "address of a server"
            )
        return found


def _at(path: str) -> list[MlflowRun | UnreadableRun]:
    if os.path.isfile(path):
        return sql_runs(path)
    found = file_runs(path)
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            if name.endswith((".db", ".sqlite")) and os.path.isfile(os.path.join(path, name)):
                found += sql_runs(os.path.join(path, name))
    return found
