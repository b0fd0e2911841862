"""A file of two gigabytes on its way to a server, with kills of both sides: it arrives whole, in little memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.protocol import part_bytes
from ml_dash.storage.blobs import markers
from tests.support.project import PROJECT
from tests.support.serving import TOKEN, ServerProcess

SIZE = int(os.environ.get("ML_DASH_TEST_FILE_BYTES", str(2 << 30)))
"""Bytes of the file; fewer make the test faster."""
GROWTH = 64 << 20
DEADLINE = 240.0
PREFIX = "alice/vision/big"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.crash,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc"),
]

CLIENT = """
import sys
from ml_dash import Experiment

prefix, root, url, source = sys.argv[1:]
exp = Experiment(prefix, dash_root=root, dash_url=url, echo=False).run.start()
exp.files.save_text("small", to="small.txt")
assert exp.flush(60).pending == 0
print("ready", flush=True)
if source:
    exp.files("models").save(source)
    print("saved", flush=True)
while exp.flush(5).pending or exp.status().pending_files:
    pass
print("sent", flush=True)
sys.stdin.readline()
exp.run.complete()
"""


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


class SavingProcess:
    """A run in a process of its own, which saves a file, or only sends what others have left."""

    def __init__(self, root: Path, url: str, source: Path | None) -> None:
        given = [PREFIX, str(root), url, str(source or "")]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "ML_DASH_TOKEN": TOKEN}
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.says("ready")
        self._before = peak(self._process.pid)

    def says(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word

    @property
    def growth(self) -> int:
        """By how much its memory has grown since it began, at most."""
        return peak(self._process.pid) - self._before

    def end(self, *, kill: bool) -> None:
        if kill:
            self._process.send_signal(signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not kill:
            self._process.stdin.write("\n")
        self._process.stdin.close()
        assert self._process.wait(60) == (-signal.SIGKILL if kill else 0)
        self._process.stdout.close()


def make_file(path: Path, size: int) -> str:
    """Write a file no two megabytes of which are the same; return its checksum."""
    digest, block = hashlib.sha256(), os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(-(-size // len(block))):
            piece = (number.to_bytes(8, "big") + block[8:])[: size - number * len(block)]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def stored(data: Path) -> int:
    """How many bytes of contents lie at the server."""
    found = 0
    for path in data.glob("blobs/contents/*/*"):
        try:
            found += path.stat().st_size
        except FileNotFoundError:
            continue  # a part that was cut, and is being removed
    return found


def wait_until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not happens():
        assert time.monotonic() < deadline, f"after {DEADLINE:.0f} s still not: {what}"
        time.sleep(0.01)


def wait_until_stored(data: Path, size: int) -> None:
    wait_until(lambda: stored(data) >= size, f"{size} bytes at the server")


def test_a_big_file_arrives_whole_though_both_sides_are_killed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was acknowledged is not sent again: no more than a few parts are, for all the kills together."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    source, data, root = tmp_path / "big.bin", tmp_path / "server", tmp_path / "dash"
    checksum = make_file(source, SIZE)
    server = ServerProcess(data)
    port = int(server.url.rpartition(":")[2])
    growths: dict[str, list[int]] = {"client": [], "server": []}
    before = peak(server.pid)
    try:
        client = SavingProcess(root, server.url, source)
        client.says("saved")
        source.unlink()
        for share in (1, 2):
            wait_until_stored(data, SIZE * (2 * share - 1) // 6)
            growths["client"].append(client.growth)
            client.end(kill=True)
            growths["server"].append(peak(server.pid) - before)
            client = SavingProcess(root, server.url, None)
            wait_until_stored(data, SIZE * (2 * share) // 6)
            growths["server"].append(peak(server.pid) - before)
            server.kill()
            server = ServerProcess(data, port=port)
            before = peak(server.pid)
        client.says("sent")
        wait_until(lambda: not markers(str(root / PREFIX)), "all to be sent")
        growths["client"].append(client.growth)
        growths["server"].append(peak(server.pid) - before)
        client.end(kill=False)
        assert stored(data) < SIZE + 8 * part_bytes(SIZE), "parts that had arrived were sent again"
        shutil.rmtree(root / PREFIX / "files")
        at_server = Experiment(PREFIX, dash_url=server.url, dash_root=None)
        (row,) = at_server.files("models").list()
        assert (row["checksum"], row["sizeBytes"]) == (checksum, SIZE)
        got = at_server.files(file_id=row["id"]).download(str(tmp_path / "got.bin"))
        assert digest_of(Path(got)) == checksum
    finally:
        server.kill()
        for large in (tmp_path / "got.bin", source):
            large.unlink(missing_ok=True)
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)
    assert max(growths["client"]) < GROWTH, growths
    assert max(growths["server"]) < GROWTH, growths
