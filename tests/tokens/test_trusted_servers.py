"""A server that has made its certificate itself, and one in plain http: chosen at login, and by all clients alike."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import InvalidArgumentError
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens import TokenStore
from ml_dash.trust import Trust, all_trusted
from tests.support.names import ELSEWHERE, call_this_machine
from tests.support.shell import COMMAND, SECONDS, environment
from tests.support.sockets import certificate, fingerprint_of
from tests.support.token_commands import invoke


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with a certificate of its own making."""
    with EmbeddedServer(data=tmp_path_factory.mktemp("data"), self_signed=True) as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server in plain http."""
    with EmbeddedServer(data=tmp_path_factory.mktemp("data")) as running:
        yield running


def fingerprint(server: EmbeddedServer) -> str:
    assert server.certificates is not None
    return server.certificates.fingerprint


def elsewhere(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a plain server as from another machine."""
    call_this_machine(monkeypatch)
    return server.url.replace("127.0.0.1", ELSEWHERE)


def said_until(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """What a process says on standard error, up to some words: what is typed before them would be thrown away."""
    assert process.stderr is not None
    said = b""
    while words not in said:
        piece = os.read(process.stderr.fileno(), 1000)
        assert piece, said
        said += piece
    return said


def log_in(server: EmbeddedServer, *options: str, url: str = "") -> None:
    done = invoke("login", url or server.url, "--token", "-", *options, stdin=server.admin_token)
    assert done.code == 0, done.err


def test_without_somebody_to_ask_the_fingerprint_is_told_and_nothing_is_trusted(
    server: EmbeddedServer, store: TokenStore
) -> None:
    done = invoke("login", server.url, "--token", "-", stdin=server.admin_token)
    assert done.code == 1
    assert f"ml-dash login {server.url} --fingerprint {fingerprint(server)}" in done.err
    assert (store.all(), all_trusted()) == ({}, {})


@pytest.mark.parametrize("options", [["--token", "-"], []], ids=["by token", "by code"])
def test_plain_http_to_a_server_of_https_is_told_what_is_wrong(
    server: EmbeddedServer, store: TokenStore, options: list[str]
) -> None:
    url = server.url.replace("https:", "http:")
    done = invoke("login", url, *options, stdin=server.admin_token)
    assert (done.code, f"`ml-dash login {server.url}`" in done.err) == (1, True), done.err
    assert store.all() == {}


@pytest.mark.sample(2)
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_somebody_at_a_terminal_is_asked(
    server: EmbeddedServer, config: Path, store: TokenStore, answer: str, code: int
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "login", server.url, "--token", "-"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(ML_DASH_CONFIG_DIR=str(config)),
        start_new_session=True,  # without a terminal of its own, the token is read from standard input
    ) as login:
        os.close(theirs)
        err = said_until(login, b"[y/N]")
        os.write(ours, f"{answer}\n".encode())
        if code == 0:
            err += said_until(login, b"Token: ")
            os.write(ours, f"{server.admin_token}\n".encode())
        err += login.communicate(timeout=SECONDS)[1]
        os.close(ours)
    assert login.returncode == code, err
    assert fingerprint(server).encode() in err
    assert (list(store.all()), list(all_trusted())) == (([server.url],) * 2 if code == 0 else ([], []))


def test_all_clients_go_by_what_was_chosen(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's upload and reads, downloads, and the command line."""
    log_in(server, "--fingerprint", fingerprint(server))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"weights")
    with Experiment("alice/tls/run", dash_url=server.url, echo=False).run as exp:
        exp.metrics("train").log(loss=0.5)
        exp.files("ckpt").save("weights.bin")
        flushed = exp.flush()
    assert (flushed.pending, flushed.reason) == (0, None)
    far = Experiment("alice/tls/run", dash_url=server.url, dash_root=None)
    assert far.metrics("train").stats()["count"] == 1
    assert Path(far.files("ckpt/weights.bin").download("back.bin")).read_bytes() == b"weights"
    who = json.loads(invoke("whoami", server.url, "--json").out)
    assert who["fingerprint"] == fingerprint(server)
    assert invoke("sync", "--to", server.url).code == 0
    assert "Logged out" in invoke("logout", server.url).out
    assert all_trusted() == {}


def test_a_certificate_that_has_changed_is_refused_with_both_fingerprints(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    other = fingerprint_of(certificate(tmp_path / "other.pem"))
    done = invoke("login", server.url, "--token", "-", "--fingerprint", other, stdin=server.admin_token)
    assert done.code == 1
    assert other in done.err
    assert fingerprint(server) in done.err
    assert all_trusted() == {}
    log_in(server, "--fingerprint", fingerprint(server))
    config = Path(os.environ["ML_DASH_CONFIG_DIR"], "servers.json")
    config.write_text(config.read_text().replace(fingerprint(server), other))
    for command in (("whoami",), ("login", "--token", "-")):
        done = invoke(command[0], server.url, *command[1:], stdin=server.admin_token)
        assert done.code == 1
        assert other in done.err
        assert fingerprint(server) in done.err
    log_in(server, "--fingerprint", fingerprint(server))
    assert invoke("whoami", server.url).code == 0


def test_plain_http_elsewhere_is_sent_to_once_it_is_chosen_and_told_of_at_each_start(
    plain: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = elsewhere(plain, monkeypatch)
    with pytest.raises(InvalidArgumentError, match="login --insecure-http"):
        Experiment("alice/plain/run", dash_url=url, dash_root=tmp_path)
    refused = invoke("login", url, "--token", "-", stdin=plain.admin_token)
    assert (refused.code, "--insecure-http" in refused.err) == (2, True)
    done = invoke("login", url, "--insecure-http", "--token", "-", stdin=plain.admin_token)
    assert done.code == 0
    assert done.err.startswith("Warning: whoever is on the network")
    assert all_trusted() == {url: Trust(plain=True)}
    for number in range(2):
        caplog.clear()
        with Experiment(f"alice/plain/run{number}", dash_url=url, dash_root=tmp_path, echo=False).run as exp:
            exp.metrics("train").log(loss=0.5)
            assert exp.flush().acknowledged == 1
        (told,) = [each.message for each in caplog.records if "plain http" in each.message]
        assert told.startswith(f"{url} is plain http: the token and all that is sent can be read")
        assert f"`ml-dash logout {url}` ends that" in told
    out = invoke("logout", url).out
    assert f"{url} is trusted no more" in out
    assert all_trusted() == {}
    assert invoke("whoami", url).code == 2


def test_on_this_machine_nothing_is_to_be_chosen_and_nothing_is_told(
    plain: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = invoke("login", plain.url, "--insecure-http", "--token", "-", stdin=plain.admin_token)
    assert (done.code, "leave out --insecure-http" in done.err) == (2, True)
    log_in(plain)
    with Experiment("alice/here/run", dash_url=plain.url, dash_root=tmp_path, echo=False).run:
        pass
    assert "plain http" not in caplog.text


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("https://lab.test", ["--insecure-http"]),
        ("http://lab.test", ["--fingerprint", "ab" * 32]),
        ("https://lab.test", ["--fingerprint", "ab"]),
        ("http://lab.test", ["--insecure-http", "--fingerprint", "ab" * 32]),
    ],
)
def test_options_that_do_not_fit_the_url_are_refused(url: str, options: list[str]) -> None:
    done = invoke("login", url, "--token", "-", *options, stdin="mld_" + "t" * 43)
    assert done.code == 2
    assert all_trusted() == {}


def test_a_login_that_fails_leaves_nothing_chosen(
    plain: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = elsewhere(plain, monkeypatch)
    done = invoke("login", url, "--insecure-http", "--token", "-", stdin="mld_" + "w" * 43)
    assert done.code == 1
    assert all_trusted() == {}


def test_logging_out_of_all_takes_back_all_that_was_chosen(
    server: EmbeddedServer, plain: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(server, "--fingerprint", fingerprint(server))
    log_in(plain, "--insecure-http", url=elsewhere(plain, monkeypatch))
    assert len(all_trusted()) == 2
    assert invoke("logout", "--all").code == 0
    assert all_trusted() == {}
