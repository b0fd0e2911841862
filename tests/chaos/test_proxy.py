"""The proxy does what its schedule says: each fault in front of a small server that is real."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple, final

import pytest

from tests.chaos.faults import (
    PASS,
    Answer,
    CloseDoor,
    CutAnswer,
    CutRequest,
    Delay,
    Drip,
    Fault,
    FlipAnswer,
    FlipRequest,
    LoseAnswer,
    Postpone,
    Redirect,
    Refuse,
    Replay,
    Silence,
    busy,
    html_page,
    random_faults,
)
from tests.chaos.proxy import ChaosProxy
from tests.chaos.uploading import until
from tests.support.elsewhere import Elsewhere
from tests.support.listening import Listener, Quiet

FRAMES = "application/vnd.ml-dash.frames"
DEADLINE = 10.0


class Echo:
    """A server that keeps the bodies it was given, and sends each back with its number."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.cut_short = 0
        owner = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            timeout = 5

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b"".join(self._chunks())
                else:
                    length = int(self.headers["Content-Length"])
                    body = self.rfile.read(length)
                    if len(body) < length:
                        owner.cut_short += 1
                        self.close_connection = True
                        return
                owner.bodies.append(body)
                answer = b"%d:%s" % (len(owner.bodies), body)
                self.send_response(200)
                if self.path == "/chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer), answer))
                else:
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def _chunks(self) -> Iterator[bytes]:
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

        self._server = Listener(Handler, self._cut_short)
        self.port = self._server.port
        self.close = self._server.stop

    def _cut_short(self) -> None:
        self.cut_short += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server that is real."""
    echo = Echo()
    yield echo
    echo.close()


class Got(NamedTuple):
    """What a client sees."""

    status: int
    body: bytes
    headers: dict[str, str]


@final
class KeptConnection:
    """A client that keeps its connection until something breaks it."""

    def __init__(self, proxy: ChaosProxy, timeout: float = DEADLINE) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)

    def __enter__(self) -> KeptConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, body: Any, path: str = "/", **headers: str) -> Got:
        """Send a body and return the answer; a connection that breaks raises, and is made anew for the next."""
        try:
            named = {"Content-Type": FRAMES, **{k.replace("_", "-"): v for k, v in headers.items()}}
            chunked = not isinstance(body, bytes)
            self._connection.request("POST", path, body, named, encode_chunked=chunked)
            answer = self._connection.getresponse()
            return Got(answer.status, answer.read(), dict(answer.getheaders()))
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


BROKEN = (OSError, http.client.HTTPException)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def through(echo: Echo, *schedule: Fault) -> ChaosProxy:
    """Return a proxy before the server."""
    return ChaosProxy(echo.port, schedule)


def test_without_faults_requests_and_answers_pass_on_one_connection(echo: Echo) -> None:
    with through(echo) as proxy, KeptConnection(proxy) as client:
        assert client.post(b"one").body == b"1:one"
        assert client.post(b"two").body == b"2:two"
        assert client.post(iter((b"th", b"ree")), "/chunked", Transfer_Encoding="chunked").body == b"3:three"
        assert client.post(b"x" * 5_000_000).body == b"4:" + b"x" * 5_000_000
        # the answer is out before it is counted
        assert until(lambda: proxy.counts == {"Pass": 4}, 30), proxy.counts


def test_a_refused_connection_is_reset_before_anything_is_read(echo: Echo) -> None:
    with through(echo, Refuse()) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"one")
        assert client.post(b"one").body == b"1:one"
        assert proxy.incidents[0].request == ""


def test_a_connection_that_was_kept_alive_can_be_refused_as_well(echo: Echo) -> None:
    with through(echo, PASS, Refuse()) as proxy, KeptConnection(proxy) as client:
        client.post(b"one")
        with pytest.raises(BROKEN):
            client.post(b"two")
        assert client.post(b"two").body == b"2:two"


def test_a_closed_door_refuses_until_it_opens_again_at_the_same_port(echo: Echo) -> None:
    with through(echo, CloseDoor(60.0)) as proxy, KeptConnection(proxy) as client:
        port = proxy.port
        with pytest.raises(BROKEN):
            client.post(b"one")
        with pytest.raises(ConnectionRefusedError):
            client.post(b"one")
        proxy.calm()
        assert client.post(b"one").body == b"1:one"
        assert proxy.port == port


def test_a_door_opens_by_itself(echo: Echo) -> None:
    with through(echo, CloseDoor(0.01)) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"one")

        def served() -> bool:
            try:
                return client.post(b"one").status == 200
            except BROKEN:
                return False

        wait_for(served)


def test_silence_takes_the_request_and_answers_nothing(echo: Echo) -> None:
    with through(echo, Silence(60.0)) as proxy, KeptConnection(proxy, timeout=0.1) as client:
        with pytest.raises(TimeoutError):
            client.post(b"one")
        assert echo.bodies == []
        assert client.post(b"one").body == b"1:one"


def test_silence_ends_with_the_connection(echo: Echo) -> None:
    with through(echo, Silence(0.02)) as proxy, KeptConnection(proxy) as client, pytest.raises(BROKEN):
        client.post(b"one")


def test_a_delayed_request_arrives_all_the_same(echo: Echo) -> None:
    with through(echo, Delay(0.02)) as proxy, KeptConnection(proxy) as client:
        assert client.post(b"one").body == b"1:one"


def test_a_dripping_answer_comes_whole_if_there_is_time(echo: Echo) -> None:
    with through(echo, Drip(0.0, DEADLINE)) as proxy, KeptConnection(proxy) as client:
        assert client.post(b"one").body == b"1:one"
        assert client.post(b"two").body == b"2:two"


def test_a_dripping_answer_ends_when_its_time_is_over(echo: Echo) -> None:
    with through(echo, Drip(0.02, 0.1)) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"one")
        assert echo.bodies == [b"one"]


def test_a_request_is_cut_in_the_middle_of_its_body(echo: Echo) -> None:
    with through(echo, CutRequest(0.5)) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"0123456789")
        wait_for(lambda: echo.cut_short == 1)
        assert echo.bodies == []


def test_an_answer_is_lost_after_the_server_has_done_its_work(echo: Echo) -> None:
    with through(echo, LoseAnswer()) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"one")
        assert echo.bodies == [b"one"]
        assert client.post(b"one").body == b"2:one"


def test_an_answer_is_cut_in_its_middle(echo: Echo) -> None:
    body = b"x" * 10_000
    with through(echo, CutAnswer(0.9)) as proxy, KeptConnection(proxy) as client:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            client.post(body)
        assert echo.bodies == [body]


@pytest.mark.parametrize("chunked", [False, True])
def test_one_bit_of_a_request_body_is_flipped_and_the_framing_holds(echo: Echo, chunked: bool) -> None:
    body: Any = iter((b"0123", b"456789")) if chunked else b"0123456789"
    headers = {"Transfer_Encoding": "chunked"} if chunked else {}
    with through(echo, FlipRequest(0.6)) as proxy, KeptConnection(proxy) as client:
        assert client.post(body, **headers).status == 200
        assert client.post(b"next").status == 200
    (got, _) = echo.bodies
    assert len(got) == 10
    assert sum((a ^ b).bit_count() for a, b in zip(got, b"0123456789", strict=True)) == 1
    assert got[6] != ord("6")


def test_only_frames_are_flipped_since_nothing_else_carries_a_checksum(echo: Echo) -> None:
    with through(echo, FlipRequest(0.5)) as proxy, KeptConnection(proxy) as client:
        client.post(b"{}", Content_Type="application/json")
        assert echo.bodies == [b"{}"]


@pytest.mark.parametrize("path", ["/", "/chunked"])
def test_one_bit_of_an_answer_is_flipped_and_the_framing_holds(echo: Echo, path: str) -> None:
    with through(echo, FlipAnswer(0.99)) as proxy, KeptConnection(proxy) as client:
        got = client.post(b"0123456789", path).body
        assert client.post(b"next").body == b"2:next"
    assert sum((a ^ b).bit_count() for a, b in zip(got, b"1:0123456789", strict=True)) == 1


def test_an_earlier_request_is_replayed_before_a_later_one(echo: Echo) -> None:
    with through(echo, PASS, PASS, Replay(0.0)) as proxy, KeptConnection(proxy) as client:
        for body in (b"one", b"two", b"three"):
            client.post(body)
    assert echo.bodies == [b"one", b"two", b"one", b"three"]


def test_a_postponed_request_arrives_after_a_later_one(echo: Echo) -> None:
    with through(echo, Postpone()) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"one")
        assert client.post(b"two").body == b"1:two"
    assert echo.bodies == [b"two", b"one"]


def test_what_was_postponed_arrives_at_last(echo: Echo) -> None:
    with through(echo, Postpone()) as proxy, KeptConnection(proxy) as client:
        with pytest.raises(BROKEN):
            client.post(b"one")
        proxy.calm()
        assert echo.bodies == [b"one"]


@pytest.mark.parametrize("fault", [html_page(200), html_page(404), html_page(502), Answer(500)])
def test_somebody_else_answers_and_the_connection_goes_on(echo: Echo, fault: Answer) -> None:
    with through(echo, fault) as proxy, KeptConnection(proxy) as client:
        got = client.post(b"one")
        assert (got.status, got.body) == (fault.status, fault.body.encode())
        assert echo.bodies == []
        assert client.post(b"two").body == b"1:two"


@pytest.mark.parametrize("fault", [busy(429, 0), busy(503, 1)])
def test_somebody_asks_to_come_again_later(echo: Echo, fault: Answer) -> None:
    with through(echo, fault) as proxy, KeptConnection(proxy) as client:
        got = client.post(b"one")
        assert (got.status, got.headers["Retry-After"]) == (fault.status, str(fault.retry_after))


def test_a_redirect_leads_to_another_origin_which_remembers_its_visitors(echo: Echo) -> None:
    with (
        Elsewhere() as other,
        through(echo, Redirect(other.origin)) as proxy,
        KeptConnection(proxy) as client,
    ):
        got = client.post(b"one", "/a/b?c=d")
        assert (got.status, got.headers["Location"]) == (307, f"{other.origin}/a/b?c=d")
        host, port = other.origin.removeprefix("http://").split(":")
        naive = http.client.HTTPConnection(host, int(port), timeout=DEADLINE)
        naive.request("POST", "/a/b", b"one", {"Authorization": "Bearer mld_secret"})
        assert naive.getresponse().read()
        naive.close()
        assert other.tokens == ["Bearer mld_secret"]


def test_a_token_anywhere_but_in_its_header_is_a_leak(echo: Echo) -> None:
    with through(echo) as proxy, KeptConnection(proxy) as client:
        client.post(b"one", Authorization="Bearer mld_secret")
        assert proxy.leaks == []
        client.post(b"one", "/?token=mld_secret")
        client.post(b"mld_secret")
        client.post(b"one", X_Token="mld_secret")
        assert len(proxy.leaks) == 3


def test_a_server_that_is_away_is_a_broken_connection(echo: Echo) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with ChaosProxy(nobody.getsockname()[1]) as proxy, KeptConnection(proxy) as client:
            with pytest.raises(BROKEN):
                client.post(b"one")
            proxy.target = echo.port
            assert client.post(b"one").body == b"1:one"


def test_requests_that_are_not_meant_pass_and_leave_the_schedule_alone(echo: Echo) -> None:
    with ChaosProxy(echo.port, [LoseAnswer()], only="/frames") as proxy, KeptConnection(proxy) as client:
        assert client.post(b"one", "/other").status == 200
        with pytest.raises(BROKEN):
            client.post(b"two", "/x/frames")
        assert proxy.left == 0


def test_what_holds_always_holds_until_it_is_calm(echo: Echo) -> None:
    with ChaosProxy(echo.port, [PASS], always=Answer(500)) as proxy, KeptConnection(proxy) as client:
        assert [client.post(b"one").status for _ in range(3)] == [200, 500, 500]
        proxy.calm()
        assert client.post(b"one").status == 200


def test_hanging_up_resets_a_request_that_waits(echo: Echo) -> None:
    with ChaosProxy(echo.port, always=Silence(60.0)) as proxy:
        threading.Timer(0.05, proxy.hang_up).start()
        with KeptConnection(proxy) as client, pytest.raises(BROKEN):
            client.post(b"one")


def test_a_seed_makes_the_same_schedule_every_time() -> None:
    def made(seed: int) -> list[Fault]:
        return random_faults(random.Random(seed), 50, patience=1.0, origin="http://other")

    assert made(1) == made(1) != made(2)


def test_every_kind_of_fault_comes_in_random_schedules() -> None:
    faults = random_faults(random.Random(0), 2000, patience=1.0, origin="http://other")
    assert {type(fault) for fault in faults} == set(Fault.__args__)
