"""Servers that are killed, stopped, full or several: what they acknowledged is there, exactly once."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import (
    TOKEN,
    Client,
    ServerProcess,
    expected,
    frame,
    frames,
    large_frame,
    numbers,
    until,
)
from tests.support.small_disk import can_mount

_CUT = (OSError, http.client.HTTPException)


class Sender:
    """Sends frames one request after the other, until it is cut off; remembers what was acknowledged."""

    def __init__(self, url: str, experiment: str, writer: str, first: int, rows: int) -> None:
        self.acknowledged = first - 1
        self._thread = threading.Thread(target=self._send, args=(url, experiment, writer, rows))
        self._thread.start()

    def _send(self, url: str, experiment: str, writer: str, rows: int) -> None:
        client = Client(url, TOKEN)
        try:
            with contextlib.suppress(*_CUT):
                while True:
                    seq = self.acknowledged + 1
                    self.acknowledged = client.stored(experiment, *frames(seq, 3, rows=rows), writer=writer)
        finally:
            client.close()

    def wait(self, seq: int) -> None:
        """Wait until this many frames are acknowledged."""
        until(lambda: self.acknowledged >= seq, f"frame {seq} is acknowledged")

    def join(self) -> int:
        self._thread.join()
        return self.acknowledged


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_after_kill_9_every_acknowledged_frame_is_there_exactly_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"compact_rows": 200, "upkeep_interval": 0.01}
    if kind == "postgresql":
        settings["database"] = request.getfixturevalue("postgres_database")
    sizes = {"tiny": 1, "small": 100, "large": 8192}
    acknowledged = dict.fromkeys(sizes, 0)
    experiment = ""
    for _ in range(4):
        server = ServerProcess(tmp_path, **settings)
        try:
            client = server.client()
            experiment = client.create()
            watermarks = client.get(f"/experiments/{experiment}/writers")["watermarks"]
            for writer, known in acknowledged.items():
                # one request may have been stored whose answer was lost
                assert watermarks.get(writer, 0) in {known, known + 3}
            senders = {
                writer: Sender(server.url, experiment, writer, watermarks.get(writer, 0) + 1, rows)
                for writer, rows in sizes.items()
            }
            for writer, sender in senders.items():
                sender.wait(acknowledged[writer] + 9)
            client.close()
        finally:
            server.kill()
        acknowledged = {writer: sender.join() for writer, sender in senders.items()}
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, database=settings.get("database")) as last:
        client = Client(last.url, TOKEN)
        watermarks = client.get(f"/experiments/{experiment}/writers")["watermarks"]
        rows = client.rows(experiment)
        wanted = [row for writer, size in sizes.items() for row in expected(0, watermarks[writer] * size)]
        assert sorted(rows, key=repr) == sorted(wanted, key=repr)
        assert client.get(f"/experiments/{experiment}")["rows"] == len(wanted)
        client.close()


@pytest.mark.crash
def test_a_server_that_is_told_to_stop_answers_what_it_accepted(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    client = server.client()
    experiment = client.create()
    senders = [Sender(server.url, experiment, f"w{number}", 1, 10) for number in range(4)]
    for sender in senders:
        sender.wait(9)
    client.close()
    assert server.stop() == 0
    acknowledged = {f"w{number}": sender.join() for number, sender in enumerate(senders)}
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as again:
        client = Client(again.url, TOKEN)
        assert client.get(f"/experiments/{experiment}/writers")["watermarks"] == acknowledged
        assert len(client.rows(experiment)) == 10 * sum(acknowledged.values())
        client.close()


def test_a_server_starts_again_on_its_port_with_its_data(tmp_path: Path) -> None:
    server = EmbeddedServer(data=tmp_path)
    with server:
        url, token = server.url, server.admin_token
        client = Client(url, token)
        experiment = client.create()
        client.stored(experiment, *frames(1, 3))
        client.close()
    with pytest.raises(OSError, match="refused"):
        Client(url, token).get("/health")
    with server:
        assert (server.url, server.admin_token) == (url, token)
        client = Client(url, token)
        assert client.stored(experiment, *frames(2, 4)) == 5
        assert client.rows(experiment) == expected(0, 5)
        client.close()


@pytest.mark.slow
def test_two_servers_on_one_database_store_each_frame_once(postgres_database: str, tmp_path: Path) -> None:
    """Two clients send the same frames to two servers, and each server has its own idea of the watermark."""
    shared = {"database": postgres_database, "admin_token": TOKEN, "data": tmp_path}
    with EmbeddedServer(**shared) as one, EmbeddedServer(**shared) as two:  # type: ignore[arg-type]
        client = Client(one.url, TOKEN)
        experiment = client.create()
        barrier = threading.Barrier(4)
        failures: list[object] = []

        def send(url: str, step: int) -> None:
            own = Client(url, TOKEN)
            barrier.wait()
            for first in range(1, 61, step):
                answer = own.send(experiment, *frames(first, step, rows=50))
                if answer.status != 200:
                    failures.append(answer)
            own.close()

        threads = [
            threading.Thread(target=send, args=(server.url, step)) for server in (one, two) for step in (3, 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert client.rows(experiment) == expected(0, 3000)
        other = Client(two.url, TOKEN)
        assert other.stored(experiment, *frames(61, 1, rows=50)) == 61
        assert client.stored(experiment, *frames(62, 1, rows=50)) == 62
        assert other.ask("DELETE", f"/experiments/{experiment}").status == 200
        assert client.send(experiment, *frames(63, 1, rows=50)).error["code"] == "gone"
        client.close()
        other.close()


@pytest.mark.slow
def test_many_writers_on_two_servers_number_the_rows_of_one_metric(
    postgres_database: str, tmp_path: Path
) -> None:
    shared = {"database": postgres_database, "admin_token": TOKEN, "data": tmp_path}
    with EmbeddedServer(**shared) as one, EmbeddedServer(**shared) as two:  # type: ignore[arg-type]
        client = Client(one.url, TOKEN)
        experiment = client.create()

        def send(url: str, writer: str) -> None:
            own = Client(url, TOKEN)
            for first in range(1, 31):
                own.stored(experiment, *frames(first, 1, rows=2), writer=writer)
            own.close()

        threads = [
            threading.Thread(target=send, args=(server.url, f"w{number}{place}"))
            for place, server in enumerate((one, two))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = client.rows(experiment)
        assert sorted(rows, key=repr) == sorted(expected(0, 60) * 8, key=repr)
        page = client.get(f"/experiments/{experiment}/metrics/rows", name="train", limit=1000)
        assert [row["index"] for row in page["data"]] == list(range(480))
        client.close()


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="mounting file systems needs root")
@pytest.mark.parametrize(
    "make", [lambda seq: frame(seq, numbers((seq - 1) * 500, 500)), large_frame], ids=["rows", "objects"]
)
def test_a_full_disk_refuses_loses_nothing_and_recovers(make: object, tmp_path: Path) -> None:
    assert callable(make)
    launcher = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=6m tmpfs {tmp_path} && exec "$@"',
        "sh",
    ]
    server = ServerProcess(tmp_path, launcher=launcher)
    try:
        client = server.client()
        experiment = client.create()
        inside = ["nsenter", "--target", str(server.pid), "--mount", "sh", "-c"]
        seq = 0
        while (answer := client.send(experiment, make(seq + 1))).status == 200:
            seq += 1
        assert (answer.status, answer.error["code"]) == (507, "disk_full")
        subprocess.run(
            [*inside, f"cat /dev/zero > {tmp_path}/ballast"], stderr=subprocess.DEVNULL, check=False
        )
        assert client.send(experiment, make(seq + 1)).status == 507
        assert client.ask("GET", "/ready").status == 503
        rows = client.rows(experiment)
        assert rows == expected(0, len(rows))
        assert client.get(f"/experiments/{experiment}/writers")["watermarks"] == dict.fromkeys(
            client.get(f"/experiments/{experiment}/writers")["watermarks"], seq
        )
        client.close()
        server.kill()
        assert seq > 2
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="mounting file systems needs root")
def test_a_server_whose_disk_has_room_again_goes_on_by_itself(tmp_path: Path) -> None:
    launcher = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=6m tmpfs {tmp_path} && exec "$@"',
        "sh",
    ]
    server = ServerProcess(tmp_path, launcher=launcher)
    try:
        client = server.client()
        experiment = client.create()
        assert client.stored(experiment, *frames(1, 2)) == 2
        assert client.ask("GET", "/ready").status == 200
        inside = ["nsenter", "--target", str(server.pid), "--mount", "sh", "-c"]
        subprocess.run(
            [*inside, f"cat /dev/zero > {tmp_path}/ballast"], stderr=subprocess.DEVNULL, check=False
        )
        seq = 3
        while (answer := client.send(experiment, frame(seq, numbers(seq - 1, 1)))).status == 200:
            seq += 1
        assert answer.status == 507
        assert client.ask("GET", "/ready").status == 503
        subprocess.run([*inside, f"rm {tmp_path}/ballast"], check=True)
        until(lambda: client.ask("GET", "/ready").status == 200, "the server notices the room")
        assert client.stored(experiment, frame(seq, numbers(seq - 1, 1))) == seq
        assert client.rows(experiment) == expected(0, seq)
        client.close()
    finally:
        server.kill()
