"""The queue: bounded, in order, and nothing is lost but what is counted. No test here measures time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.errors import FileStoreError
from ml_dash.events.column_event import ColumnEvent
from ml_dash.events.items import Item, rows_of
from ml_dash.pipeline.backlog import LARGE_EVENT, NOTHING, Drained
from ml_dash.pipeline.queue import EventQueue
from ml_dash.settings import Overflow
from tests.support.examples import many

SMALL = b"x" * 10
LARGE = b"x" * (LARGE_EVENT + 1)
ALL = 10**9


class Wakes:
    """Counts how often the worker was woken."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def queue_of(
    capacity: int = 100,
    capacity_bytes: int = 10 * len(LARGE),
    overflow: Overflow = "block",
    wake: Callable[[], None] = lambda: None,
) -> EventQueue:
    queue = EventQueue(capacity, capacity_bytes, overflow, wake)
    queue.work()
    return queue


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; the deadline only ends a test that has failed."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def wait_for_length(queue: EventQueue, length: int) -> None:
    wait_until(lambda: len(queue) == length)


def drain(queue: EventQueue, most: int, most_bytes: int) -> Drained:
    """Drain a queue, and put away what comes of it."""
    found = queue.drain(most, most_bytes)
    queue.taken = NOTHING
    return found


def taken(queue: EventQueue, most: int) -> list[bytes]:
    """Drain a queue in which all is packed already."""
    return [event for event in drain(queue, most, ALL).items if isinstance(event, bytes)]


def thread_that_puts(queue: EventQueue, events: list[bytes]) -> threading.Thread:
    def put() -> None:
        for event in events:
            queue.put(event)

    return threading.Thread(target=put)


def numbered(count: int, size: int = 8) -> list[bytes]:
    return [number.to_bytes(8, "big").ljust(size, b"x") for number in range(count)]


# --- draining


def test_events_come_out_in_the_order_in_which_they_were_put() -> None:
    """Some at a time, and none twice."""
    queue = queue_of()
    events = numbered(50)
    for event in events:
        queue.put(event)

    assert len(queue) == 50
    assert drain(queue, 20, ALL).items == events[:20]
    assert len(queue) == 30
    assert drain(queue, 100, ALL).items == events[20:]
    assert drain(queue, 100, ALL).items == []


def test_large_events_are_drained_by_their_bytes() -> None:
    """At least one, and about as many bytes as asked for."""
    queue = queue_of()
    for _ in range(6):
        queue.put(LARGE)

    assert len(drain(queue, 100, 1).items) == 1
    assert len(drain(queue, 100, 2 * len(LARGE)).items) == 2
    assert len(drain(queue, 100, ALL).items) == 3


def test_small_events_are_drained_by_their_number_only() -> None:
    """Their sizes are not even looked at."""
    queue = queue_of()
    for _ in range(50):
        queue.put(SMALL)

    assert len(drain(queue, 100, 1).items) == 50


# --- capacity


def test_at_capacity_the_caller_waits_for_room() -> None:
    """`block`: nothing is lost; what waits is bounded, and its order is kept."""
    wakes = Wakes()
    queue = queue_of(capacity=10, wake=wakes)
    events = numbered(100)
    writer = thread_that_puts(queue, events)
    writer.start()

    drained: list[bytes] = []
    while len(drained) < 100:
        # the caller that waits has put its event already: one more than the capacity
        wait_for_length(queue, min(11, 100 - len(drained)))
        drained += taken(queue, 3)
    writer.join()

    assert drained == events
    assert queue.counts() == (0, Counter())
    assert wakes.count > 0


def test_at_capacity_events_are_dropped_and_counted() -> None:
    """`drop`: what waits already is kept."""
    queue = queue_of(capacity=10, overflow="drop")
    events = numbered(25)
    for event in events:
        queue.put(event)

    assert queue.counts() == (10, Counter(overflow=15))
    assert drain(queue, 100, ALL).items == events[:10]
    queue.put(SMALL)
    assert queue.counts() == (1, Counter(overflow=15))


