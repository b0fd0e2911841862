"""The certificate that a server shows: made once and kept, read again when it is renewed, and never half of one."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ml_dash.errors import InvalidArgumentError
from ml_dash.server.certificates import Certificates, certificates_of
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from tests.support.sockets import certificate, fingerprint_of, shown_at


def settings(data: Path, **more: object) -> ServerSettings:
    return ServerSettings(data=str(data), self_signed=True, **more)  # type: ignore[arg-type]


def test_a_certificate_is_made_once_and_kept_and_is_the_servers_own(tmp_path: Path) -> None:
    made = certificates_of(settings(tmp_path / "data"))
    again = certificates_of(settings(tmp_path / "data"))
    assert made is not None
    assert again is not None
    assert made.fingerprint == again.fingerprint == fingerprint_of(tmp_path / "data" / "tls.pem")
    assert (tmp_path / "data" / "tls.pem").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "data") == ["tls.pem"]


def test_servers_that_make_one_at_once_have_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(4)

    def make() -> None:
        start.wait()
        made = certificates_of(settings(tmp_path))
        assert made is not None
        found.append(made.fingerprint)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [fingerprint_of(tmp_path / "tls.pem")] * 4


def test_a_made_one_that_has_run_out_is_refused_with_the_day_and_the_remedy(tmp_path: Path) -> None:
    certificate(tmp_path / "tls.pem", days=-1, ago=3)
    with pytest.raises(InvalidArgumentError, match=r"ran out on \d{4}-\d\d-\d\d.*remove the file"):
        certificates_of(settings(tmp_path))


def test_plain_http_has_none(tmp_path: Path) -> None:
    assert certificates_of(ServerSettings(data=str(tmp_path))) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tls_key": "k"}, "name that too, with --tls-cert"),
        ({"tls_cert": "c", "self_signed": True}, "leave out one of the two"),
        ({"tls_cert": "nowhere.pem"}, "No such file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, given: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        certificates_of(ServerSettings(data=str(tmp_path), **given))  # type: ignore[arg-type]


def test_files_that_cannot_be_used_are_told_apart(tmp_path: Path) -> None:
    mine, other = certificate(tmp_path / "mine.pem"), certificate(tmp_path / "other.pem")
    with pytest.raises(InvalidArgumentError, match="does not belong to the certificate"):
        Certificates(str(mine), str(other))
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(InvalidArgumentError, match="not in PEM format"):
        Certificates(str(tmp_path / "text.pem"), str(mine))
    key = serialization.load_pem_private_key(mine.read_bytes(), None)
    (tmp_path / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(InvalidArgumentError, match="is encrypted"):
        Certificates(str(mine), str(tmp_path / "locked.pem"))


def test_a_renewed_certificate_is_shown_without_a_restart_and_half_of_one_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = certificate(tmp_path / "server.pem", days=100)
    first = fingerprint_of(path)
    shown = Certificates(str(path), str(path))
    assert not shown.look()
    path.write_text("half of ")
    assert not shown.look()
    assert "until" in caplog.text
    assert shown.fingerprint == first
    caplog.clear()
    assert not shown.look(), "what cannot be used is told of once"
    assert caplog.text == ""
    certificate(path, days=100)
    assert shown.look()
    assert shown.fingerprint == fingerprint_of(path) != first
    assert not shown.look()
    assert not shown.look(again=True)


def test_one_that_runs_out_soon_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = certificate(tmp_path / "server.pem", days=3)
    Certificates(str(path), str(path))
    assert "runs out on" in caplog.text


def test_new_connections_are_shown_the_renewed_one(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem", days=100)
    with EmbeddedServer(data=tmp_path / "data", tls_cert=str(path)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        port = int(server.url.rpartition(":")[2])
        before = shown_at(port)
        certificate(path, days=100)
        assert server.certificates is not None
        server.certificates.look()
        after = shown_at(port)
    assert before != after == fingerprint_of(path)


@pytest.mark.slow
def test_who_says_nothing_in_the_handshake_keeps_nobody_out_and_has_ten_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer(data=tmp_path, self_signed=True, connections=4, head_timeout=0.5) as server:
        port = int(server.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(12)]
        with socket.create_connection(("127.0.0.1", port), 60) as chatter:
            chatter.sendall(b"GET / HTTP/1.1\r\n\r\n")  # plain http, where TLS is spoken
            with contextlib.suppress(ConnectionResetError):
                while chatter.recv(1000):
                    pass  # an alert of TLS, and the end
        assert shown_at(port) == fingerprint_of(tmp_path / "tls.pem")
        for each in silent:
            each.settimeout(60)
            assert each.recv(1) == b"", "given up by the server"
            each.close()
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
