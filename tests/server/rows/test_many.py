"""Many experiments at once: what their views have already is what each of them would read."""

from __future__ import annotations

import pytest

from ml_dash.server.rows import many
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import NOON, SECOND, TRAIN, Client, frame, numbers, run_row
from tests.support.statements import plans, statements


def experiments(client: Client, owner: str, count: int) -> list[str]:
    """Of some with rows in several blocks, of attempts that resume, or of nothing."""
    found = []
    for at in range(count):
        id_ = client.create(f"{owner}/p/{at}")
        if at % 3:
            client.stored(
                id_,
                *(
                    frame(1 + each, numbers(10 * each, 10), numbers(0, 3, TRAIN._replace(name="val")))
                    for each in range(at)
                ),
            )
        if at % 3 == 2:
            start = {"status": "RUNNING", "attempt": f"a{at}", "resume_from": 5}
            client.stored(
                id_, frame(1, run_row(NOON + 999 * SECOND, "start", **start), numbers(5, 4)), writer="f" * 30
            )
        found.append(id_)
    return found


@pytest.mark.sample(4)
@pytest.mark.parametrize("room", [16 << 20, 3000])
def test_views_of_many_tell_what_each_of_them_tells(
    server: EmbeddedServer, client: Client, owner: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is room for all that is little, and where there is not."""
    monkeypatch.setattr(many, "_ROOM_BYTES", room)
    ids = experiments(client, owner, 9)
    store = server.store
    assert store is not None
    for compacted in (False, True):
        if compacted:
            store.compactor.compact_all()
        views = store.views([*ids, "exp_" + "0" * 20], TRAIN)
        assert views.keys() == set(ids)
        for id_ in ids:
            alone = store.view(id_)
            for asked in ({}, {"start_index": 7, "limit": 9}, {"attempt": "all"}):
                assert views[id_].read(TRAIN, **asked) == alone.read(TRAIN, **asked), asked
            for x in ("step", "time"):
                drawn = [each.chart(TRAIN, "loss", x, 3.0, None, 50) for each in (views[id_], alone)]
                assert drawn[0] == drawn[1]
            # of another series nothing is known
            assert views[id_].stats(TRAIN._replace(name="val")) == alone.stats(TRAIN._replace(name="val"))


def test_statements_do_not_grow_with_the_experiments(
    server: EmbeddedServer, client: Client, owner: str
) -> None:
    store = server.store
    assert store is not None
    ids = [client.create(f"{owner}/q/{at}") for at in range(20)]
    for id_ in ids:
        client.stored(id_, frame(1, numbers(0, 10)))
    counts = []
    for some in (ids[:2], ids):
        with statements(store.database, "SELECT") as seen:
            for view in store.views(some, TRAIN).values():
                assert view.chart(TRAIN, "loss", "step", None, None, 50)["points"] == 10
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_blocks_are_found_by_an_index_however_many_others_there_are(
    server: EmbeddedServer, client: Client, owner: str
) -> None:
    store = server.store
    assert store is not None
    if store.database.dialect != "sqlite":
        pytest.skip("PostgreSQL reads a table as small as this one is in any case")
    ids = experiments(client, owner, 3)
    with plans(store.database) as found:
        store.views(ids, TRAIN)
        store.standings(ids)
    assert len(found) > 3
    assert [plan for plan in found if plan.startswith("SCAN") and "CONSTANT ROW" not in plan] == []


def test_statements_that_look_metrics_up_do_not_grow_with_them(
    server: EmbeddedServer, client: Client, owner: str
) -> None:
    store = server.store
    assert store is not None
    id_ = client.create(f"{owner}/r/run")
    several = [TRAIN._replace(name=f"m{at}") for at in range(30)]
    client.stored(id_, frame(1, *(numbers(0, 2, each) for each in several)))
    view = store.view(id_)
    with statements(store.database, "SELECT") as seen, view.reading() as rows:
        view.prepare([*several, TRAIN], 0)
        assert [rows.count(each) for each in (*several, TRAIN)] == [2] * 30 + [0]
    assert len(seen) == 1