@pytest.mark.parametrize("overflow", ["block", "drop"])
def test_a_disk_that_fails_turns_waiting_into_counted_drops(overflow: Overflow) -> None:
    """Whatever the way to overflow: the training loop goes on."""
    queue = queue_of(capacity=10, overflow=overflow)
    queue.disk_failed()
    for event in numbered(25):
        queue.put(event)

    assert queue.counts() == (10, Counter(disk=15))
    drain(queue, 5, ALL)
    queue.disk_works()
    for _ in range(5):
        queue.put(SMALL)
    assert queue.counts() == (10, Counter(disk=15))


def test_a_disk_that_begins_to_fail_frees_those_who_wait() -> None:
    """They drop what they have just put, and go on."""
    queue = queue_of(capacity=10)
    writers = [thread_that_puts(queue, [SMALL] * 20) for _ in range(4)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(queue) >= 14)

    queue.disk_failed()
    for writer in writers:
        writer.join(60)

    assert not any(writer.is_alive() for writer in writers)
    assert queue.counts() == (10, Counter(disk=70))


def test_the_thread_that_drains_never_waits_for_itself() -> None:
    """It may log (a warning's handler, for instance) while it has a full queue in its hands."""
    queue = queue_of(capacity=10)
    queue.begin_drain()
    for _ in range(20):
        queue.put(SMALL)

    assert queue.counts() == (20, Counter())


def test_the_thread_that_ends_the_process_never_waits() -> None:
    """Its few last events are put whatever the capacity."""
    queue = queue_of(capacity=10)
    queue.exempt_this_thread()
    for _ in range(20):
        queue.put(SMALL)

    assert queue.counts() == (20, Counter())


# --- bytes


def test_large_events_are_bounded_by_their_bytes() -> None:
    """Long before there are as many as the capacity."""
    queue = queue_of(capacity=1000, capacity_bytes=3 * len(LARGE), overflow="drop")
    for _ in range(10):
        queue.put(LARGE)
    assert queue.counts() == (3, Counter(overflow=7))

    drain(queue, 1, ALL)
    queue.put(LARGE)
    queue.put(LARGE)
    assert queue.counts() == (3, Counter(overflow=8))

    drain(queue, 1000, ALL)
    for _ in range(3):
        queue.put(LARGE)
    assert queue.counts() == (3, Counter(overflow=8))


def test_a_caller_with_a_large_event_waits_for_room() -> None:
    """`block`, by bytes."""
    queue = queue_of(capacity=1000, capacity_bytes=2 * len(LARGE))
    writer = thread_that_puts(queue, [LARGE] * 10)
    writer.start()

    drained = 0
    while drained < 10:
        wait_for_length(queue, min(3, 10 - drained))
        drained += len(drain(queue, 1, ALL).items)
    writer.join()

    assert queue.counts() == (0, Counter())


def test_an_event_larger_than_the_whole_capacity_waits_for_an_empty_queue_only() -> None:
    """It is dropped where dropping is asked for; else it is taken as soon as it can be."""
    queue = queue_of(capacity_bytes=10, overflow="drop")
    queue.put(LARGE)
    assert queue.counts() == (0, Counter(overflow=1))

    queue = queue_of(capacity_bytes=10)
    writer = thread_that_puts(queue, [LARGE])
    writer.start()
    wait_until(lambda: len(queue) == 1)
    assert drain(queue, 1, 1).items == [LARGE]
    writer.join(60)
    assert not writer.is_alive()


@given(
    st.lists(
        st.tuples(st.just("put"), st.sampled_from([10, LARGE_EVENT, LARGE_EVENT + 1, 20_000]))
        | st.tuples(st.just("drain"), st.integers(1, 5))
    )
)
@settings(max_examples=many(200))
def test_every_event_is_drained_waiting_or_dropped(steps: list[tuple[str, int]]) -> None:
    """At any time; and neither number nor bytes of what waits exceed the capacity."""
    queue = queue_of(capacity=4, capacity_bytes=50_000, overflow="drop")
    put = drained = 0
    for action, number in steps:
        if action == "put":
            queue.put(b"x" * number)
            put += 1
        else:
            drained += len(drain(queue, number, 30_000).items)
        waiting, dropped = queue.counts()
        assert put == drained + waiting + dropped.total()
        assert waiting <= 4
        assert (
            sum(len(event) for event in queue.events if len(event) > LARGE_EVENT)
            == queue._large_bytes
            <= 50_000
        )


