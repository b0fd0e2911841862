"""Thousands of small runs: what comes together is stored by few statements, and is what one by one would be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from ml_dash.identity import Identity
from ml_dash.protocol import WRITERS_HEADER
from ml_dash.series import Kind
from ml_dash.server.catalogue.kept import Kept
from ml_dash.server.catalogue.records import Description, Introduction
from ml_dash.server.catalogue.run_status import RunNews
from ml_dash.server.db.tables import EXPERIMENTS, OPENINGS, SERIES, TAGS, WRITERS
from ml_dash.server.errors import ApiError
from ml_dash.server.ingest import append as append_module
from ml_dash.server.ingest.append import Appended
from ml_dash.server.ingest.frames import parse_frames
from ml_dash.server.ingest.prepare import NewRows, prepare
from ml_dash.server.store import Store
from tests.support.serving import (
    NOON,
    PARAMS as PARAMS_SERIES,
    SECOND,
    TESTER,
    WRITER,
    Client,
    expected,
    frame,
    frames,
    numbers,
    objects,
    run_row,
)
from tests.support.statements import statements

SEEDS = 40


def introduction(name: str, **about: Any) -> Introduction:
    return Introduction(Identity("alice", "p", "", name), Description(**about))


def prepared(store: Store, experiment: str, *sent: bytes, writer: str = WRITER) -> NewRows:
    body = b"".join(sent)
    parsed = parse_frames(body)
    assert parsed.problem is None
    return prepare(
        experiment,
        writer,
        body,
        parsed.frames,
        objects=store.objects,
        object_bytes=store.settings.object_bytes,
    )


def together(store: Store, *asked: NewRows | Introduction) -> list[Any]:
    """What becomes of requests that share a commit."""
    return [outcome.result for outcome in store.ingest.commits._try_to_store(asked)]


# --- introductions


def test_new_experiments_and_frames_share_a_commit_and_what_there_is_is_left_to_others(store: Store) -> None:
    known = store.experiments.upsert(introduction("known", tags=("old",)))
    gone = store.experiments.upsert(introduction("gone"))
    moved = store.experiments.upsert(introduction("moved"))
    store.verbs.delete(gone["id"], TESTER, unless_running=False)
    store.verbs.move(moved["id"], TESTER, Identity("alice", "p", "", "elsewhere"))
    before = store.database.commits
    rows = prepared(store, known["id"], *frames(1, 2))
    again = introduction("a", readme="another one of this name")
    asked: list[NewRows | Introduction] = [
        introduction("a", tags=("x", "y"), readme="why", metadata={"seed": 7}),
        introduction("known", tags=("new",)),
        again,
        rows,
        introduction("gone"),
        introduction("moved"),
        introduction("b"),
    ]
    first, same, second, stored, deleted, former, last = together(store, *asked)
    assert store.database.commits == before + 1
    assert (same, second, deleted, former) == (None, None, None, None)
    assert isinstance(stored, Appended)
    assert stored.stored
    for record, name in ((first, "a"), (last, "b")):
        assert (record["name"], record["created"], record["watermarks"], record["latestNs"]) == (
            name,
            True,
            {},
            None,
        )
        alone = {key: value for key, value in record.items() if key in store.experiments.record(record["id"])}
        assert alone == store.experiments.record(record["id"])
    assert (first["tags"], first["readme"], first["metadata"]) == (["x", "y"], "why", {"seed": 7})
    assert store.experiments.record(known["id"])["tags"] == ["old"]
    with store.database.read() as connection:
        tagged = connection.execute(select(TAGS.c.tag).where(TAGS.c.experiment_id == first["id"])).scalars()
        assert sorted(tagged) == ["x", "y"]
    # those that it has not created go the way of one that is there, deleted or moved
    assert store.experiments.upsert(again)["id"] == first["id"]
    assert store.experiments.record(first["id"])["readme"] == "another one of this name"


def test_one_that_cannot_be_stored_does_not_fail_the_others(store: Store) -> None:
    known = store.experiments.upsert(introduction("known"))["id"]
    bad = introduction("bad", metadata={"x": 2**70})
    results = together(store, introduction("a"), bad, prepared(store, known, *frames(1, 2)))
    assert results[0]["created"]
    assert isinstance(results[1], ApiError)
    assert results[2].stored


def test_what_a_transaction_has_noted_that_failed_is_no_matter_to_introductions(store: Store) -> None:
    """Or a later commit of rows would go on from summaries that were never stored."""
    key = "exp_0", int(Kind.METRIC), b"train"
    known = store.ingest.commits._known
    known.note(key, 5, Kept(7, {}))
    (record,) = together(store, introduction("a"))
    assert record["created"]
    assert known.take(key, 5) is None


def test_the_number_of_statements_does_not_grow_with_that_of_the_runs(store: Store) -> None:
    """A dozen questions for each, as of a run that goes on, would be most of what a small run costs."""

    def whole(number: int) -> list[bytes]:
        rows = numbers(0, 20)
        params = objects(PARAMS_SERIES, [(NOON, {"set": {"lr": number}})])
        return [
            frame(1, run_row(NOON, "start"), params, rows),
            frame(2, run_row(NOON + SECOND, "end", status="COMPLETED")),
        ]

    counts = []
    for some in (range(2), range(10, 30)):
        with statements(store.database) as found:
            records = together(store, *(introduction(f"run{number}") for number in some))
            together(
                store,
                *(
                    prepared(store, each["id"], *whole(number))
                    for each, number in zip(records, some, strict=True)
                ),
            )
        counts.append(len(found))
        for each in records:
            record = store.experiments.record(each["id"])
            assert (record["status"], record["attempts"], record["rows"]) == ("COMPLETED", 1, 20)
    assert counts[0] == counts[1] < 25


async def test_introduced_by_many_at_once_there_is_one_of_each_name(store: Store) -> None:
    """Whoever comes second is told of the first one's, by its id, and what it says is stored."""
    store.ingest.start()
    try:
        asked = [introduction(f"run{number % 20}", tags=(f"t{number}",)) for number in range(60)]
        found = await asyncio.gather(*(store.ingest.introduce(each, is_large=False) for each in asked))
    finally:
        store.ingest.stop()
    ids: dict[str, set[str]] = {}
    for each in found:
        ids.setdefault(each["name"], set()).add(each["id"])
    assert len(ids) == 20
    assert all(len(its) == 1 for its in ids.values())
    assert sum(each["created"] for each in found) == 20
    with store.database.read() as connection:
        assert len(connection.execute(select(EXPERIMENTS.c.id)).all()) == 20


