"""Files at the server when it is killed, when a content is removed under a reader, and when much comes at once."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_dash.protocol import PART_BYTES_MAX, part_bytes
from ml_dash.query.files import FileQuery
from ml_dash.server.blobs.collector import BlobCollector
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.runner import EmbeddedServer
from tests.support.account_serving import Hands
from tests.support.project import PROJECT
from tests.support.serving import API, DEADLINE, TOKEN, Client, running
from tests.support.stored import impatient, stored
from tests.support.uploads import LARGE, Uploads, digest, rows, save

_KILLED = """
import asyncio, hashlib, os, signal, sys
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.blobs.catalogue import BlobCatalogue
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store

synced, sync = [], ObjectStore._sync

def note(self, name):
    sync(self, name)
    synced.append(name)

def die(*_):
    if synced:  # else it would be listed before it is there for good
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)

ObjectStore._sync = note
BlobCatalogue.add_whole = BlobCatalogue.add_part = die
store = Store.open(ServerSettings(data=sys.argv[1]))
data = bytes(range(256)) * (9 << 12)
checksum = hashlib.sha256(data).hexdigest()
if sys.argv[2] == "whole":
    store.transfers._store_whole("alice", checksum, data)
else:
    content = store.blob_catalogue.begin("alice", checksum, len(data))
    part = data[: content.part_bytes]

    async def chunks():
        yield part

    digest = hashlib.sha256(part).digest()
    asyncio.run(store.transfers.receive_part(content, 1, digest, chunks()))
"""


@pytest.mark.sample(2)
@pytest.mark.crash
@pytest.mark.parametrize("kind", ["whole", "part"])
def test_a_kill_between_the_object_and_the_transaction_leaves_only_an_object_to_be_collected(
    kind: str, tmp_path: Path
) -> None:
    """Nothing of it is listed, and the same content is taken afterwards."""
    data = bytes(range(256)) * (9 << 12)
    died = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), kind],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout=DEADLINE,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    (stray,) = (tmp_path / "blobs").glob("contents/*/*")
    assert stray.stat().st_size > 0
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client, store = Client(server.url, TOKEN), server.store
        assert store is not None
        experiment = client.create("alice/vision/run")
        uploads = Uploads(client, experiment)
        assert uploads.lacking(digest(data)) == [digest(data)]
        client.stored(experiment, rows(1, save("f", data)))
        assert client.ask("GET", f"/experiments/{experiment}/files/f/content").status == 409
        assert uploads.post(f"/{digest(data)}/upload", {"sizeBytes": len(data)}).body["parts"] == []
        uploads.put_all(data)
        assert impatient(store).collect() == 1
        assert not stray.exists()
        assert client.ask("GET", f"/experiments/{experiment}/files/f/content").body == data
        client.close()


def _reading(url: str, path: str) -> tuple[socket.socket, http.client.HTTPResponse]:
    """Ask for something, with so small a window that most of it stays at the server."""
    host, _, port = url.removeprefix("http://").partition(":")
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    line.settimeout(DEADLINE)
    line.connect((host, int(port)))
    request = f"GET {API}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    line.sendall(request.encode())
    answer = http.client.HTTPResponse(line)
    answer.begin()
    return line, answer


def test_a_content_that_is_collected_while_it_is_read_breaks_off_without_a_wrong_byte(tmp_path: Path) -> None:
    """Who reads it knows that it was not all; who asks afterwards is told that it is gone."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client, store = Client(server.url, TOKEN), server.store
        assert store is not None
        experiment = client.create("alice/vision/run")
        uploads = Uploads(client, experiment)
        uploads.put_all(LARGE)
        client.stored(experiment, rows(1, save("big", LARGE)))
        path = f"/experiments/{experiment}/files/big/content"
        line, answer = _reading(server.url, path)
        got = answer.read(1 << 16)
        assert (answer.status, answer.length) == (200, len(LARGE) - len(got))

        client.stored(experiment, rows(2, {"event": "delete", "id": "big"}))
        later = Hands(store.clock.time_ns() / 1e9 + 90 * 86_400)
        collector = BlobCollector(store.backend._replace(clock=later))
        assert collector.collect() == 1
        uploads.put(b"another content")  # whose object must not be taken for one of those that are gone
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            while piece := answer.read1(1 << 16):
                got += piece
        assert LARGE.startswith(got)
        assert len(got) < len(LARGE)
        answer.close()
        line.close()
        assert client.ask("GET", path).status == 410
        assert store.view(experiment).files(FileQuery(path="/models")) == []
        client.close()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc")
def test_three_large_parts_at_once_cost_no_more_than_a_few_pieces_each(tmp_path: Path) -> None:
    """They are written as they come: 192 MiB, in less than 64 of memory."""
    size = (PART_BYTES_MAX >> 20) * 2500 << 20
    assert part_bytes(size) == PART_BYTES_MAX
    data, checksum = os.urandom(1 << 20) * (PART_BYTES_MAX >> 20), hashlib.sha256(b"never").hexdigest()

    def peak(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    with running(tmp_path) as server:
        client = server.client()
        experiment = client.create()
        assert Uploads(client, experiment).put(bytes(1 << 20)).status == 200
        begun = Uploads(client, experiment).post(f"/{checksum}/upload", {"sizeBytes": size})
        assert begun.body["partBytes"] == PART_BYTES_MAX
        before = peak(server.pid)

        def send(number: int) -> int:
            own = server.client()
            try:
                return Uploads(own, experiment).put_part(checksum, number, data).status
            finally:
                own.close()

        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(send, [1, 2, 3])) == [200] * 3
        growth = peak(server.pid) - before
        client.close()
    assert growth < PART_BYTES_MAX, f"{growth >> 20} MiB"
    assert len(stored(ObjectStore(str(tmp_path / "blobs")))) == 4
