"""`ml-dash ui`: what it prints, whom it lets in, and what it can do without."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from tests.support.processes import expect_line

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/#token=([\w-]{32})")


@pytest.fixture
def root(tmp_path: Path) -> str:
    with Experiment("alice/p/run", dash_root=str(tmp_path), echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    return str(tmp_path)


BROWSER = """
import json, os, sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

page = Path(unquote(urlsplit(sys.argv[2]).path))
seen = {
    "argv": sys.argv,
    "page": page.read_text(),
    "directory": str(page.parent),
    "modes": [os.stat(each).st_mode & 0o777 for each in (page, page.parent)],
}
Path(sys.argv[1]).write_text(json.dumps(seen))
print("opened", flush=True)
"""
"""A browser: what it was started with, and what it saw."""


@contextmanager
def ui_with_browser(
    root: str, home: Path
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any], int, str]]:
    """Run the command with a home and a browser; yield what that saw, and the port and the token printed before."""
    home.mkdir()
    (home / "browser.py").write_text(BROWSER)
    browser = shlex.join([sys.executable, str(home / "browser.py"), str(home / "seen")]) + " %s"
    process = subprocess.Popen(
        [sys.executable, "-m", "ml_dash.cli", "ui", root, "--port", "0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "HOME": str(home), "BROWSER": browser},
        bufsize=0,
    )
    with process:
        try:
            port, token = printed(process)
            assert expect_line(process).strip() == "opened"
            yield process, json.loads((home / "seen").read_text()), port, token
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="nobody else sees a command line there")
def test_the_browsers_command_line_has_no_token_and_its_file_is_the_users_own(
    root: str, tmp_path: Path
) -> None:
    """It lies where browsers that come as a snap can read it, and is gone when the browser has come."""
    with ui_with_browser(root, tmp_path / "home") as (process, seen, port, token):
        assert not any(token in argument for argument in seen["argv"])
        assert seen["modes"] == [0o600, 0o700]
        directory = Path(seen["directory"])
        assert directory.parent == tmp_path / "home"
        assert not directory.name.startswith(".")
        assert f"url=http://127.0.0.1:{port}/#token={token}" in seen["page"].replace(" ", "")
        assert ask(port, "POST", "/api/v1/session", {"token": token})[0] == 200
        printed(process)
        assert not directory.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="nobody else sees a command line there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_browsers_file_is_gone_when_the_command_ends(
    root: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Though no browser has come."""
    with ui_with_browser(root, tmp_path / "home") as (process, seen, _, _):
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert not Path(seen["directory"]).exists()


@contextmanager
def ui(*arguments: str, before: Sequence[str] = ("-m", "ml_dash.cli")) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, *before, "ui", *arguments, "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def printed(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Return port and token of the next address."""
    found = ADDRESS.search(expect_line(process))
    assert found is not None
    return int(found[1]), found[2]


