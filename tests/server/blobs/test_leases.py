"""Leases of blobs that are collected at the very moment at which somebody is told that they are here."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_dash.server.blobs import collector
from ml_dash.server.blobs.limits import add_used
from ml_dash.server.errors import ApiError
from ml_dash.server.store import Store
from tests.support.at_once import waits_for_a_lock
from tests.support.postgres import on_postgresql
from tests.support.serving import until
from tests.support.uploads import digest

DATA = b"what nobody names any more"
NAME = digest(DATA)


@pytest.fixture
def unused(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a blob that the collector is to remove."""
    asyncio.run(store.transfers.receive_whole("alice", NAME, DATA))
    monkeypatch.setattr(collector, "LEASE_SECONDS", -60)
    return store


def collected_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the collector come just behind whoever looks for a blob."""
    find = store.blob_catalogue.find

    def found(*asked: Any) -> Any:
        blob = find(*asked)
        monkeypatch.undo()
        with monkeypatch.context() as patch:
            patch.setattr(collector, "LEASE_SECONDS", -60)
            assert store.blob_collector.collect() == 1
        return blob

    monkeypatch.setattr(store.blob_catalogue, "find", found)


def test_a_blob_that_is_sent_again_while_it_is_collected_is_here(
    unused: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected_behind(unused, monkeypatch)
    asyncio.run(unused.transfers.receive_whole("alice", NAME, DATA))
    blob = unused.blob_catalogue.find("alice", NAME)
    assert blob is not None
    assert blob.complete
    assert unused.objects.get(blob.parts[0].object, 0, len(DATA)) == DATA
    assert unused.limits.record("alice").used_bytes == len(DATA)


def test_an_upload_that_is_collected_while_it_is_completed_begins_anew(
    unused: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected_behind(unused, monkeypatch)
    with pytest.raises(ApiError) as refused:
        asyncio.run(unused.transfers.complete("alice", NAME))
    assert refused.value.status == 404
    assert unused.blob_catalogue.begin("alice", NAME, len(DATA)).missing == [1]


@on_postgresql
def test_what_is_being_collected_is_lacking(unused: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while the collector's transaction goes on waits for it, and has to send the blob."""
    inside, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> None:
        add_used(*given)
        inside.set()
        assert go_on.wait(60)

    monkeypatch.setattr(collector, "add_used", slowly)
    with ThreadPoolExecutor(2) as threads:
        collected = threads.submit(unused.blob_collector.collect)
        assert inside.wait(60)
        try:
            lacking = threads.submit(unused.blob_catalogue.missing, "alice", [NAME])
            until(lambda: waits_for_a_lock(unused.database), "whoever asks waits for the collector")
        finally:
            go_on.set()
        assert (collected.result(60), lacking.result(60)) == (1, [NAME])
