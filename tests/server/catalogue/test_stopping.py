"""Requests to stop at a server: for the newest attempt alone, told to its writers, and seen by them or taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import NOON, SECOND, TOKEN, Answer, Client, frame, numbers, run_row

OTHER = "0123456789abcdef-1f-00000000"
A, B = "a" * 16, "b" * 16


def start(seq: int, name: str = A, *, at: int = 0, **more: Any) -> bytes:
    return frame(seq, run_row(NOON + at, "start", status="RUNNING", attempt=name, **more))


def end(seq: int, *, at: int) -> bytes:
    return frame(seq, run_row(NOON + at, "end", status="COMPLETED"))


def seen(seq: int, *, at: int, name: Any = A, **more: Any) -> bytes:
    return frame(seq, run_row(NOON + at, "heartbeat", stop={"attempt": name, **more}))


def ask(client: Client, experiment: str, **given: Any) -> Answer:
    return client.post(f"/experiments/{experiment}/stop", given)


def told(client: Client, experiment: str, *frames: bytes, **how: Any) -> Any:
    """The names of the attempt that a writer is told is to stop; None where it is told nothing."""
    stop = client.send(experiment, *frames, **how).body.get("stop")
    return stop and stop["attempts"]


def test_who_sends_frames_is_told_in_the_answer(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    assert told(client, experiment, start(1)) is None
    asked = ask(client, experiment, reason="NaN")
    stop = asked.body["stop"]
    assert (asked.status, stop["reason"], stop["seenAt"]) == (200, "NaN", None)
    assert stop["by"]
    assert told(client, experiment, frame(2, numbers(0, 3))) == [A]
    assert told(client, experiment) == [A], "a request without frames asks"
    assert told(client, experiment, frame(2, numbers(0, 3))) == [A], "what came before is answered so, too"
    introduced = client.post("/experiments", {"prefix": f"{owner}/p/n"}).body
    assert introduced["stop"] == {**stop, "attempts": [A], "atNs": introduced["stop"]["atNs"]}
    listed = client.get("/experiments", owner=owner)["data"]
    assert [each["stop"] for each in listed] == [stop]

    again = ask(client, experiment, reason="another one")
    assert again.body["stop"] == stop, "the first one stands"
    assert ask(client, experiment, cancel=True).body["stop"] is None
    assert ask(client, experiment, cancel=True).status == 200, "once more does no harm"
    assert told(client, experiment) is None
    changes = client.get(f"/experiments/{experiment}/history")["data"]
    assert [(each["action"], each["details"]) for each in changes] == [
        ("stop", {"cancel": True}),
        ("stop", {"reason": "NaN"}),
    ]


@pytest.mark.parametrize("is_large", [False, True])
def test_a_new_attempt_is_not_meant_and_a_process_more_of_the_same_is(
    client: Client, owner: str, is_large: bool
) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, start(1))
    ask(client, experiment)
    # on another machine, of a client that could not know of the first one: they overlap, as is known later
    assert told(client, experiment, start(1, B, at=SECOND), writer=OTHER) is None
    assert told(client, experiment, frame(2, run_row(NOON + 2 * SECOND, "heartbeat"))) == [A, B]
    assert told(client, experiment, writer=OTHER) == [A, B]
    client.stored(experiment, end(3, at=2 * SECOND))
    assert told(client, experiment, end(2, at=3 * SECOND), writer=OTHER) == [A, B], (
        "it has ended, and not another one"
    )
    filler = [numbers(1, 5000)] if is_large else []
    begins = frame(4, run_row(NOON + 9 * SECOND, "start", status="RUNNING", attempt="c"), *filler)
    assert told(client, experiment, begins) is None
    assert client.get(f"/experiments/{experiment}")["stop"] is None
    assert ask(client, experiment).body["stop"]["seenAt"] is None
    assert told(client, experiment) == ["c"]


def test_what_has_ended_is_not_asked(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    for frames in ([], [start(1), end(2, at=SECOND)]):
        client.stored(experiment, *frames)
        refused = ask(client, experiment)
        assert (refused.status, refused.error["code"]) == (409, "not_stopped")
    assert client.get(f"/experiments/{experiment}/history")["data"] == []


def test_what_was_seen_is_told_and_not_taken_back(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, start(1))
    ask(client, experiment, reason="r")
    client.stored(experiment, seen(2, at=5 * SECOND, asked_ns=1, by="somebody else"))
    stop = client.get(f"/experiments/{experiment}")["stop"]
    assert (stop["reason"], stop["seenAt"]) == ("r", "2023-11-14T22:13:25.000000Z")
    assert stop["by"] != "somebody else"
    refused = ask(client, experiment, cancel=True)
    assert (refused.status, refused.error["code"]) == (409, "not_stopped")
    client.stored(experiment, seen(3, at=6 * SECOND))
    assert client.get(f"/experiments/{experiment}")["stop"] == stop, "when it was seen first"
    client.stored(experiment, frame(4, run_row(NOON + 7 * SECOND, "end", status="CANCELLED")))
    record = client.get(f"/experiments/{experiment}")
    assert (record["status"], record["stop"]) == ("CANCELLED", stop)


@pytest.mark.parametrize("together", [True, False])
def test_a_request_that_was_made_on_the_runs_own_disk_is_known_by_what_it_says(
    client: Client, owner: str, together: bool
) -> None:
    """As of a run without a network, whose journal comes when it has ended: all at once, or bit by bit."""
    experiment = client.create(f"{owner}/p/n")
    frames = [start(1), seen(2, at=9 * SECOND, asked_ns=NOON, by="ann", reason="why"), end(3, at=10 * SECOND)]
    for part in [frames] if together else [[each] for each in frames]:
        client.stored(experiment, *part)
    assert client.get(f"/experiments/{experiment}")["stop"] == {
        "at": "2023-11-14T22:13:20.000000Z",
        "by": "ann",
        "reason": "why",
        "seenAt": "2023-11-14T22:13:29.000000Z",
    }


@pytest.mark.parametrize(
    "stop",
    [
        {"attempt": B},
        {"attempt": ["x"]},
        {"attempt": None},
        {},
        "stop",
        {"attempt": A, "asked_ns": "x", "by": 7, "reason": [1]},
        {"attempt": A, "asked_ns": 2**63, "by": "\ud800", "reason": "x" * 10**5},
        {"attempt": A, "asked_ns": -1},
        {"attempt": A, "asked_ns": True},
    ],
)
def test_whatever_a_client_says_that_it_has_seen_its_rows_are_taken(
    client: Client, owner: str, stop: Any
) -> None:
    experiment = client.create(f"{owner}/p/n")
    beat = run_row(NOON + SECOND, "heartbeat", stop=stop)
    assert client.stored(experiment, start(1), frame(2, beat), frame(3, numbers(0, 2))) == 3
    found = client.get(f"/experiments/{experiment}")["stop"]
    assert (found is not None) == (isinstance(stop, dict) and stop.get("attempt") == A)
    assert found is None or found["at"] == found["seenAt"] == "2023-11-14T22:13:21.000000Z"


def test_a_request_follows_an_experiment_that_is_moved_and_comes_back_from_the_trash(
    client: Client, owner: str
) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, start(1))
    ask(client, experiment)
    client.post(f"/experiments/{experiment}/move", {"to": f"{owner}/p/m"})
    assert told(client, experiment) == [A]
    client.ask("DELETE", f"/experiments/{experiment}")
    gone = ask(client, experiment, cancel=True)
    assert (gone.status, gone.error["code"]) == (410, "gone")
    client.post(f"/experiments/{experiment}/restore", {})
    assert told(client, experiment) == [A]


def test_a_request_goes_with_the_rows_that_are_removed_for_good(tmp_path: Path) -> None:
    """What is sent anew has attempts of the same numbers, which nobody has asked."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, deleted_age=0.0) as server:
        assert server.store is not None
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/p/n")
        client.stored(experiment, start(1))
        assert ask(client, experiment).status == 200
        assert client.ask("DELETE", f"/experiments/{experiment}").status == 200
        assert server.store.purger.collect() == 1
        again = client.post("/experiments", {"prefix": "alice/p/n", "recreate": True}).body
        assert (again["id"], again["stop"]) == (experiment, None)
        assert told(client, experiment, start(1, B)) is None
        assert client.get(f"/experiments/{experiment}")["stop"] is None
        assert ask(client, experiment, reason="now").body["stop"]["reason"] == "now"
        assert told(client, experiment) == [B]


def test_who_may_only_read_asks_no_run_to_stop(server: EmbeddedServer, client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, start(1))
    made = client.post("/tokens", {"name": "r", "grants": [{"owner": owner, "scope": "read"}]}).body
    refused = ask(Client(server.url, made["token"]), experiment)
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert told(client, experiment) is None
