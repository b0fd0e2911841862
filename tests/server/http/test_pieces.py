"""Bodies that come in pieces: the same answers, and nothing stored twice."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from ml_dash.protocol import BODY_HEADER, BODY_PIECE_BYTES_MAX, FRAMES, OCTETS
from ml_dash.server.errors import ApiError
from ml_dash.server.http.pieces import Pieces
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.serving import WRITER, Answer, Client, frames
from tests.support.simulated_clock import SimulatedClock


def name_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def put(client: Client, body: bytes, start: int, stop: int) -> Answer:
    """Send a piece of a body."""
    return client.ask(
        "PUT",
        f"/bodies/{name_of(body)}",
        body[start:stop],
        headers={"Content-Type": OCTETS},
        offset=start,
    )


def post(client: Client, experiment: str, body: bytes, **headers: str) -> Answer:
    """Send the request whose body the server has."""
    given = {"Content-Type": FRAMES, BODY_HEADER: name_of(body), **headers}
    return client.ask("POST", f"/experiments/{experiment}/writers/{WRITER}/frames", b"", headers=given)


def test_frames_in_pieces_are_stored_once(client: Client, experiment: str) -> None:
    body = b"".join(frames(1, 5))
    for start in range(0, len(body), 100):
        assert put(client, body, start, start + 100).status == 200
    first = post(client, experiment, body)
    assert (first.status, first.body["watermark"]) == (200, 5)
    rows = client.rows(experiment)
    for start in (0, 300):  # other lengths, twice
        assert put(client, body, start, start + 300).body == {
            "offset": start,
            "sizeBytes": len(body[start : start + 300]),
        }
    for start in range(0, len(body), 70):
        put(client, body, start, start + 70)
    again = post(client, experiment, body)
    assert (again.status, again.body["watermark"]) == (200, 5)
    assert client.rows(experiment) == rows


def test_a_compressed_body_may_come_in_pieces(client: Client, experiment: str) -> None:
    body = zlib.compress(b"".join(frames(1, 5)))
    for start in range(0, len(body), 50):
        put(client, body, start, start + 50)
    assert post(client, experiment, body, **{"Content-Encoding": "deflate"}).body["watermark"] == 5


def test_a_body_of_which_a_piece_is_missing_or_wrong_is_asked_for_again(
    client: Client, experiment: str
) -> None:
    body = b"".join(frames(1, 5))
    put(client, body, 0, 100)
    put(client, body, 200, len(body))
    gap = post(client, experiment, body)
    assert (gap.status, gap.error["code"], gap.error["watermark"]) == (400, "damaged", 0)
    client.ask("PUT", f"/bodies/{name_of(body)}", b"x" * 100, headers={"Content-Type": OCTETS}, offset=100)
    wrong = post(client, experiment, body)
    assert (wrong.status, wrong.error["code"]) == (400, "damaged")
    put(client, body, 100, 200)
    assert post(client, experiment, body).body["watermark"] == 5


def test_pieces_belong_to_the_token_that_sent_them(
    client: Client, experiment: str, server: EmbeddedServer
) -> None:
    """Nobody uses the body of somebody else by naming its checksum."""
    body = b"".join(frames(1, 5))
    put(client, body, 0, len(body))
    another = Client(server.url, client.post("/tokens", {"name": "another", "admin": True}).body["token"])
    assert post(another, experiment, body).error["code"] == "damaged"
    assert post(client, experiment, body).body["watermark"] == 5


def test_who_may_only_read_sends_no_pieces(client: Client, owner: str, server: EmbeddedServer) -> None:
    made = client.post("/tokens", {"name": "reader", "grants": [{"owner": owner, "scope": "read"}]})
    assert made.status == 201, made
    assert put(Client(server.url, made.body["token"]), b"body", 0, 4).status == 403


def test_what_cannot_be_a_piece_is_refused(client: Client, experiment: str) -> None:
    kind = {"Content-Type": OCTETS}
    assert client.ask("PUT", "/bodies/xyz", b"a", headers=kind).status == 400
    assert client.ask("PUT", f"/bodies/{name_of(b'a')}", b"a", headers=kind, offset=-1).status == 400
    beyond = client.ask("PUT", f"/bodies/{name_of(b'a')}", b"a", headers=kind, offset=1 << 40)
    assert (beyond.status, beyond.error["code"]) == (413, "too_large")
    large = bytes(BODY_PIECE_BYTES_MAX + 1)
    assert put(client, large, 0, len(large)).status == 413
    named = {"Content-Type": FRAMES, BODY_HEADER: "xyz"}
    path = f"/experiments/{experiment}/writers/{WRITER}/frames"
    assert client.ask("POST", path, b"", headers=named).status == 400


def test_pieces_whose_request_never_comes_are_forgotten(store: Store) -> None:
    clock = SimulatedClock()
    pieces = Pieces(store.database, clock)
    pieces.add("token", "0" * 64, 0, b"old")
    assert pieces.find("token", "0" * 64) == [(0, 3)]
    clock.advance(2 * 3600)
    pieces.add("token", "1" * 64, 0, b"new")
    assert (pieces.find("token", "0" * 64), pieces.find("token", "1" * 64)) == ([], [(0, 3)])


def test_what_a_token_has_waiting_is_bounded_and_its_oldest_bodies_make_room(store: Store) -> None:
    """In bytes and in pieces; another token's wait as long as ever."""
    clock = SimulatedClock()
    pieces = Pieces(store.database, clock, bytes_max=100, pieces_max=10)
    pieces.add("other", "0" * 64, 0, bytes(80))
    for body in range(5):
        clock.advance(1.0)
        pieces.add("token", f"{body:064}", 0, bytes(40))
    there = [body for body in range(5) if pieces.find("token", f"{body:064}")]
    assert (there, pieces.find("other", "0" * 64)) == ([3, 4], [(0, 80)])

    clock.advance(1.0)
    for offset in range(9):
        pieces.add("token", "a" * 64, offset, b"x")
    assert [body for body in range(5) if pieces.find("token", f"{body:064}")] == [4]
    assert len(pieces.find("token", "a" * 64)) == 9


def test_pieces_of_one_body_that_lie_over_one_another_without_end_are_forgotten(store: Store) -> None:
    pieces = Pieces(store.database, SimulatedClock(), bytes_max=100, pieces_max=1000)
    pieces.add("token", "0" * 64, 0, bytes(60))
    with pytest.raises(ApiError, match="send it anew"):
        pieces.add("token", "0" * 64, 1, bytes(60))
    assert pieces.find("token", "0" * 64) == []
    pieces.add("token", "0" * 64, 0, bytes(100))
    pieces.add("token", "0" * 64, 0, bytes(100))
    assert pieces.find("token", "0" * 64) == [(0, 100)]
