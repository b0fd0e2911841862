"""What answers mean: small dataclasses, or one tree of errors."""

from __future__ import annotations

import msgpack
import pytest

from ml_dash.client.api import Client, Sent
from ml_dash.client.transport import Answer, NotMlDashError, ServerError
from ml_dash.errors import RemoteError
from ml_dash.protocol import CLOCK_HEADER, FRAMES
from tests.client.canned import Canned, packed
from tests.support.simulated_clock import HandClock

GOOD = {"id": "exp_1", "created": True, "watermarks": {"w": 3}, "prefix": "a/b/c"}


def json(text: str, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json; charset=utf-8"}, text.encode())


async def test_an_experiment_is_introduced_with_what_is_known_of_it() -> None:
    line = Canned(packed(GOOD), packed(GOOD))
    client = Client(line)
    found = await client.upsert(
        "a/b/c", {"readme": "r", "tags": ["t"], "metadata": None, "status": "RUNNING"}
    )
    await client.upsert("a/b/c", recreate=True)

    assert (found.id, found.created, found.watermarks) == ("exp_1", True, {"w": 3})
    assert found.record["prefix"] == "a/b/c"
    bodies = [msgpack.unpackb(request[3]) for request in line.requests]
    assert bodies == [
        {"prefix": "a/b/c", "readme": "r", "tags": ["t"]},
        {"prefix": "a/b/c", "recreate": True},
    ]


async def test_frames_are_sent_as_they_are_with_time_for_a_slow_line() -> None:
    line = Canned(packed({"watermark": 7}), packed({"watermark": 8}))
    client = Client(line, HandClock(12345))

    assert await client.send_frames("exp_1", "w", b"x") == Sent(7, None)
    assert await client.send_frames("exp_1", "w", b"x" * (4 << 20), encoding="deflate") == Sent(8, None)
    method, path, headers, body = line.requests[0]
    assert (method, path, body) == ("POST", "/api/v1/experiments/exp_1/writers/w/frames", b"x")
    assert headers["Content-Type"] == FRAMES
    assert headers[CLOCK_HEADER] == "12345"
    assert "Content-Encoding" not in headers
    assert line.requests[1][2]["Content-Encoding"] == "deflate"
    assert line.timeouts[0] < 90 < line.timeouts[1]


async def test_watermarks_and_answers_in_json_are_understood() -> None:
    assert await Client(
        Canned(json('{"watermarks": {"w": 3}, "hasMore": false, "cursor": null}'))
    ).watermarks("exp_1") == {"w": 3}


async def test_pages_of_watermarks_are_followed() -> None:
    pages = [
        {"watermarks": {"a": 1}, "hasMore": True, "cursor": "a"},
        {"watermarks": {"b": 2}, "hasMore": False, "cursor": None},
    ]
    line = Canned(*map(packed, pages))
    assert await Client(line).watermarks("exp_1") == {"a": 1, "b": 2}
    assert [request[2].get("cursor") for request in line.requests] == [None, "a"]


async def test_an_experiment_is_found_by_its_whole_prefix_on_any_page() -> None:
    pages = [
        {"data": [{"prefix": "a/b/c/d", "id": "exp_2"}], "hasMore": True, "cursor": "next"},
        {"data": [{"prefix": "a/b/c", "id": "exp_1"}], "hasMore": False, "cursor": None},
    ]
    line = Canned(*map(packed, pages))
    found = await Client(line).find("a/b/c")

    assert found is not None
    assert found["id"] == "exp_1"
    assert line.requests[1][2]["cursor"] == "next"
    assert await Client(Canned(packed({"data": [], "hasMore": False}))).find("a/b/c") is None


@pytest.mark.parametrize(
    "answer",
    [
        packed([]),
        packed(7),
        packed({**GOOD, "id": 7}),
        packed({**GOOD, "watermarks": {"w": "3"}}),
        packed({**GOOD, "watermarks": {"w": -1}}),
        packed({"created": True}),
        Answer(200, {"content-type": "application/msgpack"}, b"\xc1"),
        Answer(200, {"content-type": "application/msgpack"}, b""),
        Answer(200, {"content-type": "text/html"}, msgpack.packb(GOOD)),
        Answer(200, {}, b""),
        json("[" * 100_000),
        Answer(204, {}, b""),
        Answer(302, {"location": "https://elsewhere.example"}, b""),
        Answer(404, {"content-type": "text/plain"}, b"404: Not Found"),
        json('{"error": "not found"}', 404),
    ],
)
async def test_what_no_server_of_ml_dash_says_is_told_apart(answer: Answer) -> None:
    with pytest.raises(NotMlDashError, match=r"https://dash\.example\.org"):
        await Client(Canned(answer)).upsert("a/b/c")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 500, 503, 507])
async def test_an_error_of_the_api_keeps_all_it_says(status: int) -> None:
    body = {"error": {"code": "gap", "message": "frames are missing", "expected": 7, "odd": True}}
    with pytest.raises(ServerError, match="frames are missing") as caught:
        await Client(Canned(packed(body, status, **{"retry-after": "9"}))).send_frames("e", "w", b"")

    error = caught.value
    assert isinstance(error, RemoteError)
    assert (error.status, error.code, error.message, error.retry_after) == (
        status,
        "gap",
        "frames are missing",
        9,
    )
    assert (error.number("expected"), error.number("odd"), error.number("seq")) == (7, None, None)


@pytest.mark.parametrize("status", [401, 403, 407, 408, 413, 429, 500, 502, 503, 504, 507])
async def test_a_proxy_that_refuses_is_believed_by_its_status(status: int) -> None:
    with pytest.raises(ServerError) as caught:
        await Client(Canned(Answer(status, {"content-type": "text/html"}, b"<h1>No"))).send_frames(
            "e", "w", b""
        )
    assert (caught.value.status, caught.value.code) == (status, "")
