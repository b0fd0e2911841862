"""What a database has is there after a migration, forth and back."""

from __future__ import annotations

import os
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from ml_dash.server.db import migrate
from ml_dash.server.db.tables import EXPERIMENTS, METRIC_FIELDS, PARAMS, TAGS
from ml_dash.server.store import Store

_IDS = ["exp_" + "0" * 20, "exp_abcdefgh" + "z" * 12, "exp_zzzzzzzz0123456789ab"]


def _go_to(store: Store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", os.path.join(os.path.dirname(migrate.__file__), "migrations"))
    config.set_main_option("path_separator", "os")
    with store.database.write() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if revision == "head" else command.downgrade)(config, revision)
    # connections that have prepared statements for the tables of before
    store.database.engine.dispose()


def _all(store: Store) -> dict[str, list[Any]]:
    tables = (EXPERIMENTS, TAGS, PARAMS, METRIC_FIELDS)
    with store.database.read() as connection:
        return {table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in tables}


def test_experiments_are_known_by_numbers_forth_and_back(store: Store) -> None:
    """Whatever an older version has stored of tags, parameters and metrics is there afterwards, of the same ones."""
    names = ("owner", "project", "folder", "name", "words")
    with store.database.write() as connection:
        for at, id_ in enumerate(_IDS):
            own = {
                "id": id_,
                "prefix": f"a/b/{at}",
                **dict.fromkeys(names, f"n{at}"),
                "tags": [],
                "bindrs": [],
            }
            connection.execute(insert(EXPERIMENTS), {**own, "created_ns": 1, "updated_ns": 1, "rows": 0})
            connection.execute(insert(TAGS), {"experiment_id": id_, "tag": f"T{at}", "folded": f"t{at}"})
            connection.execute(
                insert(PARAMS),
                {
                    "experiment_id": id_,
                    "place": 0,
                    "full_name": "lr",
                    "value": at,
                    "name": "lr",
                    "number": at,
                },
            )
            field = {"series": 1, "place": 0, "metric": "val", "field": "acc", "count": 3, "last": at}
            connection.execute(insert(METRIC_FIELDS), {"experiment_id": id_, **field})
    before = _all(store)
    _go_to(store, "0017")
    with store.database.read() as connection:
        for table, column in (("params", "number"), ("metric_fields", "last")):
            query = text(f"SELECT experiment_id, {column} FROM {table} ORDER BY {column}")
            assert [tuple(row) for row in connection.execute(query)] == [
                (id_, float(at)) for at, id_ in enumerate(_IDS)
            ]
        tagged = connection.execute(text("SELECT experiment_id FROM experiment_tags ORDER BY folded"))
        assert tagged.scalars().all() == _IDS
    _go_to(store, "head")
    assert _all(store) == before


def test_two_experiments_of_one_number_are_refused(store: Store) -> None:
    """The second half of an id is what lists know it by; whoever draws one that there is draws another one."""
    own = {"owner": "a", "project": "b", "folder": "", "name": "c", "words": "", "tags": [], "bindrs": []}
    rest = {**own, "created_ns": 1, "updated_ns": 1, "rows": 0}
    ids = "exp_aaaaaaaa000000000001", "exp_bbbbbbbb000000000001"
    with pytest.raises(IntegrityError), store.database.write() as connection:
        connection.execute(insert(EXPERIMENTS), [{"id": id_, "prefix": id_, **rest} for id_ in ids])
