"""`ml-dash server`, as a process: what it prints, when it refuses, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ml_dash.cli.commands.server import plain_warning
from ml_dash.server.forwarding import parse_proxies
from ml_dash.server.settings import ServerSettings
from tests.support.project import PROJECT
from tests.support.serving import DEADLINE, TOKEN, Client, expected, frames, until
from tests.support.sockets import certificate, fingerprint_of, shown_at

_COMMAND = [sys.executable, "-m", "ml_dash.cli", "server"]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **extra}


def start(data: Path, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_COMMAND, "--port", "0", "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**extra),
    )


def lines_until_listening(server: subprocess.Popen[str]) -> list[str]:
    assert server.stdout is not None
    lines = []
    for line in server.stdout:
        lines.append(line.strip())
        if line.startswith("Listening on "):
            break
    return lines


def refused(*arguments: str, **extra: str) -> tuple[int, str]:
    done = subprocess.run(
        [*_COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env=environment(**extra),
    )
    return done.returncode, done.stderr


def test_the_first_start_prints_the_admin_token_once(tmp_path: Path) -> None:
    with start(tmp_path / "data") as server:
        lines = lines_until_listening(server)
        server.send_signal(signal.SIGTERM)
        assert server.wait(DEADLINE) == 0
    token = re.fullmatch(r"Admin token: (mld_[\w-]{43})", lines[0])
    assert token is not None
    assert re.fullmatch(r"Listening on http://127\.0\.0\.1:\d+", lines[1])
    with start(tmp_path / "data") as server:
        (line,) = lines_until_listening(server)
        client = Client(line.removeprefix("Listening on "), token[1])
        assert client.get("/whoami")["admin"] is True
        client.close()
        server.send_signal(signal.SIGINT)
        assert server.wait(DEADLINE) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_the_admin_token_can_be_given(tmp_path: Path) -> None:
    with start(tmp_path, ML_DASH_ADMIN_TOKEN=TOKEN) as server:
        (line,) = lines_until_listening(server)
        client = Client(line.removeprefix("Listening on "), TOKEN)
        experiment = client.create()
        client.stored(experiment, *frames(1, 2))
        assert client.rows(experiment) == expected(0, 2)
        client.close()
        server.terminate()
        assert server.wait(DEADLINE) == 0


@pytest.mark.slow
def test_tokens_are_made_beside_a_server_that_runs(tmp_path: Path) -> None:
    with start(tmp_path) as server:
        url = lines_until_listening(server)[-1].removeprefix("Listening on ")
        made = subprocess.run(
            [
                *_COMMAND,
                "token",
                "create",
                "ci",
                "--data",
                str(tmp_path),
                "--owner",
                "alice",
                "--scope",
                "read",
            ],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
        )
        client = Client(url, made.stdout.strip())
        assert client.get("/whoami")["grants"] == [{"owner": "alice", "scope": "read"}]
        client.close()
        server.terminate()
        server.wait(DEADLINE)


@pytest.mark.sample(8)
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--port", "99999"), 2, "--port"),
        (("--database", "mysql://x/y"), 2, "is not supported"),
        (("--blobs", "ftp://x"), 2, "cannot be used as a store"),
        (("--data", "/proc/nowhere"), 1, "Error: "),
        (("--database", "postgresql://127.0.0.1:1/x"), 1, "cannot be opened"),
        (("--host", "203.0.113.1"), 1, "cannot listen on 203.0.113.1:0"),
        (("--host", "nowhere.invalid"), 1, "cannot listen on nowhere.invalid:0"),
    ],
)
def test_what_cannot_be_followed_is_said_in_one_line(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    own = ("--port", "0", "--data", str(tmp_path / "data"))
    found, said = refused(*own, *arguments)
    assert (found, message in said) == (code, True), said
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("Error: ")]) == 1


@pytest.mark.slow
def test_a_proxy_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    code, said = refused("--port", "0", "--data", str(tmp_path / "data"), "--trusted-proxy", "foo")
    assert code == 2
    assert "Error: --trusted-proxy: 'foo'" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_port_in_use_and_a_weak_admin_token_are_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = refused("--port", str(port), "--data", str(tmp_path))
    assert code == 1
    assert said.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    code, said = refused("--port", "0", "--data", str(tmp_path), ML_DASH_ADMIN_TOKEN="short")
    assert code == 2
    assert said.startswith("Error: ML_DASH_ADMIN_TOKEN")


@pytest.mark.slow
def test_a_directory_with_somebodys_files_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("mine")
    code, said = refused("--port", "0", "--data", str(tmp_path / "data"), "--blobs", str(tmp_path / "mine"))
    assert code == 1
    assert said.startswith(f"Error: the blob store {tmp_path}/mine is not empty (there is thesis.docx)")
    assert len(said.splitlines()) == 1
    assert os.listdir(tmp_path / "mine") == ["thesis.docx"]


def test_it_says_that_plain_http_for_others_can_be_read() -> None:
    warning = plain_warning("http://0.0.0.0:7007", ServerSettings())
    assert warning is not None
    assert "--self-signed" in warning
    behind = ServerSettings(trusted_proxies=parse_proxies(["10.0.0.5"]))
    for url, settings in (
        ("http://127.0.0.1:7007", ServerSettings()),
        ("https://0.0.0.0:7007", ServerSettings()),
        ("http://0.0.0.0:7007", behind),
    ):
        assert plain_warning(url, settings) is None


@pytest.mark.slow
def test_it_prints_the_fingerprint_and_shows_a_renewed_certificate_at_sighup(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem", days=100)
    with start(tmp_path / "data", "--tls-cert", str(path)) as server:
        lines = lines_until_listening(server)
        assert lines[-2] == f"Certificate SHA-256: {fingerprint_of(path)}"
        port = int(lines[-1].rpartition(":")[2])
        assert lines[-1].startswith("Listening on https://")
        certificate(path, days=100)
        server.send_signal(signal.SIGHUP)
        until(lambda: shown_at(port) == fingerprint_of(path), "the renewed certificate is shown")
        server.terminate()
        assert server.wait(DEADLINE) == 0
        assert server.stderr is not None
        assert fingerprint_of(path) in server.stderr.read()


@pytest.mark.slow
def test_a_certificate_that_cannot_be_used_is_a_wrong_command_line(tmp_path: Path) -> None:
    code, err = refused("--data", str(tmp_path), "--port", "0", "--tls-cert", str(tmp_path / "none.pem"))
    assert code == 2
    assert "No such file" in err
