"""Attempts at a server: whatever order the writers of several attempts are synced in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from ml_dash.journal.blocks import Block, Column
from ml_dash.series import Kind, Series
from ml_dash.server.runner import EmbeddedServer
from tests.support.attempts import RESUMED, A, B, C, attempt
from tests.support.serving import NOON, SECOND, TOKEN, TRAIN, Client, frame, numbers, run_row

SENT = {A: attempt(0, range(4), "FAILED"), B: attempt(100, range(2, 6), None), C: attempt(200, range(4, 8))}


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    "order", list(itertools.permutations([A, B, C])), ids=lambda order: "".join(w[-1] for w in order)
)
def test_attempts_are_told_apart_in_whatever_order_they_come(
    client: Client, owner: str, order: tuple[str, ...]
) -> None:
    experiment = client.create(f"{owner}/p/attempts")
    for writer in order:
        for each in SENT[writer]:
            client.stored(experiment, each, writer=writer)
    record = client.get(f"/experiments/{experiment}")
    assert (record["attempts"], record["status"], record["stale"], record["rows"]) == (
        3,
        "COMPLETED",
        False,
        12,
    )
    run = client.get(f"/experiments/{experiment}/run")
    assert (run["attempts"], run["status"], run["startedAt"]) == (3, "COMPLETED", record["startedAt"])


@pytest.mark.sample(3)
@pytest.mark.parametrize("order", list(itertools.permutations([A, B, C])), ids=str)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_newest_attempt_is_shown_for_a_step_in_whatever_order_they_come(
    client: Client, owner: str, order: tuple[str, ...], *, at_once: bool
) -> None:
    """Frame by frame, by turns, or writer by writer: rows keep the place at which they came."""
    experiment = client.create(f"{owner}/p/resumed")
    if at_once:
        for writer in order:
            client.stored(experiment, *RESUMED[writer], writer=writer)
    else:
        for turn in itertools.zip_longest(*(RESUMED[writer] for writer in order)):
            for writer, each in zip(order, turn, strict=True):
                if each is not None:
                    client.stored(experiment, each, writer=writer)

    def steps(**choice: str) -> list[int]:
        page = client.get(f"/experiments/{experiment}/metrics/rows", name="train", **choice)
        found = [row["data"]["step"] for row in page["data"]]
        stats = client.get(f"/experiments/{experiment}/metrics/stats", name="train", **choice)
        chart = client.get(
            f"/experiments/{experiment}/metrics/series", name="train", field="loss", x="step", **choice
        )
        assert (page["total"], stats["count"], chart["points"]) == (len(found), len(found), len(found))
        assert page.get("superseded") == stats.get("superseded") == chart.get("superseded")
        return sorted(found)

    assert steps() == list(range(8))
    assert (steps(attempt="1"), steps(attempt="2"), steps(attempt="3")) == (
        [0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7],
    )  # fmt: skip
    assert len(steps(attempt="all")) == 12
    told = client.get(f"/experiments/{experiment}/attempts")
    assert [(each["number"], each["status"], each["stale"], each["resumeFrom"]) for each in told["data"]] == [
        (3, "COMPLETED", False, 4), (2, "RUNNING", True, 2), (1, "FAILED", False, None),
    ]  # fmt: skip
    answer = client.ask("GET", f"/experiments/{experiment}/metrics/rows?name=train&attempt=4")
    assert (answer.status, answer.error["code"]) == (400, "invalid")


def test_rows_that_are_sent_anew_are_not_taken_for_those_that_were_removed(tmp_path: Path) -> None:
    """They have the same places; which of them are superseded is another question."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, deleted_age=0.0) as server:
        assert server.store is not None
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/p/n")

        def steps(order: Sequence[int]) -> list[int]:
            first = Block(TRAIN, [NOON + step for step in order], [Column("step", "i", None, list(order))])
            began = frame(1, run_row(NOON, "start", status="RUNNING"))
            client.stored(experiment, began, frame(2, first), writer=A)
            for each in RESUMED[B]:
                client.stored(experiment, each, writer=B)
            page = client.get(f"/experiments/{experiment}/metrics/rows", name="train")
            return [row["data"]["step"] for row in page["data"]]

        assert steps([0, 1, 2, 3]) == [0, 1, 2, 3, 4, 5]
        assert client.ask("DELETE", f"/experiments/{experiment}").status == 200
        assert server.store.purger.collect() == 1
        assert client.post("/experiments", {"prefix": "alice/p/n", "recreate": True}).status == 200
        assert steps([3, 2, 1, 0]) == [1, 0, 2, 3, 4, 5]


@pytest.mark.parametrize("looks_up", [False, True])
def test_an_attempt_that_begins_while_somebody_looks_at_others_is_in_nobodys_way(
    server: EmbeddedServer, client: Client, owner: str, *, looks_up: bool
) -> None:
    """Somebody knows of two attempts, or of their rows, when a third one begins: they see it, or what was before it."""
    experiment = client.create(f"{owner}/p/n")
    other = Series(Kind.METRIC, "val")
    for writer in (A, B):
        for each in RESUMED[writer][:2]:
            client.stored(experiment, each, writer=writer)
        client.stored(experiment, frame(3, numbers(0, 2, other)), writer=writer)
    assert server.store is not None
    view = server.store.view(experiment)

    def steps(series: Series) -> list[int]:
        with view.charting(series) as source:
            found = [
                step
                for _, block in source.shown.blocks()
                for each in block.columns
                if each.field == "step"
                for step in map(int, each.values)
            ]
            assert source.shown.count == len(found)
            return found

    if looks_up:
        view.prepare([TRAIN, other], 0)
    else:
        assert steps(TRAIN) == [0, 1, 2, 3, 4, 5]
    for each in RESUMED[C][:2]:
        client.stored(experiment, each, writer=C)
    client.stored(experiment, frame(3, numbers(0, 4, other)), writer=C)
    assert steps(TRAIN) == ([0, 1, 2, 3] if looks_up else [0, 1, 2, 3, 4, 5])
    assert steps(other) == ([0, 1, 0, 1] if looks_up else [0, 1, 0, 1, 0, 1, 2, 3])


def test_two_attempts_of_one_writer_in_one_request_are_told_apart(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/one")
    blocks = [
        run_row(NOON, "start"), numbers(0, 4), run_row(NOON + 50 * SECOND, "end"),
        run_row(NOON + 60 * SECOND, "start", resume_from=2), numbers(2, 4), run_row(NOON + 99 * SECOND, "end"),
    ]  # fmt: skip
    client.stored(experiment, *(frame(seq, block) for seq, block in enumerate(blocks, 1)))
    page = client.get(f"/experiments/{experiment}/metrics/rows", name="train")
    assert [row["index"] for row in page["data"]] == [0, 1, 4, 5, 6, 7]


def test_ranks_whose_lives_overlap_become_one_when_that_is_seen(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/ranks")
    for writer, at in ((A, 0), (B, 1), (C, 2)):
        client.stored(experiment, *attempt(at, range(3), None), writer=writer)
    assert client.get(f"/experiments/{experiment}")["attempts"] == 3
    for writer in (A, B):
        client.stored(experiment, frame(3, run_row(NOON + 30 * SECOND, "heartbeat")), writer=writer)
    record = client.get(f"/experiments/{experiment}")
    assert (record["attempts"], record["status"]) == (1, "RUNNING")
