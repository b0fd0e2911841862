"""The proxies of docs/deploy, run as they are written there: with ports and certificates of a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.project import PROJECT
from tests.support.serving import until

DEPLOY = PROJECT / "docs" / "deploy"
_NGINX = """
daemon off; pid {place}/pid; error_log {place}/error.log; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    include {place}/site.conf;
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx(name: str, place: Path, certificate: Path, server_port: int) -> Iterator[str]:
    """Run nginx with a file of docs/deploy before a server, and give the address."""
    port = free_port()
    text = (DEPLOY / name).read_text()
    for given, ours in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/letsencrypt/live/dash.example.com/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/dash.example.com/privkey.pem", str(certificate)),
        ("127.0.0.1:7007", f"127.0.0.1:{server_port}"),
    ):
        assert given in text
        text = text.replace(given, ours)
    (place / "site.conf").write_text(text)
    # as root it would change to a user who may not read a test's directory
    (place / "nginx.conf").write_text(_NGINX.format(place=place, user="user root;"))
    options = ["-p", str(place), "-e", str(place / "error.log"), "-c", str(place / "nginx.conf")]
    with _running("nginx", options, place, port):
        yield f"https://127.0.0.1:{port}"


@contextmanager
def caddy(name: str, place: Path, certificate: Path, server_port: int) -> Iterator[str]:
    """Run Caddy with a file of docs/deploy before a server, and give the address."""
    port = free_port()
    text = (DEPLOY / name).read_text()
    site = f"https://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {certificate}"
    server = f"127.0.0.1:{server_port}"
    for given, ours in (("{$HOST:dash.example.com} {", site), ("{$SERVER:127.0.0.1:7007}", server)):
        assert given in text
        text = text.replace(given, ours)
    (place / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    with _running(
        "caddy", ["run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"], place, port
    ):
        yield f"https://127.0.0.1:{port}"


@contextmanager
def _running(program: str, arguments: list[str], place: Path, port: int) -> Iterator[None]:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"this machine has no {program}: `apt-get install {program}`")
    with (
        open(place / "output", "wb") as output,
        subprocess.Popen(
            [path, *arguments],
            stdout=output,
            stderr=output,
            env={"HOME": str(place), "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)},
        ) as process,
    ):
        try:
            until(lambda: process.poll() is not None or _listens(port), f"{program} listens")
            assert process.poll() is None, (place / "output").read_text()
            yield
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