def columns_of(rows: int) -> ColumnEvent:
    return ColumnEvent(0, np.arange(rows), [])


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "columns"]), st.integers(1, 2000))
        | st.tuples(st.sampled_from(["drain", "keep"]), st.integers(1, 5))
    )
)
@settings(max_examples=many(200))
def test_rows_that_come_as_columns_count_as_rows_and_are_drained_in_order_by_themselves(
    steps: list[tuple[str, int]],
) -> None:
    queue = queue_of(capacity=4, capacity_bytes=20_000, overflow="drop")
    put = 0
    drained: list[Item] = []
    logged: list[Item] = []
    for action, number in steps:
        if action == "drain":
            found = drain(queue, number, ALL).items
            assert all(isinstance(event, bytes) for event in found[:-1])
            drained += found
        else:
            before = queue.counts()[1].total()
            rows = number if action == "columns" else 1
            event: bytes | ColumnEvent = columns_of(rows) if action == "columns" else bytes(number)
            if isinstance(event, ColumnEvent):
                queue.put_columns(event)
            elif action == "put":
                queue.put(event)
            elif len(queue._kept) < 4:
                queue.keep(event)
            else:
                continue
            put += rows
            dropped = queue.counts()[1].total() - before
            assert dropped in {0, rows}
            if not dropped:
                logged.append(event)
        waiting, refused = queue.counts()
        assert put == sum(map(rows_of, drained)) + waiting + refused.total()
        assert queue.has(1, 1) == (len(queue) > 0)
    while len(queue):
        drained += drain(queue, 3, ALL).items
    assert sorted(map(id, drained)) == sorted(map(id, logged))
    kept = {id(event) for event in logged if isinstance(event, bytes) and len(event) <= 5}
    assert [id(event) for event in drained if id(event) not in kept] == [
        id(event) for event in logged if id(event) not in kept
    ]


# --- sleeping and waking


def test_nobody_is_woken_while_the_worker_polls() -> None:
    """A call must not cost a system call."""
    wakes = Wakes()
    queue = queue_of(wake=wakes)
    for _ in range(50):
        queue.put(SMALL)

    assert wakes.count == 0


def test_the_first_event_wakes_a_worker_that_rests() -> None:
    """And only the first."""
    wakes = Wakes()
    queue = queue_of(wake=wakes)

    assert queue.rest()
    for _ in range(50):
        queue.put(SMALL)
    assert wakes.count == 1

    drain(queue, 100, ALL)
    assert queue.rest()
    queue.work()
    queue.put(SMALL)
    assert wakes.count == 1


def test_a_new_queue_wakes_the_worker_with_its_first_event() -> None:
    """In a forked child there is no worker yet: that call starts it."""
    wakes = Wakes()
    queue = EventQueue(100, ALL, "block", wakes)
    queue.put(SMALL)
    assert wakes.count == 1

    queue.reset()
    assert queue.counts() == (0, Counter())
    queue.put(SMALL)
    assert wakes.count == 2


def test_a_worker_cannot_rest_while_something_waits() -> None:
    """Or it would sleep on it."""
    wakes = Wakes()
    queue = queue_of(wake=wakes)
    queue.put(SMALL)

    assert not queue.rest()
    queue.put(SMALL)
    assert wakes.count == 0


def test_no_event_is_slept_on() -> None:
    """Whatever the moment at which it comes while the worker lies down: it is seen, or it wakes."""
    awake = threading.Event()
    queue = queue_of(wake=awake.set)
    received: list[bytes] = []
    events = numbered(3000)

    def work() -> None:
        while True:
            received.extend(taken(queue, 100))
            if len(received) == len(events):
                return
            if queue.rest():
                assert awake.wait(60), "it was never woken"
                awake.clear()
            queue.work()

    worker = threading.Thread(target=work)
    worker.start()
    for event in events:
        queue.put(event)
        if event[7] % 7 == 0:
            time.sleep(0)  # let the worker lie down
    worker.join(120)

    assert received == events


# --- many threads


