"""A content is there when all of it is there and right, whatever the line and the server do."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_dash.client.api import Client
from ml_dash.client.download import Wanted, fetch_blob
from ml_dash.client.http import AiohttpTransport
from ml_dash.client.transport import ServerError
from ml_dash.errors import ContentError, FileStoreError, InvalidArgumentError, ServerUnavailableError
from tests.support.content_server import ContentServer, serving
from tests.support.one_server import Call

PATH = "/api/v1/experiments/exp_1/files/file_1/content"
BYTES = random.Random(7).randbytes(3_000_000)


def wanted(content: bytes = BYTES, **changes: object) -> Wanted:
    asked = {"checksum": hashlib.sha256(content).hexdigest(), "size": len(content), **changes}
    return Wanted(PATH, str(asked["checksum"]), int(str(asked["size"])), "model.pt")


def fetch(told: ContentServer, call: Call, dest: Path, what: Wanted | None = None) -> list[int]:
    """Download, without waiting between tries, and return the progress that was told."""
    progress: list[int] = []
    client = Client(AiohttpTransport(told.url, lambda: None))
    fetch_blob(client, call, what or wanted(told.content), str(dest), progress.append, lambda _: None)
    return progress


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("size", [0, 1, 4096, 3_000_000])
def test_a_content_of_any_length_arrives(call: Call, tmp_path: Path, size: int) -> None:
    with serving(ContentServer(BYTES[:size])) as told:
        progress = fetch(told, call, tmp_path / "got" / "model.pt")

    assert (tmp_path / "got" / "model.pt").read_bytes() == BYTES[:size]
    assert left_in(tmp_path / "got") == ["model.pt"]
    assert told.asked == [None]
    assert progress == sorted(progress)
    assert progress[-1:] == ([size] if size else [])


def test_a_file_of_that_name_is_replaced_by_a_whole_one(call: Call, tmp_path: Path) -> None:
    dest = tmp_path / "model.pt"
    dest.write_bytes(b"old")
    with serving(ContentServer(BYTES)) as told:
        fetch(told, call, dest)
    assert dest.read_bytes() == BYTES


@pytest.mark.parametrize("length", [None, -1])
def test_a_download_goes_on_where_it_was_cut(call: Call, tmp_path: Path, length: int | None) -> None:
    with serving(ContentServer(BYTES, cuts=[1_000_000, 0, 500_000], length=length)) as told:
        fetch(told, call, tmp_path / "model.pt")

    assert (tmp_path / "model.pt").read_bytes() == BYTES
    first, *others = told.asked
    assert (first, len(others)) == (None, 3)
    starts = [int(str(asked).removeprefix("bytes=").removesuffix("-")) for asked in others if asked]
    # what was sent just before a cut may be lost with the connection
    assert starts == sorted(starts)
    assert all(start <= sent for start, sent in zip(starts, (1_000_000, 1_000_000, 1_500_000), strict=False))


def test_a_server_without_ranges_is_asked_for_all_of_it_again(call: Call, tmp_path: Path) -> None:
    with serving(ContentServer(BYTES, cuts=[2_000_000], ranges=False)) as told:
        progress = fetch(told, call, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BYTES
    assert progress[-1] == len(BYTES)


def test_a_busy_server_is_asked_again(call: Call, tmp_path: Path) -> None:
    busy = '{"error": {"code": "busy", "message": "later"}}'
    with serving(ContentServer(BYTES, refusals=[(503, busy), (500, "<h1>Oops"), (503, busy)])) as told:
        fetch(told, call, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BYTES


@pytest.mark.parametrize(
    "status", [408, 421, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524]
)
def test_a_download_goes_on_where_an_upload_does(call: Call, tmp_path: Path, status: int) -> None:
    """Whatever a gateway, a busy server or a full one says; there is one table for both."""
    with serving(ContentServer(BYTES, refusals=[(status, "<h1>Oops")])) as told:
        fetch(told, call, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BYTES
    assert len(told.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 422])
def test_a_download_ends_where_waiting_does_not_help(call: Call, tmp_path: Path, status: int) -> None:
    refusal = '{"error": {"code": "some", "message": "no"}}'
    with serving(ContentServer(BYTES, refusals=[(status, refusal)] * 9)) as told, pytest.raises(ServerError):
        fetch(told, call, tmp_path / "model.pt")
    assert len(told.asked) == 1
    assert left_in(tmp_path) == []


def test_a_line_that_brings_nothing_is_given_up(call: Call, tmp_path: Path) -> None:
    with (
        serving(ContentServer(BYTES, cuts=[0] * 50)) as told,
        pytest.raises(ServerUnavailableError),
    ):
        fetch(told, call, tmp_path / "model.pt")
    assert len(told.asked) == 6
    assert left_in(tmp_path) == []


def test_a_server_that_is_away_is_a_connection_error(call: Call, tmp_path: Path) -> None:
    with serving(ContentServer(BYTES)) as told:
        pass
    with pytest.raises(ServerUnavailableError, match="refuses"):
        fetch(told, call, tmp_path / "model.pt")
    assert left_in(tmp_path) == []


def test_another_content_is_refused(call: Call, tmp_path: Path) -> None:
    other = bytes([BYTES[0] ^ 1]) + BYTES[1:]
    (tmp_path / "model.pt").write_bytes(b"mine")
    with (
        serving(ContentServer(other)) as told,
        pytest.raises(ContentError, match=r"another content.*model\.pt"),
    ):
        fetch(told, call, tmp_path / "model.pt", wanted())
    assert left_in(tmp_path) == ["model.pt"]
    assert (tmp_path / "model.pt").read_bytes() == b"mine"


@pytest.mark.parametrize("size", [0, 2_999_999, 3_000_001])
@pytest.mark.parametrize("length", [None, -1])
def test_another_length_is_refused(call: Call, tmp_path: Path, size: int, length: int | None) -> None:
    """Said at once where the server says it; a stream without a length is cut off where it goes too far."""
    content = (BYTES + b"x")[:size]
    with serving(ContentServer(content, length=length)) as told:
        short = length == -1 and size < len(BYTES)
        with pytest.raises(ServerUnavailableError if short else ContentError, match=str(len(BYTES))):
            fetch(told, call, tmp_path / "model.pt", wanted())
    assert left_in(tmp_path) == []


def test_a_range_that_begins_elsewhere_is_refused(call: Call, tmp_path: Path) -> None:
    with (
        serving(ContentServer(BYTES, cuts=[1_000_000], offset=5)) as told,
        pytest.raises(ContentError, match=r"from byte \d+ on, and answers with 'bytes"),
    ):
        fetch(told, call, tmp_path / "model.pt")
    assert left_in(tmp_path) == []


def test_a_content_that_was_replaced_meanwhile_is_begun_anew(call: Call, tmp_path: Path) -> None:
    """By another one it is refused in the end, for its hash."""
    with serving(ContentServer(BYTES, cuts=[1_000_000], etag='"another"')) as told:
        fetch(told, call, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BYTES


def test_a_refusal_is_the_servers_own(call: Call, tmp_path: Path) -> None:
    gone = '{"error": {"code": "gone", "message": "deleted"}}'
    with (
        serving(ContentServer(BYTES, refusals=[(410, gone)])) as told,
        pytest.raises(ServerError, match="deleted") as caught,
    ):
        fetch(told, call, tmp_path / "model.pt")
    assert caught.value.status == 410
    assert left_in(tmp_path) == []


def test_a_directory_is_not_replaced(call: Call, tmp_path: Path) -> None:
    (tmp_path / "model.pt").mkdir()
    with serving(ContentServer(BYTES)) as told, pytest.raises(InvalidArgumentError, match="is a directory"):
        fetch(told, call, tmp_path / "model.pt")
    assert told.asked == []


def test_a_name_as_long_as_names_can_be_has_room_for_the_temporary(call: Call, tmp_path: Path) -> None:
    dest = tmp_path / ("ä" * 125 + ".json")
    with serving(ContentServer(b"{}")) as told:
        fetch(told, call, dest)
    assert dest.read_bytes() == b"{}"


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file may become longer than this: how a disk is full, for one process."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits")
def test_a_disk_that_fills_leaves_nothing_behind(call: Call, tmp_path: Path) -> None:
    with serving(ContentServer(BYTES)) as told, at_most(1_000_000):
        with pytest.raises(FileStoreError, match=r"cannot store .*model\.pt") as caught:
            fetch(told, call, tmp_path / "model.pt")
        assert isinstance(caught.value.__cause__, OSError)
    assert left_in(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with serving(ContentServer(BYTES)) as told, pytest.raises(FileStoreError, match="cannot store"):
        fetch(told, call, tmp_path / "file" / "model.pt")


def test_ctrl_c_leaves_nothing_behind(call: Call, tmp_path: Path) -> None:
    """Wherever it comes; here, where the progress is told."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with serving(ContentServer(BYTES)) as told:
        client = Client(AiohttpTransport(told.url, lambda: None))
        with pytest.raises(KeyboardInterrupt):
            fetch_blob(client, call, wanted(), str(tmp_path / "model.pt"), interrupt)
    assert left_in(tmp_path) == []


def test_memory_does_not_depend_on_the_length(call: Call, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 48
    with serving(ContentServer(content)) as told:
        what = wanted(content)
        tracemalloc.start()
        fetch(told, call, tmp_path / "model.pt", what)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # the server of this test slices the content, which is one copy
    assert peak - len(content) < 24 << 20
