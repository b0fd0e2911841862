"""The page that tells how to deploy a server, and its files: run as they are written, as far as this machine can."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
import venv
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_dash import Experiment
from ml_dash.server.forwarding import parse_proxies
from ml_dash.server.runner import EmbeddedServer
from tests.support.postgres import binaries, cluster, new_database
from tests.support.project import PROJECT
from tests.support.proxies import DEPLOY, caddy, free_port, nginx
from tests.support.s3 import binary, bucket
from tests.support.serving import DEADLINE, TOKEN, Client
from tests.support.shell import invoke
from tests.support.sockets import certificate

PAGE = (PROJECT / "docs" / "deploy.md").read_text(encoding="utf-8")
Proxy = Callable[[str, Path, Path, int], AbstractContextManager[str]]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(text: str, language: str) -> list[list[str]]:
    """The lines of the blocks of a language."""
    found = re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in found]


def check_server_options(arguments: list[str]) -> None:
    """See that `ml-dash server` has these options."""
    assert arguments[0] == "server"
    known = set(re.findall(r"--[a-z-]+", invoke("server", "--help").out))
    assert {each.partition("=")[0] for each in arguments if each.startswith("--")} <= known, arguments


# --- the page


def test_every_file_is_named_on_the_page_and_every_name_has_a_file() -> None:
    named = set(re.findall(r"\(deploy/([\w.-]+)\)", PAGE))
    assert named == {path.name for path in DEPLOY.iterdir()}


def test_every_command_of_ours_on_the_page_and_in_the_files_is_one() -> None:
    text = PAGE + "".join(path.read_text() for path in DEPLOY.iterdir())
    lines = re.findall(r"(?:^|[ /])ml-dash (server --[^`\n|]*)", text, re.MULTILINE)
    assert len(lines) >= 8
    for line in lines:
        check_server_options(shlex.split(line))


@pytest.mark.slow
def test_two_users_on_two_machines_by_nothing_but_the_page(tmp_path: Path) -> None:
    """The commands of "In five minutes", as they stand there; machines are home directories, and addresses are ours."""
    text = section("In five minutes")
    (start, (alice, bob), (login,), (whoami,)) = blocks(text, "bash")
    (script,) = blocks(text, "python")
    lab, laptop = Machine(tmp_path / "lab"), Machine(tmp_path / "laptop")
    port = free_port()
    started = start[-1].replace("--host 0.0.0.0", f"--host 127.0.0.1 --port {port}")
    with lab.start(started) as server:
        assert server.stdout is not None
        said = [server.stdout.readline() for _ in range(3)]
        try:
            assert said[0].startswith("Admin token: mld_")
            fingerprint = said[1].removeprefix("Certificate SHA-256: ").strip()
            assert said[2] == f"Listening on https://127.0.0.1:{port}\n"
            assert lab.run(alice).startswith("mld_")
            token = lab.run(bob).strip()
            here = f"https://127.0.0.1:{port}"
            # what the page says for scripts is the same command, with the fingerprint
            (scripted,) = re.findall(r'`(echo "\$TOKEN" \| [^`]*)`', text)
            assert login in scripted
            for command in (scripted, whoami):
                ours = command.replace("https://HOST:7007", here).replace("4F:2A:…", fingerprint)
                told = laptop.run(ours, TOKEN=token)
            assert "bob:write" in told
            (laptop.home / "train.py").write_text("\n".join(script).replace("https://HOST:7007", here))
            laptop.run(f"{sys.executable} train.py")
            (laptop.home / "read.py").write_text(
                "import sys; from ml_dash import Experiment\n"
                "exp = Experiment('bob/vision/resnet', dash_url=sys.argv[1], dash_root=None)\n"
                "print(exp.metrics('train').stats()['count'])"
            )
            assert laptop.run(f"{sys.executable} read.py {here}").strip() == "1"
        finally:
            server.terminate()


class Machine:
    """A home directory in which ML-Dash is installed, as the page has it: on the path, and in ~/ml-dash."""

    def __init__(self, home: Path) -> None:
        self.home = home
        command = home / "ml-dash" / "bin" / "ml-dash"
        command.parent.mkdir(parents=True)
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m ml_dash.cli "$@"\n')
        command.chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.home / 'ml-dash' / 'bin'}:/usr/bin:/bin"
        return {"HOME": str(self.home), "PATH": path, "PYTHONPATH": str(PROJECT), "LANG": "C.UTF-8", **more}

    def start(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.home,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, line: str, **more: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.home,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout


# --- proxies


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One certificate for all: a process reads once whom it trusts."""
    return certificate(tmp_path_factory.mktemp("authority") / "proxy.pem")


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("run", "name", "base"),
    [
        (nginx, "nginx.conf", ""),
        (nginx, "nginx-below-a-path.conf", "/ml-dash"),
        (caddy, "Caddyfile", ""),
        (caddy, "Caddyfile-below-a-path", "/ml-dash"),
    ],
)
def test_a_proxy_as_it_is_written_down_passes_everything_on(
    run: Proxy, name: str, base: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, a file of several MiB both ways, pages, a session that is secure; and who lies to it is not believed."""
    path = authority
    monkeypatch.setenv("ML_DASH_CA", str(path))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "weights.bin").write_bytes(os.urandom(5 << 20))
    settings: dict[str, Any] = {"trusted_proxies": parse_proxies(["127.0.0.1"]), "base_path": base}
    with EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN, **settings) as server:
        (tmp_path / "proxy").mkdir()
        port = int(server.url.removesuffix(base).rpartition(":")[2])
        with run(name, tmp_path / "proxy", path, port) as address:
            url = address + base
            with Experiment(
                "alice/lab/run", dash_url=url, dash_root=tmp_path / "root", echo=False
            ).run as exp:
                exp.metrics("train").log(loss=0.5)
                exp.files("ckpt").save(str(tmp_path / "weights.bin"))
                assert (exp.flush().pending, exp.page) == (0, f"{url}/experiments/alice/lab/run")
            far = Experiment("alice/lab/run", dash_url=url, dash_root=None)
            assert far.metrics("train").stats()["count"] == 1
            back = far.files("ckpt/weights.bin").download(str(tmp_path / "back.bin"))
            assert Path(back).read_bytes() == (tmp_path / "weights.bin").read_bytes()
            lies = {
                "X-Forwarded-Prefix": "/evil",
                "X-Forwarded-Proto": "http",
                "X-Forwarded-For": "203.0.113.9",
            }
            asked = asked_with_lies(f"{url}/api/v1", path, lies)
            assert asked["servers"] == [{"url": base or "/"}]
            assert asked["cookie"].startswith("__Host-ml_dash_session_")
            assert asked["verification_uri"] == f"{url}/device"


def asked_with_lies(api: str, authority: Path, lies: dict[str, str]) -> dict[str, Any]:
    """What comes of the document, a sign-in and a login, by a client that writes the headers of proxies itself."""
    import ssl
    import urllib.parse
    import urllib.request

    context = ssl.create_default_context(cafile=str(authority))

    def ask(path: str, body: bytes | None = None, **headers: str) -> tuple[Any, str]:
        request = urllib.request.Request(f"{api}/{path}", body, {**lies, **headers})
        with urllib.request.urlopen(request, timeout=DEADLINE, context=context) as answer:
            return json.loads(answer.read()), answer.headers.get("Set-Cookie", "")

    document, _ = ask("openapi.json", Authorization=f"Bearer {TOKEN}")
    signing_in = {"X-ML-Dash": "1", "Content-Type": "application/json"}
    _, cookie = ask("session", json.dumps({"token": TOKEN}).encode(), **signing_in)
    form = urllib.parse.urlencode({"client_id": "ml-dash", "client_name": "x", "scope": "read"}).encode()
    login, _ = ask("device/authorize", form)
    return {"servers": document["servers"], "cookie": cookie, "verification_uri": login["verification_uri"]}


# --- services


def test_the_unit_is_one_and_its_directories_belong_together(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((DEPLOY / "ml-dash.service").read_text())
    service = dict(unit["Service"])
    program, *arguments = shlex.split(service["ExecStart"])
    check_server_options(arguments)
    assert f"/var/lib/{service['StateDirectory']}" in arguments
    assert program in section("systemd")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this machine has no systemd-analyze")
    text = (DEPLOY / "ml-dash.service").read_text().replace(program, "/bin/true")
    (tmp_path / "ml-dash.service").write_text(text)
    (tmp_path / "ml-dash.service").chmod(0o644)  # whatever the umask is
    done = subprocess.run(
        [analyze, "verify", str(tmp_path / "ml-dash.service")], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "ml-dash.service" in line] == []


def test_the_composition_names_what_there_is() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    composed = yaml.safe_load(text)
    services = composed["services"]
    in_env = set(re.findall(r"^#   ([A-Z_]+)=", text, re.MULTILINE))
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", text)) == in_env
    for name, service in services.items():
        assert {"image", "build"} & set(service), name
        assert set(service.get("depends_on", ())) <= set(services)
        assert set(service["networks"]) <= set(composed["networks"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in composed["volumes"] or (DEPLOY / source).is_file()
    check_server_options(["server", *services["ml-dash"]["command"]])
    (network,) = composed["networks"]["inside"]["ipam"]["config"]
    assert f"--trusted-proxy={network['subnet']}" in services["ml-dash"]["command"]
    assert (DEPLOY / services["ml-dash"]["build"]["context"]).resolve() == PROJECT


@pytest.mark.slow
@pytest.mark.skipif(
    binaries() is None or binary() is None, reason="PostgreSQL or an S3 server is not installed"
)
def test_the_composed_server_runs_on_postgresql_and_s3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the options and the environment of the file; where its services are, and their secrets, are the test's."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["ml-dash"]
    options = dict(each.removeprefix("--").split("=", 1) for each in service["command"])
    assert set(options) == {"database", "blobs", "trusted-proxy"}
    with cluster() as postgres, bucket() as environment:
        assert set(service["environment"]) <= set(environment)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        blobs = options["blobs"].replace("s3://ml-dash/", "s3://mldash/")
        with EmbeddedServer(
            data=tmp_path / "data", admin_token=TOKEN, database=new_database(postgres), blobs=blobs
        ) as server:
            monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
            with Experiment("a/b/c", dash_url=server.url, dash_root=tmp_path / "root", echo=False).run as exp:
                exp.files("x").save_text("hello", to="x.txt")
                assert exp.flush().pending == 0


@pytest.mark.slow
def test_what_the_image_installs_runs_as_its_user_would_start_it(tmp_path: Path) -> None:
    """Of the files that the Dockerfile copies, by the commands that it has, in a fresh environment."""
    steps = re.findall(
        r"^(COPY|RUN|ENTRYPOINT|CMD) (.*)$",
        (DEPLOY / "Dockerfile").read_text().partition("python:")[2],
        re.MULTILINE,
    )
    source = tmp_path / "src"
    for kind, what in steps:
        if kind == "COPY" and not what.startswith("--from"):
            *given, target = what.split()
            for each in given:
                there = source / (each if target == "./" else target)
                there.parent.mkdir(parents=True, exist_ok=True)
                if (PROJECT / each).is_dir():
                    shutil.copytree(
                        PROJECT / each, there, ignore=shutil.ignore_patterns("node_modules", "__pycache__")
                    )
                else:
                    shutil.copy(PROJECT / each, there)
    venv.create(tmp_path / "venv", with_pip=True)
    bin_ = tmp_path / "venv" / "bin"
    # what the index would give is what is installed here
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    (install,) = [what for kind, what in steps if kind == "RUN" and what.startswith("pip install")]
    assert shlex.split(install)[-1] == ".[server]"
    subprocess.run(
        [str(bin_ / "pip"), "install", "--no-deps", "--no-build-isolation", "--quiet", "."],
        cwd=source,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    started = [each for kind, what in steps if kind in {"ENTRYPOINT", "CMD"} for each in json.loads(what)]
    port = free_port()
    ours = [{"/data": str(tmp_path / "data"), "0.0.0.0": "127.0.0.1"}.get(each, each) for each in started]
    with subprocess.Popen(
        [str(bin_ / ours[0]), *ours[1:], "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PATH": f"{bin_}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
    ) as server:
        assert server.stdout is not None
        said = [server.stdout.readline() for _ in range(3)]
        server.terminate()
        assert said[2] == f"Listening on https://127.0.0.1:{port}\n"
        assert server.wait(DEADLINE) == 0


# --- backup


def test_a_backup_of_no_server_says_so_and_an_interrupted_one_can_be_made_again(tmp_path: Path) -> None:
    def backup(*paths: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DEPLOY / "backup.sh"), *map(str, paths)], capture_output=True, check=False, text=True
        )

    (tmp_path / "other" / "blobs").mkdir(parents=True)
    for source in (tmp_path / "other", tmp_path / "none"):
        refused = backup(source, tmp_path / "copy")
        assert (refused.returncode, "no database" in refused.stderr) == (1, True), refused
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["blobs"], (
        "nothing is made in the source"
    )
    assert "backup.sh DATA TARGET" in backup(tmp_path / "other").stderr
    data = tmp_path / "data"
    with EmbeddedServer(data=data, admin_token=TOKEN):
        pass
    left = tmp_path / "copy.part"
    left.mkdir()
    (left / "catalogue.sqlite").write_bytes(b"half")
    done = backup(data, tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    assert not left.exists()
    assert (tmp_path / "copy" / "catalogue.sqlite").stat().st_size > 4


@pytest.mark.slow
def test_a_backup_of_a_live_server_has_every_file_that_its_rows_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While rows and files come; restored, it runs, and `sync` sends again what came since."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    root, data, backup = tmp_path / "root", tmp_path / "data", tmp_path / "backup"
    saved = threading.Event()
    stop = threading.Event()
    with EmbeddedServer(data=data, admin_token=TOKEN) as server:
        url = server.url
        port = int(url.rpartition(":")[2])
        exp = Experiment("alice/lab/run", dash_url=url, dash_root=root, echo=False)
        exp.run.start()

        def work() -> None:
            number = 0
            while not stop.is_set():
                exp.metrics("train").log(loss=number)
                exp.files("ckpt").save_text(f"{number}" * 1000, to=f"{number}.txt")
                exp.flush()
                number += 1
                saved.set()

        worker = threading.Thread(target=work)
        worker.start()
        assert saved.wait(DEADLINE)
        try:
            subprocess.run([str(DEPLOY / "backup.sh"), str(data), str(backup)], check=True)
        finally:
            stop.set()
            worker.join()
        exp.run.complete()
        count = exp.metrics("train").stats()["count"]
    again = subprocess.run(
        [str(DEPLOY / "backup.sh"), str(data), str(backup)], capture_output=True, check=False
    )
    assert again.returncode == 1, "a backup is never written over"
    assert (backup / "catalogue.sqlite").stat().st_mode & 0o077 == 0
    data.rename(tmp_path / "before")
    shutil.copytree(backup, data)
    with EmbeddedServer(data=data, port=port, admin_token=TOKEN):
        checked = json.loads(command("server", "check", "--data", str(data), "--json").stdout)
        assert checked["missing"] == [], "whatever the copied database names is in the copy"
        far = Experiment("alice/lab/run", dash_url=url, dash_root=None)
        kept = far.metrics("train").stats()["count"]
        assert 0 < kept <= count
        monkeypatch.setenv("ML_DASH_TOKEN_ORIGIN", url)
        sent = command("sync", str(root / "alice"))
        assert sent.returncode == 0, sent.stderr
        assert far.metrics("train").stats()["count"] == count
        saves = far.files("ckpt/*").list()
        assert saves
        for row in saves:
            name = row["filename"]
            assert far.files(f"ckpt/{name}").read_text() == name.removesuffix(".txt") * 1000
    confirmed = command("server", "check", "--data", str(data), "--confirm")
    assert confirmed.returncode == 0, confirmed.stdout + confirmed.stderr


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ml_dash.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )


@pytest.mark.slow
@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")
def test_a_backup_of_postgresql_is_restored_by_the_commands_of_the_page(tmp_path: Path) -> None:
    dump = next(line for (line, *_) in blocks(section("Backup"), "bash") if line.startswith("pg_dump"))
    (restore,) = re.findall(r"`(pg_restore [^`]*)`", section("Restore"))
    with cluster() as postgres:
        url, other = new_database(postgres), new_database(postgres)
        with EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN, database=url) as server:
            client = Client(server.url, TOKEN)
            client.create("alice/lab/run")
            run_in(tmp_path, dump, url)
            client.create("alice/lab/later")
            client.close()
        run_in(tmp_path, restore, other)
        with EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN, database=other) as server:
            client = Client(server.url, TOKEN)
            found = client.get("/experiments")["data"]
            assert [each["prefix"] for each in found] == ["alice/lab/run"]
            client.close()


def run_in(place: Path, line: str, url: str) -> None:
    where = binaries()
    assert where is not None
    environment = {"PATH": f"{where}:/usr/bin:/bin", "DATABASE_URL": url}
    subprocess.run(["bash", "-c", line.replace("/backup/", f"{place}/")], check=True, env=environment)
