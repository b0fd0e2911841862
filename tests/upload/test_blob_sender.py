"""The sender of blobs, which asks again and again as an uploader does, against the real server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.blobs import Staging, add_marker, discard_marker, markers
from ml_dash.tokens.token import Token
from ml_dash.upload.blob_sender import BlobObserver, BlobSender
from ml_dash.upload.task import Target
from tests.support.one_server import Call

PREFIX = "alice/vision/resnet"


class Waiting(BlobObserver):
    """Waits for blobs until it hears of them, as the ledger of a run does."""

    def __init__(self, *checksums: str) -> None:
        self.checksums = set(checksums)

    def awaited(self) -> set[str]:
        return self.checksums

    def confirmed(self, checksum: str) -> None:
        self.checksums.discard(checksum)

    damaged = confirmed


class Bench:
    """A blob that is too large for its owner's room, and whoever tries to send it all the same."""

    def __init__(self, server: EmbeddedServer, directory: Path, call: Call) -> None:
        self.client = Client(AiohttpTransport(server.url, lambda: Token(server.admin_token)))
        self.target = Target(str(directory), PREFIX, self.client, asyncio.to_thread)
        self.directory = str(directory)
        self.checksum = Staging(self.directory).write(lambda file: file.write(bytes(2000))).checksum
        add_marker(self.directory, self.checksum, "writer")
        self.experiment_id = call(self.client.upsert(PREFIX)).id
        self.waiting = Waiting(self.checksum)
        self.sender = self.new_sender(self.waiting)
        self._call = call

    def new_sender(self, observer: BlobObserver | None = None) -> BlobSender:
        return BlobSender(self.target, lambda _kind, _message: None, observer or BlobObserver())

    @property
    def path(self) -> str:
        return Staging(self.directory).path_of(self.checksum)

    def send(self, sender: BlobSender | None = None) -> None:
        self._call((sender or self.sender).send(self.experiment_id))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server with little room."""
    with EmbeddedServer(data=tmp_path / "server", quota_bytes=1000) as running:
        yield running


@pytest.fixture
def bench(server: EmbeddedServer, tmp_path: Path, call: Call) -> Bench:
    bench = Bench(server, tmp_path / "exp", call)
    bench.send()
    assert bench.sender.refused.keys() == {bench.checksum}
    return bench


def _spoil(bench: Bench) -> None:
    Path(bench.path).write_bytes(b"it is not what it was")


def _remove(bench: Bench) -> None:
    os.remove(bench.path)


@pytest.mark.parametrize("lose", [_spoil, _remove])
def test_what_was_refused_and_is_lost_since_is_lost_and_not_refused(
    bench: Bench, lose: Callable[[Bench], None]
) -> None:
    """A refused blob is one that waits here for another try; whoever waits for it would wait for ever."""
    lose(bench)
    bench.send()
    assert (bench.sender.refused, bench.sender.damaged, bench.waiting.checksums) == (
        {},
        {bench.checksum},
        set(),
    )
    assert not markers(bench.directory)


@pytest.fixture
def roomy(server: EmbeddedServer, bench: Bench) -> Bench:
    """The same, now that somebody has made room at the server."""
    assert server.store is not None
    server.store.limits.change("alice", {"quota_bytes": None})
    return bench


def test_what_somebody_else_has_sent_since_is_confirmed(roomy: Bench) -> None:
    """As by `ml-dash sync`, while the run goes on: with the blob went its marker, so it has to be asked for by name."""
    roomy.send(roomy.new_sender())
    assert not markers(roomy.directory)
    roomy.send()
    assert (roomy.sender.refused, roomy.waiting.checksums) == ({}, set())


def test_what_somebody_else_has_sent_elsewhere_is_sent(roomy: Bench) -> None:
    """To another server, for instance: what is waited for and has no marker is still missing at this one."""
    for marker in markers(roomy.directory):
        discard_marker(roomy.directory, marker)
    roomy.send()
    assert (roomy.sender.refused, roomy.waiting.checksums) == ({}, set())
    assert roomy.sender.sent == {roomy.checksum: 2000}
