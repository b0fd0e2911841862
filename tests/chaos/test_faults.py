"""Each fault that may come between client and server, by itself: what the client does, and that nothing is lost."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import logging
import random
import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import event

from ml_dash.client.http import AiohttpTransport
from ml_dash.errors import InvalidArgumentError
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens import TokenStore, token_for
from ml_dash.tokens.token import Token
from tests.chaos.book import Book
from tests.chaos.faults import (
    PASS,
    Answer,
    CloseDoor,
    CutAnswer,
    CutRequest,
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
)
from tests.chaos.proxy import ChaosProxy
from tests.chaos.uploading import Job, UploadThread, until
from tests.support.elsewhere import Elsewhere
from tests.support.looking import Server

pytestmark = pytest.mark.chaos

TOKEN = "mld_" + "f" * 43
PREFIX = "alice/faults/run"
DEADLINE = 30.0
PATIENCE = 0.3


class FaultBench:
    """A server, a proxy before it, an experiment that logs, and its upload."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home = home
        self.data = home / "server"
        self.server = stack.enter_context(EmbeddedServer(data=self.data, admin_token=TOKEN))
        self.proxy = stack.enter_context(ChaosProxy(int(self.server.url.rpartition(":")[2])))
        self.book = stack.enter_context(closing(Book(home / "root", PREFIX, random.Random(1), 1)))
        self.book.write(3)
        self._stack = stack

    def upload(
        self,
        url: str | None = None,
        token: Callable[[], Token | None] | None = None,
        *,
        book: Book | None = None,
        patience: float = DEADLINE,
    ) -> UploadThread:
        """Begin to upload: through the proxy unless another URL is given."""
        book = book or self.book
        job = Job(str(book.directory), book.prefix, url or self.proxy.url, TOKEN, patience)
        upload = UploadThread(job, token)
        self._stack.callback(upload.kill)
        return upload

    def check(self, upload: UploadThread) -> None:
        """Wait for the upload to be through, and hold what the server has against what was logged."""
        goal = self.book.watermarks
        through = until(lambda: upload.state.acknowledged_seq == goal and upload.state.online, DEADLINE)
        assert through, f"{upload.state} of {goal}\n{self.proxy.story()}"
        self.book.check(Server(self.server.url, TOKEN).found(PREFIX))
        assert upload.state.last_error is None
        assert self.proxy.leaks == []