def test_frames_of_a_new_experiment_that_another_server_has_taken_are_told_and_not_stored_again(
    client: Client, owner: str, server: Any
) -> None:
    """This one believes that there are none yet; the database knows better."""
    created = client.post("/experiments", {"prefix": f"{owner}/p/n"}, **{WRITERS_HEADER: WRITER})
    experiment = created.body["id"]
    assert server.store is not None
    # as by another process on the same database: past what this one remembers
    together(server.store, prepared(server.store, experiment, *frames(1, 2)))
    assert client.stored(experiment, *frames(1, 3)) == 3
    assert client.rows(experiment) == expected(0, 3)


# --- first runs


def told(seed: int) -> list[tuple[str, bytes]]:
    """Requests of several writers of one experiment, in the order in which they come."""
    draw = random.Random(seed)
    writers = [f"{NOON + at:016x}-1-0000000{at}" for at in range(draw.randint(1, 3))]
    seqs = dict.fromkeys(writers, 0)
    found = []
    for _ in range(draw.randint(1, 8)):
        writer = draw.choice(writers)
        blocks = []
        for _ in range(draw.randint(0, 3)):
            what: dict[str, Any] = {"handle": draw.choice(["h", "g"]), "host": draw.choice(["a", "b"])}
            name = draw.choice(["start", "start", "end", "heartbeat", "update"])
            if draw.random() < 0.5:
                what["attempt"] = draw.choice(["x", "y"])
            if name == "start":
                what |= {"status": "RUNNING", "again": draw.random() < 0.3}
                if draw.random() < 0.2:
                    what["resume_from"] = draw.randint(0, 5)
            elif name == "end":
                what |= {"status": draw.choice(["COMPLETED", "FAILED"]), "error": draw.choice([None, "no"])}
            blocks.append(run_row(NOON + draw.randint(0, 6) * SECOND, name, **what))
            if draw.random() < 0.5:
                blocks.append(numbers(draw.randint(0, 9), 2))
        seqs[writer] += 1
        found.append((writer, frame(seqs[writer], *blocks)))
    return found