def ask(
    port: int, method: str, path: str, body: object = None, host: str | None = None, **headers: str
) -> tuple[int, str | None]:
    """Return the status, and the cookie that is set."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    given = {"X-ML-Dash": "1", "Content-Type": "application/json", **headers}
    if host is not None:
        given["Host"] = host
    connection.request(method, path, None if body is None else json.dumps(body), given)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get("Set-Cookie")


def test_it_prints_an_address_whose_token_is_good_once(root: str) -> None:
    with ui(root, "--port", "0") as process:
        port, token = printed(process)
        assert ask(port, "GET", "/api/v1/experiments")[0] == 401
        assert ask(port, "POST", "/api/v1/session", {"token": "x" * 32})[0] == 401
        status, cookie = ask(port, "POST", "/api/v1/session", {"token": token})
        assert status == 200
        assert cookie is not None
        assert cookie.startswith(f"ml_dash_ui_{port}_")
        assert "HttpOnly" in cookie
        assert "Max-Age" not in cookie
        assert ask(port, "GET", "/api/v1/experiments", Cookie=cookie.partition(";")[0])[0] == 200
        assert ask(port, "POST", "/api/v1/session", {"token": token})[0] == 401
        again, fresh = printed(process)
        assert again == port
        assert fresh != token
        assert ask(port, "POST", "/api/v1/session", {"token": fresh})[0] == 200


@pytest.mark.slow
def test_a_browser_is_let_in_when_nobody_reads_the_output_any_more(root: str) -> None:
    """As behind `| head -1`, or in a terminal that was closed: the next address has nowhere to go."""
    with ui(root, "--port", "0") as process:
        port, token = printed(process)
        assert process.stdout is not None
        process.stdout.close()
        status, cookie = ask(port, "POST", "/api/v1/session", {"token": token})
        assert status == 200
        assert cookie is not None
        assert ask(port, "GET", "/api/v1/experiments", Cookie=cookie.partition(";")[0])[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.sample(2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order(root: str, number: signal.Signals) -> None:
    with ui(root, "--port", "0") as process:
        printed(process)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (0, b"")


@pytest.mark.slow
def test_a_page_of_another_host_that_resolves_to_this_machine_is_refused(root: str) -> None:
    with ui(root, "--port", "0") as process:
        port, token = printed(process)
        for host in ("evil.example", f"evil.example:{port}", f"192.168.0.7:{port}"):
            assert ask(port, "POST", "/api/v1/session", {"token": token}, host=host)[0] == 403
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
            assert ask(port, "GET", "/api/v1/health", host=host)[0] == 200


@pytest.mark.slow
def test_it_is_reached_through_any_port_of_a_tunnel(root: str) -> None:
    """As by `ssh -L 9000:127.0.0.1:7008`: the browser asks for the tunnel's port."""
    with ui(root, "--port", "0") as process:
        port, token = printed(process)
        host = f"127.0.0.1:{port + 1}"
        status, cookie = ask(port, "POST", "/api/v1/session", {"token": token}, host=host)
        assert status == 200
        assert cookie is not None
        assert (
            ask(port, "GET", "/api/v1/experiments", host="localhost:9", Cookie=cookie.partition(";")[0])[0]
            == 200
        )


@pytest.mark.slow
def test_nothing_but_the_core_is_needed(root: str) -> None:
    """The server's extra is for the server: its packages may be absent."""
    script = (
        "import sys\n"
        "for name in ('sqlalchemy', 'alembic', 'obstore', 'prometheus_client', 'psycopg'):\n"
        "    sys.modules[name] = None\n"
        "from ml_dash.cli import main\n"
        "sys.exit(main())\n"
    )
    with ui(root, "--port", "0", before=("-c", script)) as process:
        port, token = printed(process)
        assert ask(port, "POST", "/api/v1/session", {"token": token})[0] == 200


@pytest.mark.slow
def test_the_default_port_gives_way_and_a_chosen_one_does_not(root: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with ui(root, "--port", str(port)) as process:
            stdout, stderr = process.communicate(timeout=30)
            assert process.returncode == 1
            assert stdout == b""
            assert f"cannot listen on port {port}".encode() in stderr
            assert b"choose another --port" in stderr
    with ui(root) as first, ui(root) as second:
        ports = {printed(first)[0], printed(second)[0]}
        assert len(ports) == 2
        assert all(7008 <= each < 7028 for each in ports)


@pytest.mark.slow
def test_a_tree_of_the_public_package_is_told_of(tmp_path: Path) -> None:
    """The pages would say that there is nothing."""
    (tmp_path / "experiment.json").write_text('{"name": "run", "project": "p"}')
    with ui(str(tmp_path), "--port", "0") as process:
        assert process.stderr is not None
        assert b"`ml-dash import ml-dash " in process.stderr.readline()


@pytest.mark.slow
def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with ui(str(tmp_path / "nothing")) as process:
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 2
        assert stdout == b""
        assert b"there is no directory" in stderr