@pytest.fixture(autouse=True)
def no_secret_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever goes wrong, no token is in anything that is logged, by whomever."""
    caplog.set_level(logging.DEBUG)
    yield
    assert not re.search(r"mld_[A-Za-z0-9]", "".join(record.getMessage() for record in caplog.records))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    """See `FaultBench`."""
    with ExitStack() as stack:
        yield FaultBench(tmp_path, stack)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """Counts the lines of the log that contain something."""
    caplog.set_level(logging.WARNING, "ml_dash")
    return lambda text: sum(text in record.getMessage() for record in caplog.records)


def offline(upload: UploadThread, because: str) -> None:
    """Wait until an upload says that it is offline, and why."""
    assert until(lambda: because in (upload.state.last_error or ""), DEADLINE), upload.state
    state = upload.state
    assert not state.online
    assert state.offline_since_ns


# --- who is at the other end


def test_a_wrong_url_that_leads_to_some_website_is_said_once_and_loses_nothing(
    bench: FaultBench, said: Callable[[str], int]
) -> None:
    with Elsewhere(body=b"<html>Welcome</html>", content_type="text/html", status=404) as website:
        upload = bench.upload(website.origin)
        offline(upload, "is not an ML-Dash server")
        assert until(lambda: len(website.visits) >= 3, DEADLINE)
        upload.kill()
        assert until(lambda: said("is not an ML-Dash server") == 1, DEADLINE)
    bench.check(bench.upload())


def test_a_server_that_does_not_know_this_api_is_said_once_and_the_run_stays_offline(
    bench: FaultBench, said: Callable[[str], int]
) -> None:
    with Elsewhere(body=b'{"detail": "Not Found"}', status=404) as older:
        upload = bench.upload(older.origin)
        offline(upload, "/api/v1")
        assert until(lambda: len(older.visits) >= 3, DEADLINE)
        assert {visit.target for visit in older.visits} == {"/api/v1/experiments"}
        assert not upload.state.stopped
        upload.kill()
        assert until(lambda: said("/api/v1") == 1, DEADLINE)
    bench.check(bench.upload())


def test_a_refused_connection_is_tried_again_until_somebody_listens(
    bench: FaultBench, said: Callable[[str], int]
) -> None:
    bench.server.stop()
    with ChaosProxy(0, always=CloseDoor(60.0)) as nobody:
        upload = bench.upload(nobody.url)
        offline(upload, "refuses the connection")
        bench.server.start()
        nobody.target = int(bench.server.url.rpartition(":")[2])
        nobody.calm()
        bench.check(upload)
        assert until(lambda: said("is in touch with") == 1, DEADLINE)


def test_a_name_that_does_not_exist_is_said_and_loses_nothing(bench: FaultBench) -> None:
    upload = bench.upload("https://no-such-host.invalid", patience=10.0)
    offline(upload, "cannot be looked up")
    upload.kill()
    bench.check(bench.upload())


@pytest.mark.slow
def test_a_certificate_that_nobody_signed_is_refused_before_the_token_is_sent(
    bench: FaultBench, tmp_path: Path
) -> None:
    with Elsewhere(tls=self_signed(tmp_path)) as impostor:
        upload = bench.upload(impostor.origin)
        offline(upload, "no secure connection")
        upload.kill()
        assert impostor.visits == []
    bench.check(bench.upload())


def test_a_token_never_goes_to_another_machine_in_the_clear() -> None:
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        token_for("http://dash.example.org")
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        AiohttpTransport("http://dash.example.org", lambda: Token(TOKEN))


@pytest.mark.sample(7)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_not_followed(bench: FaultBench, status: int) -> None:
    with Elsewhere() as other:
        bench.proxy.always = Redirect(other.origin, status)
        upload = bench.upload()
        offline(upload, "redirects are not followed")
        bench.proxy.calm()
        bench.check(upload)
        assert other.visits == []


# --- what comes back


@pytest.mark.sample(40)
@pytest.mark.parametrize(
    "fault",
    [
        html_page(200),
        html_page(404),
        html_page(502),
        Answer(500, "", "text/plain"),
        Answer(502, "bad gateway", "text/plain"),
        Answer(504, "", "text/plain"),
        busy(429, 0),
        busy(503, 0),
        Answer(200, "", "application/msgpack"),
        Answer(200, "{}", "application/json"),
        Answer(200, '{"watermark": 5', "application/json"),
        Answer(200, '{"watermark": -1}', "application/json"),
        Answer(200, '{"watermark": "3"}', "application/json"),
    ],
    ids=lambda fault: f"{fault.status}-{fault.body[:16]!r}",
)
def test_what_somebody_else_answers_is_no_answer(bench: FaultBench, fault: Answer) -> None:
    bench.proxy.schedule([fault, PASS, fault, fault, PASS])
    bench.check(bench.upload())
    assert until(lambda: bench.proxy.counts["Answer"] == 3, 30), bench.proxy.counts


def test_an_answer_that_claims_more_than_was_sent_is_not_believed(bench: FaultBench) -> None:
    bench.proxy.schedule([PASS, Answer(200, json.dumps({"watermark": 1_000}), "application/json")])
    bench.check(bench.upload())


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_an_answer_that_drips_is_given_up_after_a_while(bench: FaultBench, seconds: float) -> None:
    bench.proxy.schedule([Drip(0.05 + seconds, 60.0), PASS, Drip(0.05 + seconds, 60.0)])
    bench.check(bench.upload(patience=PATIENCE))
    assert until(lambda: bench.proxy.counts["Pass"] >= 2, 30), bench.proxy.counts


@pytest.mark.slow
def test_silence_is_given_up_after_a_while(bench: FaultBench) -> None:
    bench.proxy.schedule([Silence(60.0), PASS, Silence(60.0)])
    bench.check(bench.upload(patience=PATIENCE))


# --- what happens on the way


@pytest.mark.sample(40)
@pytest.mark.parametrize(
    "fault",
    [
        Refuse(),
        CloseDoor(0.05),
        CutRequest(0.0),
        CutRequest(0.5),
        CutRequest(0.99),
        LoseAnswer(),
        CutAnswer(0.1),
        CutAnswer(0.99),
        FlipRequest(0.02),
        FlipRequest(0.5),
        FlipRequest(0.99),
        FlipAnswer(0.0),
        FlipAnswer(0.5),
        FlipAnswer(0.99),
        Postpone(),
    ],
    ids=str,
)
def test_what_is_cut_lost_or_damaged_on_the_way_is_sent_again(bench: FaultBench, fault: Fault) -> None:
    bench.proxy.schedule([PASS, fault])
    upload = bench.upload()
    bench.check(upload)
    bench.proxy.schedule([fault, PASS, fault])
    bench.book.write(3)
    bench.check(upload)


def test_frames_that_come_again_and_out_of_order_are_stored_once(bench: FaultBench) -> None:
    upload = bench.upload()
    for number in range(5):
        bench.proxy.schedule([Postpone(), PASS, Replay(number / 5), Replay(0.99)])
        bench.book.write(2)
        bench.check(upload)
    bench.proxy.calm()
    bench.check(upload)


# --- tokens


@pytest.mark.slow
def test_a_revoked_token_pauses_the_upload_until_a_login_without_a_restart(
    bench: FaultBench, monkeypatch: pytest.MonkeyPatch, said: Callable[[str], int]
) -> None:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(bench.home / "config"))
    admin = Server(bench.server.url, TOKEN)
    first, first_id = created(admin)
    TokenStore().put(bench.proxy.url, Token(first))
    upload = bench.upload(token=lambda: token_for(bench.proxy.url))
    bench.check(upload)
    assert admin.request("DELETE", f"/tokens/{first_id}")[0] in {200, 204}
    refused = until(lambda: not accepted(bench.server.url, first), DEADLINE)
    assert refused, "a token that was revoked is accepted for ever"
    bench.book.write(3)
    offline(upload, "ml-dash login")
    assert until(lambda: said("ml-dash login") == 1, DEADLINE)
    assert first not in (upload.state.last_error or "")
    second, _ = created(admin)
    TokenStore().put(bench.proxy.url, Token(second))
    bench.check(upload)


@pytest.mark.slow
def test_an_expired_token_pauses_the_upload_until_there_is_another(bench: FaultBench) -> None:
    admin = Server(bench.server.url, TOKEN)
    short, _ = created(admin, expires_in=0.2)
    token = [Token(short)]
    assert until(lambda: not accepted(bench.server.url, short), DEADLINE)
    upload = bench.upload(token=lambda: token[0])
    offline(upload, "ml-dash login")
    token[0] = Token(created(admin)[0])
    bench.check(upload)


def test_a_token_for_another_owner_writes_nothing(bench: FaultBench) -> None:
    admin = Server(bench.server.url, TOKEN)
    token = [Token(created(admin, owner="bob")[0])]
    upload = bench.upload(token=lambda: token[0])
    offline(upload, "does not let this token write")
    token[0] = Token(created(admin)[0])
    bench.check(upload)


def created(admin: Server, owner: str = "alice", expires_in: float | None = None) -> tuple[str, str]:
    """Create a token that may write; return it and its id."""
    body = {
        "name": "fault",
        "grants": [{"owner": owner, "scope": "write"}],
        "admin": False,
        "expiresIn": expires_in,
    }
    status, raw = admin.request("POST", "/tokens", json.dumps(body).encode(), Content_Type="application/json")
    assert status in {200, 201}, raw
    answer = json.loads(raw)
    return answer["token"], answer["tokenId"]


def accepted(url: str, token: str) -> bool:
    """Say whether a server takes a token."""
    return Server(url, token).request("GET", "/whoami")[0] == 200


# --- what the server goes through


def test_a_server_restored_from_a_backup_is_sent_again_what_it_has_forgotten(
    bench: FaultBench, said: Callable[[str], int]
) -> None:
    upload = bench.upload()
    bench.check(upload)
    bench.server.stop()
    shutil.copytree(bench.data, bench.home / "backup")
    bench.server.start()
    bench.book.write(5)
    bench.check(upload)
    bench.server.stop()
    shutil.rmtree(bench.data)
    shutil.move(bench.home / "backup", bench.data)
    bench.server.start()
    bench.book.write(1)
    bench.check(upload)
    assert until(lambda: said("restored from a backup") == 1, DEADLINE)


@pytest.mark.slow
def test_a_server_restored_to_before_the_experiment_was_there_is_told_of_it_again(bench: FaultBench) -> None:
    upload = bench.upload()
    bench.check(upload)
    bench.server.stop()
    shutil.rmtree(bench.data)
    bench.server.start()
    bench.book.write(1)
    bench.check(upload)


@pytest.mark.slow
def test_a_full_disk_at_the_server_refuses_and_forgets_nothing_it_acknowledged(
    bench: FaultBench, said: Callable[[str], int]
) -> None:
    upload = bench.upload()
    bench.check(upload)
    acknowledged = dict(upload.state.acknowledged_seq)
    limit = [1]  # pages: below what there is, so that the file cannot grow
    assert bench.server.store
    event.listen(
        bench.server.store.database.engine,
        "checkout",
        lambda connection, *_: connection.execute(f"PRAGMA max_page_count={limit[0]}"),
    )
    bench.book.write(40, rows=200)
    offline(upload, "is full")
    assert any(incident.outcome == "507" for incident in bench.proxy.incidents)
    there = Server(bench.server.url, TOKEN).found(PREFIX).watermarks
    assert all(there[writer] >= seq for writer, seq in acknowledged.items())
    limit[0] = 1 << 30
    bench.check(upload)
    assert until(lambda: said("is full") == 1, DEADLINE)


def test_two_clients_that_write_under_one_name_are_told_apart(
    bench: FaultBench, said: Callable[[str], int]
) -> None:
    bench.check(bench.upload())
    (writer,) = bench.book.watermarks
    with closing(Book(bench.home / "copy", PREFIX, random.Random(2), 0)) as copy:
        copy.add_writer(writer)
        copy.write(6)
        upload = bench.upload(book=copy)
        fenced = until(
            lambda: "two clients write under one name" in (upload.state.last_error or ""), DEADLINE
        )
        assert fenced, upload.state
        # the state has it a moment before the log
        assert until(lambda: said("two clients write under one name") == 1, DEADLINE)
        upload.kill()
    bench.check(bench.upload())


def self_signed(directory: Path) -> ssl.SSLContext:
    """Return a context for a server at 127.0.0.1 that only vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "impostor")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = directory / "impostor.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
