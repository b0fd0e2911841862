"""What lists are sorted and filtered by is what the rows amount to, in whatever order they came."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from sqlalchemy import select, text, update

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.listing.summary import FieldSummary, summarized
from ml_dash.series import Kind, Series
from ml_dash.server.catalogue import kept as keeping
from ml_dash.server.catalogue.kept import unpack
from ml_dash.server.db.tables import METRIC_FIELDS, NAMES, PARAMS, SERIES, number_of
from ml_dash.server.rows import lists
from ml_dash.server.rows.index import StoreIndex
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.attempts import RESUMED
from tests.support.serving import (
    NOON,
    PARAMS as PARAMS_SERIES,
    SECOND,
    TRAIN,
    Client,
    frame,
    numbers,
    objects,
    run_row,
)

WRITERS = [f"{NOON + at * SECOND:016x}-1f-{at:08x}" for at in (0, 100, 200)]


@pytest.fixture
def stored(server: EmbeddedServer) -> Store:
    assert server.store is not None
    return server.store


def kept_of(store: Store, experiment: str, series: Series = TRAIN) -> dict[str, FieldSummary]:
    """What is kept of a metric, once it is brought up to date."""
    assert store.lists.bring_in()
    with store.database.read() as connection:
        row = connection.execute(
            select(SERIES).where(
                SERIES.c.experiment_id == experiment, SERIES.c.kind == 1, SERIES.c.name == b"=train"
            )
        ).one()
    assert (row.summary_rows, row.unlisted) == (row.rows, False)
    return unpack(row.summary_rows, row.summary).fields


def of_rows(store: Store, experiment: str, series: Series = TRAIN) -> dict[str, FieldSummary]:
    """What the rows amount to that a reader is shown."""
    shown = store.view(experiment).shown(series)
    return summarized(shown.blocks())


def listed(store: Store, experiment: str) -> dict[str, Any]:
    """The rows that lists are sorted by, by the names of the fields."""
    with store.database.read() as connection:
        rows = connection.execute(
            select(METRIC_FIELDS)
            .where(METRIC_FIELDS.c.experiment_id == experiment)
            .order_by(METRIC_FIELDS.c.place)
        ).all()
    return {f"{row.metric}/{row.field}": row for row in rows}


def test_a_summary_is_merged_as_rows_come_and_no_row_is_read(
    client: Client, experiment: str, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("rows are read")

    # of the other experiments of this server
    assert stored.lists.bring_in()
    monkeypatch.setattr(StoreIndex, "blocks", refuse)
    values = [3.0, math.nan, 1.0, 2.0, math.inf]
    for seq, value in enumerate(values, 1):
        client.stored(
            experiment, frame(seq, Block(TRAIN, [NOON + seq], [Column("loss", "f", None, [value])]))
        )
    # what comes again counts once
    client.stored(experiment, frame(5, Block(TRAIN, [NOON + 5], [Column("loss", "f", None, [values[4]])])))
    found = kept_of(stored, experiment)["loss"]
    assert found == FieldSummary(5, 1, 3.0, math.inf, 1.0, math.inf, math.inf, 0, 4, 2, 4)
    row = listed(stored, experiment)["train/loss"]
    assert (row.count, row.first, row.last, row.min, row.max, row.mean) == (
        5,
        3.0,
        math.inf,
        1.0,
        math.inf,
        math.inf,
    )


@pytest.mark.sample(4)
@pytest.mark.parametrize("order", list(itertools.permutations(WRITERS)), ids=str)
@pytest.mark.parametrize("in_turns", [True, False])
def test_rows_that_a_later_attempt_supersedes_do_not_count(
    client: Client, owner: str, stored: Store, order: tuple[str, ...], *, in_turns: bool
) -> None:
    experiment = client.create(f"{owner}/p/resumed")
    if in_turns:
        for turn in itertools.zip_longest(*(RESUMED[writer] for writer in order)):
            for writer, each in zip(order, turn, strict=True):
                if each is not None:
                    client.stored(experiment, each, writer=writer)
                    assert kept_of_or_nothing(stored, experiment) == of_rows(stored, experiment)
    else:
        for writer in order:
            client.stored(experiment, *RESUMED[writer], writer=writer)
    assert kept_of(stored, experiment) == of_rows(stored, experiment)
    row = listed(stored, experiment)["train/loss"]
    assert (row.count, row.min, row.max) == (8, 0.0, 3.5)


def kept_of_or_nothing(store: Store, experiment: str) -> dict[str, FieldSummary]:
    try:
        return kept_of(store, experiment)
    except Exception as error:
        if type(error).__name__ == "NoResultFound":
            return {}
        raise


BLOCKS = {
    "numbers and steps": [numbers(0, 3), numbers(3, 40)],
    "no steps": [Block(TRAIN, [NOON], [Column("a", "i", None, [number])]) for number in (7, 3)],
    "a step here and there": [
        Block(TRAIN, [NOON, NOON], [Column("a", "f", None, [1.0, 0.5]), Column("step", "i", [1], [10])]),
        Block(TRAIN, [NOON], [Column("a", "f", None, [0.25])]),
    ],
    "steps that are NaN": [
        Block(TRAIN, [NOON, NOON], [Column("a", "f", None, [1.0, 0.5]), Column("step", "f", None, [math.nan, 2.0])]),
    ],
    "texts, bools, dicts and None": [
        objects(TRAIN, [(NOON, {"phase": "warm", "ok": True, "d": {"x": 1, "y": {"z": 2.5}}, "n": None})]),
        objects(TRAIN, [(NOON, {"phase": "é" * 3000, "ok": False, "d": {"x": 2**63}, "n": [1]})]),
    ],
    "a field of several types": [
        objects(TRAIN, [(NOON, {"a": 1}), (NOON, {"a": "x"}), (NOON, {"a": 2.5})]),
        objects(TRAIN, [(NOON, {"a": None})]),
    ],
}  # fmt: skip


@pytest.mark.sample(3)
@pytest.mark.parametrize("case", BLOCKS)
@pytest.mark.parametrize("in_one", [True, False])
def test_whatever_is_logged_is_kept_as_it_is_read(
    client: Client, experiment: str, stored: Store, case: str, *, in_one: bool
) -> None:
    found = [frame(seq, block) for seq, block in enumerate(BLOCKS[case], 1)]
    if in_one:
        client.stored(experiment, *found)
    else:
        for each in found:
            client.stored(experiment, each)
    assert kept_of(stored, experiment) == of_rows(stored, experiment)


def test_a_metric_with_very_many_fields_is_read_later(
    client: Client, experiment: str, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MERGED_FIELDS", 3)
    monkeypatch.setattr(keeping, "FIELDS_MAX", 5)
    for seq in range(1, 4):
        block = objects(TRAIN, [(NOON, {f"f{at}": seq * at for at in range(2 * seq)})])
        client.stored(experiment, frame(seq, block))
    found = kept_of(stored, experiment)
    assert list(found) == ["f0", "f1", "f2", "f3"]
    assert found["f3"] == of_rows(stored, experiment)["f3"]


def test_what_an_older_version_has_stored_is_read_once(
    client: Client, owner: str, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_ROWS_AT_ONCE", 7)
    ids = [client.create(f"{owner}/p/{name}") for name in ("one", "two")]
    for id_ in ids:
        client.stored(
            id_, frame(1, numbers(0, 20)), frame(2, objects(PARAMS_SERIES, [(NOON, {"set": {"lr": 0.1}})]))
        )
    assert stored.lists.bring_in()
    with stored.database.write() as connection:
        own = SERIES.c.experiment_id.in_(ids)
        connection.execute(update(SERIES).where(own).values(summary=None, summary_rows=0, unlisted=True))
        for table in (PARAMS, METRIC_FIELDS):
            connection.execute(table.delete().where(table.c.experiment_id.in_(ids)))
    client.stored(ids[0], frame(3, numbers(20, 5)))
    assert not stored.lists.bring_in(rows=10), "there is more to read than that"
    assert not stored.lists.bring_in(seconds=0), "nor may it take its time"
    for id_ in ids:
        assert kept_of(stored, id_) == of_rows(stored, id_)
    with stored.database.read() as connection:
        found = connection.execute(
            select(PARAMS.c.full_name, PARAMS.c.number).where(PARAMS.c.experiment_id.in_(ids))
        )
        assert found.all() == [("lr", 0.1)] * 2


def test_parameters_are_there_whatever_metrics_take_and_whoever_else_has_stored_any(
    client: Client, owner: str, stored: Store
) -> None:
    """A table that shows a page of runs lacks no parameter of theirs because others have sent a million rows."""
    ids = [client.create(f"{owner}/p/{name}") for name in ("one", "two", "other")]
    for id_ in ids:
        client.stored(
            id_, frame(1, numbers(0, 20)), frame(2, objects(PARAMS_SERIES, [(NOON, {"set": {"lr": 0.1}})]))
        )
    assert stored.lists.bring_in()
    with stored.database.write() as connection:
        own = SERIES.c.experiment_id.in_(ids)
        connection.execute(update(SERIES).where(own).values(summary=None, summary_rows=0, unlisted=True))
        connection.execute(PARAMS.delete().where(PARAMS.c.experiment_id.in_(ids)))
    assert not stored.lists.bring_in(seconds=0, ids=ids[:2]), "metrics were not read"
    with stored.database.read() as connection:
        named = select(PARAMS.c.experiment_id).where(PARAMS.c.experiment_id.in_(ids)).distinct()
        assert sorted(connection.execute(named).scalars()) == sorted(map(number_of, ids[:2]))
        waiting = select(SERIES.c.experiment_id, SERIES.c.kind).where(own, SERIES.c.unlisted)
        kinds = sorted((ids.index(id_), kind) for id_, kind in connection.execute(waiting))
    assert kinds == [(0, 1), (1, 1), (2, 1), (2, int(PARAMS_SERIES.kind))]
    assert stored.lists.bring_in(rows=None, ids=ids[:2])
    assert [each["params"] for each in stored.values(ids, [], None)] == [{"lr": 0.1}] * 3


def test_parameters_are_those_that_a_reader_finds(client: Client, experiment: str, stored: Store) -> None:
    """Late ones of another writer, with older times, too."""
    sets: list[tuple[str, int, dict[str, Any]]] = [
        (
            "a",
            10,
            {
                "set": {
                    "lr": 0.1,
                    "model.layers": [64, 64],
                    "name": "Adam",
                    "long" * 300: 1,
                    "é\0\ud800": "ß\0",
                }
            },
        ),
        ("b", 5, {"set": {"lr": 0.2, "seed": 2**63, "flag": True, "nothing": None}}),
        ("a", 20, {"set": {"model": "tiny"}}),
        ("b", 30, {"clear": True, "set": {"lr": math.nan, "betas": {}}}),
    ]
    seqs = {"a": itertools.count(1), "b": itertools.count(1)}
    for writer, at, row in sets:
        block = objects(PARAMS_SERIES, [(NOON + at, row)])
        client.stored(experiment, frame(next(seqs[writer]), block), writer=f"{at_of(writer)}")
        assert stored.lists.bring_in()
        expected = stored.view(experiment).params()
        with stored.database.read() as connection:
            rows = connection.execute(
                select(PARAMS).where(PARAMS.c.experiment_id == experiment).order_by(PARAMS.c.place)
            ).all()
        assert repr({each.full_name: each.value for each in rows}) == repr(expected)
    assert {each.name: (each.number, each.text) for each in rows} == {
        "lr": (None, "nan"),
        "betas": (None, "{}"),
    }
    with stored.database.read() as connection:
        is_number = dict(
            connection.execute(select(NAMES.c.name, NAMES.c.is_number).where(NAMES.c.is_param)).all()
        )
    assert (is_number["lr"], is_number["name"], is_number["model"], "long" * 300 in is_number) == (
        True, False, False, False,
    )  # fmt: skip


def at_of(writer: str) -> str:
    return WRITERS["ab".index(writer)]


def test_what_changed_is_found_by_an_index(stored: Store) -> None:
    """However many series there are: nobody looks at those that are listed already."""
    if stored.database.dialect != "sqlite":
        pytest.skip("of PostgreSQL the plan depends on how much is there")
    with stored.database.read() as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT number FROM series WHERE unlisted AND (experiment_id, number) > ('', 0)"
            )
        ).all()
    assert "ix_series_unlisted" in str(plan)


def test_a_deleted_experiment_comes_back_with_all_that_is_kept(
    client: Client, owner: str, stored: Store
) -> None:
    experiment = client.create(f"{owner}/p/deleted")
    client.stored(experiment, frame(1, numbers(0, 3)))
    client.ask("DELETE", f"/experiments/{experiment}")
    assert stored.lists.bring_in()
    client.create(f"{owner}/p/deleted", recreate=True)
    client.stored(experiment, frame(2, run_row(NOON, "start"), numbers(3, 3)))
    assert kept_of(stored, experiment) == of_rows(stored, experiment)
    assert set(Kind) >= {Kind.METRIC, Kind.PARAMS}