def outcomes(store: Store, name: str, stories: Sequence[Sequence[tuple[str, bytes]]]) -> list[Any]:
    """What the database has of experiments to which this was sent, all in one commit."""
    records = together(store, *(introduction(f"{name}{number}") for number in range(len(stories))))
    ids = [each["id"] for each in records]
    requests = [
        prepared(store, id_, body, writer=writer)
        for id_, sent in zip(ids, stories, strict=True)
        for writer, body in sent
    ]
    assert all(each.stored for each in together(store, *requests))
    passing = ("experiment_id", "id", "number", "prefix", "name", "words", "changed", "received_ns")
    with store.database.read() as connection:
        return [
            [
                [
                    {key: value for key, value in row.items() if key not in passing}
                    for row in connection.execute(
                        select(table).where(column == id_).order_by(*table.primary_key)
                    ).mappings()
                ]
                for table, column in (
                    (OPENINGS, OPENINGS.c.experiment_id),
                    (WRITERS, WRITERS.c.experiment_id),
                    (SERIES, SERIES.c.experiment_id),
                    (EXPERIMENTS, EXPERIMENTS.c.id),
                )
            ]
            for id_ in ids
        ]


@pytest.mark.slow
def test_first_runs_are_what_questions_would_have_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is started, ended, named, resumed or lost in whatever order."""
    now = store.clock.time_ns()
    monkeypatch.setattr(type(store.clock), "time_ns", lambda _self: now)
    stories = [told(seed) for seed in range(SEEDS)]
    found = outcomes(store, "quick", stories)
    monkeypatch.setattr(append_module._Batch, "_new_runs", lambda self, id_: RunNews(self._connection, id_))
    for seed, (quick, asked) in enumerate(zip(found, outcomes(store, "asked", stories), strict=True)):
        assert quick == asked, seed
    assert sum(each[3][0]["attempts"] > 1 for each in found) > SEEDS // 5, "or nothing is told apart"


def test_what_comes_behind_first_runs_goes_on_with_them(store: Store) -> None:
    experiment = str(store.experiments.upsert(introduction("n"))["id"])
    other = f"{NOON:016x}-2-00000001"
    together(store, prepared(store, experiment, frame(1, run_row(NOON, "start", status="RUNNING"))))
    together(
        store,
        prepared(
            store, experiment, frame(1, run_row(NOON + SECOND, "start", status="RUNNING")), writer=other
        ),
    )
    end = frame(2, run_row(NOON + 2 * SECOND, "end", status="FAILED"))
    together(store, prepared(store, experiment, end))
    with store.database.read() as connection:
        rows = connection.execute(
            select(OPENINGS.c.number, OPENINGS.c.attempt, OPENINGS.c.event).order_by(OPENINGS.c.number)
        ).all()
        kinds = connection.execute(select(SERIES.c.kind)).scalars().all()
    assert rows == [(1, 1, "end"), (2, 1, "start")]
    assert set(kinds) == {int(Kind.RUN)}