@pytest.mark.sample(3)
@pytest.mark.parametrize("overflow", ["block", "drop"])
@pytest.mark.parametrize("size", [20, LARGE_EVENT + 100])
def test_sixteen_threads_lose_nothing_that_is_not_counted(overflow: Overflow, size: int) -> None:
    """Every event is drained or counted, and what each thread put keeps its order."""
    queue = queue_of(capacity=50, capacity_bytes=20 * size, overflow=overflow)
    each = 300
    most = 0

    def events(who: int) -> list[bytes]:
        return [b"%02d %06d" % (who, number) + b"x" * (size - 9) for number in range(each)]

    writers = [thread_that_puts(queue, events(who)) for who in range(16)]
    for writer in writers:
        writer.start()
    drained: list[bytes] = []
    while any(writer.is_alive() for writer in writers) or len(queue):
        most = max(most, len(queue))
        drained += taken(queue, 20)

    waiting, dropped = queue.counts()
    assert waiting == 0
    assert len(drained) + dropped.total() == 16 * each
    assert len(set(drained)) == len(drained)
    assert most <= 50 + 16  # each thread that waits has put one event already
    if overflow == "block":
        assert dropped == Counter()
    for who in range(16):
        mine = [event[:9] for event in drained if event.startswith(b"%02d" % who)]
        assert mine == sorted(mine)


@pytest.mark.parametrize("failing", [False, True])
def test_what_is_kept_is_never_dropped_for_others(failing: bool) -> None:
    """The newest event is dropped at capacity; one that its caller was promised is not among those."""
    queue = queue_of(capacity=3, overflow="drop")
    if failing:
        queue.disk_failed()
    for number in range(3):
        queue.put(b"%d" % number)
    queue.keep(b"kept")
    for _ in range(5):
        queue.put(SMALL)
    assert len(queue) == 4
    assert queue.counts() == (4, Counter({"disk" if failing else "overflow": 5}))
    assert drain(queue, ALL, ALL).items == [b"kept", b"0", b"1", b"2"]
    assert len(queue) == 0


def test_what_is_to_be_kept_waits_for_room_and_is_refused_where_the_disk_gives_none() -> None:
    queue = queue_of(capacity=2)
    queue.keep(b"1")
    queue.keep(b"2")
    done = threading.Event()

    def keep() -> None:
        queue.keep(b"3")
        done.set()

    threading.Thread(target=keep, daemon=True).start()
    assert not done.wait(0.1)
    assert drain(queue, 1, ALL).items == [b"1"]
    assert done.wait(60)
    queue.disk_failed()
    with pytest.raises(FileStoreError, match="2 events of files wait"):
        queue.keep(b"4")
    assert queue.counts() == (2, Counter())
    assert drain(queue, ALL, ALL).items == [b"2", b"3"]


def test_what_is_kept_wakes_a_worker_that_rests_and_lets_none_rest() -> None:
    wakes = Wakes()
    queue = queue_of(wake=wakes)
    assert queue.rest()
    queue.keep(b"x")
    assert wakes.count == 1
    assert not queue.rest()


@pytest.mark.slow
def test_a_caller_that_waits_for_room_in_vain_writes() -> None:
    """Whatever keeps the worker from its work: nobody waits for ever."""
    written: list[Item] = []
    queue = EventQueue(2, ALL, "block", lambda: None, lambda: written.extend(drain(queue, 1, ALL).items))
    queue.work()
    for _ in range(3):
        queue.put(SMALL)
    assert (written, len(queue)) == ([SMALL], 2)
    for _ in range(3):
        queue.keep(LARGE)
    assert LARGE in written
    assert len(queue) + len(written) == 6


def test_where_there_is_no_worker_every_caller_sees_to_the_writing() -> None:
    """From the first event on, and no longer than that."""
    alone = True
    turns = 0

    def wake() -> None:
        nonlocal turns
        turns += 1
        if alone:
            queue.be_alone()

    queue = queue_of(wake=wake)
    queue.rest()
    for _ in range(3):
        queue.put(SMALL)
    assert turns == 3
    alone = False
    for _ in range(3):
        queue.put(SMALL)
    assert turns == 4


def test_an_event_of_the_thread_that_drains_wakes_nobody() -> None:
    """Such as of a log handler of the script's, which our warning calls in the middle of a slice."""
    wakes = Wakes()
    queue = queue_of(wake=wakes)
    queue.rest()
    queue.begin_drain()
    queue.put(SMALL)
    assert wakes.count == 0
    queue.end_drain()
    queue.put(SMALL)
    assert wakes.count == 1
