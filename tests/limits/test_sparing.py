"""What is left under limits of the system, and what we do without for the script's sake."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import LimitError
from ml_dash.limits import sparing, threads
from ml_dash.limits.sparing import (
    SPARED,
    check_numpy,
    check_room,
    lack_for_numpy,
    lack_for_thread,
)
from ml_dash.limits.system import largest_file
from ml_dash.spawning import start_thread

resource = pytest.importorskip("resource", reason="Windows has no such limits")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing says what is taken")

MIB = 1 << 20


def taken(limit: int) -> int:
    """What counts against a limit: all that is mapped, or the data among it."""
    pages = Path("/proc/self/statm").read_text().split()[0 if limit == resource.RLIMIT_AS else 5]
    return int(pages) * int(resource.getpagesize())


@pytest.fixture(params=["RLIMIT_AS", "RLIMIT_DATA"])
def limit(request: pytest.FixtureRequest) -> Iterator[int]:
    """Which limit is meant; it is put back."""
    which = getattr(resource, request.param)
    before = resource.getrlimit(which)
    yield which
    resource.setrlimit(which, before)


@pytest.fixture
def no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a script that has not imported it."""
    monkeypatch.delitem(sys.modules, "numpy", raising=False)


def leave(limit: int, size: int) -> None:
    """Leave so many bytes."""
    resource.setrlimit(limit, (taken(limit) + size, resource.getrlimit(limit)[1]))


@pytest.mark.usefixtures("no_numpy")
def test_without_a_limit_nothing_is_lacking() -> None:
    assert (lack_for_thread(), lack_for_numpy()) == ("", "")
    check_numpy()
    check_room("this", 1 << 50)


@pytest.mark.usefixtures("no_numpy")
def test_where_little_is_left_we_do_without_threads_and_numpy(limit: int) -> None:
    leave(limit, SPARED // 4)
    before = threading.enumerate()
    assert start_thread(lambda: None, "name") is None
    assert threading.enumerate() == before
    name = "ulimit -v" if limit == resource.RLIMIT_AS else "ulimit -d"
    size = f"`{name} {resource.getrlimit(limit)[0] >> 10}`"
    for lack in (lack_for_thread(), lack_for_numpy()):
        assert size in lack
        assert "Raise that limit" in lack
    with pytest.raises(LimitError, match="numpy takes"):
        check_numpy()
    with pytest.raises(MemoryError, match=r"this takes 2048 MiB .* are left: raise that limit"):
        check_room("this", 2048 * MIB)


@pytest.mark.usefixtures("no_numpy")
def test_where_much_is_left_nothing_is_lacking(limit: int) -> None:
    leave(limit, 64 << 30)
    assert (lack_for_thread(), lack_for_numpy()) == ("", "")
    thread = start_thread(lambda: None, "name")
    assert thread is not None
    thread.join(60)


@pytest.mark.usefixtures("no_numpy")
def test_numpy_takes_more_with_each_processor(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(limit, 2048 * MIB)
    assert lack_for_numpy() == ""
    monkeypatch.setattr(threads, "blas_threads", lambda: 64)
    assert "numpy takes" in lack_for_numpy()


def test_a_script_that_has_numpy_lacks_nothing(limit: int) -> None:
    pytest.importorskip("numpy")
    leave(limit, SPARED // 4)
    check_numpy()


def test_where_nothing_says_what_is_taken_half_of_the_limit_is(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(limit, 64 << 30)
    monkeypatch.setattr(sparing, "_taken", lambda _: None)
    assert lack_for_thread() == ""
    with pytest.raises(LimitError):
        check_room("this", resource.getrlimit(limit)[0] // 2 + 1)


def test_the_size_of_a_stack_is_asked_and_not_set() -> None:
    """`threading.stack_size()` sets it, to the default: the script's threads would get another one than it wants."""
    before = threading.stack_size(1 << 20)
    try:
        lack_for_thread()
        lack_for_numpy()
        assert threading.stack_size() == 1 << 20
    finally:
        threading.stack_size(before)


def test_the_largest_file_is_what_the_limit_says() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert largest_file() is None
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, before[1]))
    try:
        assert largest_file() == 1 << 40
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
