"""Numbers on their way from a device: which copies and events a call makes, and that values are those of the call."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment
from ml_dash.errors import InvalidArgumentError
from ml_dash.values import transfers
from ml_dash.values.pack import DeferredEvent, pack_event, unpack
from ml_dash.values.transfers import SLOT_BYTES, SLOTS, Ring, Transfer, lane_on, look_at_devices, ring
from tests.support.fake_torch import Device, FakeTorch, Stream, Tensor, install

GPU = Device("cuda", 0)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> FakeTorch:
    """A torch whose devices work when somebody else asks them."""
    return install(monkeypatch)


def event_of(**fields: Any) -> bytes | DeferredEvent:
    return pack_event(1, 2, fields)[0]


def fields_of(event: bytes | DeferredEvent) -> Any:
    return unpack(event.pack() if isinstance(event, DeferredEvent) else event)[2]


def has_come(event: bytes | DeferredEvent) -> bool:
    return not isinstance(event, DeferredEvent) or event.is_there


def stored(exp: Experiment, name: str = "m") -> list[dict[str, Any]]:
    rows = exp.metrics(name).read(limit=10_000)["data"]
    return [{field: item for field, item in row["data"].items() if field != "_ts"} for row in rows]


# --- one call


def test_what_a_device_is_done_with_is_read_at_the_call(torch: FakeTorch) -> None:
    """It waits for nothing, and the row is packed: safe like any other."""
    event = event_of(loss=torch.tensor(0.5, device=0), n=1, sizes=torch.tensor([1, 2], device=0))
    assert isinstance(event, bytes)
    assert fields_of(event) == {"loss": 0.5, "n": 1, "sizes": [1, 2]}
    assert torch.cuda.did == []
    assert torch.cuda.waited == []


def test_many_numbers_are_joined_before_they_are_read(torch: FakeTorch) -> None:
    tensors = {f"f{number}": torch.tensor(number / 2, device=0) for number in range(5)}
    event = event_of(**tensors, flag=torch.tensor(True, device=0))
    assert fields_of(event) == {**{f"f{number}": number / 2 for number in range(5)}, "flag": True}
    assert torch.cuda.did == ["join"]


def test_what_a_device_is_at_goes_by_one_copy_for_each_type(torch: FakeTorch) -> None:
    """And one event, whatever the call holds; the values are those of the call."""
    loss, norm = torch.tensor(0.5, device=0), torch.tensor(2.5, device=0)
    counts = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.int64, device=0)
    torch.busy()
    loss.fill_(1.5)
    event = event_of(loss=loss, deep=[{"norm": norm}], counts=counts, flag=torch.tensor(True, device=0))
    loss.fill_(9.0)
    counts.fill_(0)
    assert isinstance(event, DeferredEvent)
    assert torch.cuda.did == ["join", "copy", "copy", "copy", "event"]
    assert not has_come(event)
    torch.cuda.run()
    look_at_devices()
    assert has_come(event)
    assert fields_of(event) == {
        "loss": 1.5,
        "deep": [{"norm": 2.5}],
        "counts": [[1, 2, 3], [4, 5, 6]],
        "flag": True,
    }
    assert torch.cuda.waited == []


def test_calls_share_an_event(torch: FakeTorch) -> None:
    """One is recorded where none is on its way: for each look, however many calls there are in between."""
    torch.busy(pieces=100)
    events = [event_of(x=torch.tensor(float(n), device=0)) for n in range(5)]
    assert torch.cuda.events == 1
    torch.cuda.run()
    look_at_devices()
    torch.busy()
    events += [event_of(x=torch.tensor(float(n), device=0)) for n in range(5, 9)]
    assert torch.cuda.events == 2
    torch.cuda.run()
    look_at_devices()
    assert [has_come(event) for event in events] == [True] * 6 + [False] * 3
    # Nothing more comes: the stream itself is asked, once a look has found nothing new.
    look_at_devices()
    look_at_devices()
    assert [fields_of(event)["x"] for event in events] == [float(n) for n in range(9)]
    assert torch.cuda.events == 2


def test_who_waits_marks_what_has_no_event_behind_it(torch: FakeTorch) -> None:
    """And waits for no more than what the stream was given by then."""
    stream = torch.busy(pieces=3)
    events = [event_of(x=torch.tensor(float(n), device=0)) for n in range(20)]
    found: list[Any] = []

    def wait() -> None:
        found.extend(fields_of(event)["x"] for event in events)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert found == [float(n) for n in range(20)]
    assert (
        torch.cuda.events == 3
    )  # of the first call, and of the one that waits for the first row and the second
    assert not torch.cuda.waited
    stream.run()


@pytest.mark.parametrize(
    ("make", "did"),
    [
        (lambda torch: torch.tensor(1.5, device=0), ["copy"]),
        (lambda torch: torch.tensor([0.5] * (SLOT_BYTES // 4), device=0), ["copy"]),
        (lambda torch: torch.tensor([0.5] * (SLOT_BYTES // 4 + 1), device=0), ["host"]),
        (lambda torch: torch.tensor([0.5] * 16_384, device=0), ["host"]),
        (lambda torch: torch.tensor([0.5] * 16_385, device=0), ["clone"]),
        (lambda torch: Tensor(torch, np.array(-2.0), GPU, negated=True), ["clone", "copy"]),
    ],
    ids=["a number", "a slot full", "more", "much", "too much", "a view with a turned sign"],
)
def test_how_a_tensor_is_copied(
    make: Callable[[FakeTorch], Tensor], did: list[str], torch: FakeTorch
) -> None:
    """Page-locked memory is dear; and torch turns signs on the host before the number has arrived."""
    tensor = make(torch)
    value = tensor._settled().tolist()
    torch.busy()
    event = event_of(x=tensor)
    tensor.fill_(7.0)
    assert torch.cuda.did == [*did, "event"]
    torch.cuda.run()
    assert fields_of(event) == {"x": value}


def test_what_has_no_room_in_the_slot_of_its_call_goes_by_itself(torch: FakeTorch) -> None:
    torch.busy()
    numbers = [float(n) for n in range(SLOT_BYTES // 4 - 1)]
    event = event_of(
        a=torch.tensor(numbers, device=0), b=torch.tensor([1, 2], device=0), c=torch.tensor(True, device=0)
    )
    assert torch.cuda.did == ["copy", "host", "host", "event"]
    torch.cuda.run()
    assert fields_of(event) == {"a": numbers, "b": [1, 2], "c": True}


def test_a_large_tensor_is_not_read_at_the_call(torch: FakeTorch) -> None:
    """That would take as long as it is large, even where its device is done."""
    event = event_of(x=torch.tensor([0.5] * 1000, device=0), y=torch.tensor(2.5, device=0))
    assert isinstance(event, DeferredEvent)
    assert torch.cuda.did == ["host", "event"]
    torch.cuda.run()
    assert fields_of(event) == {"x": [0.5] * 1000, "y": 2.5}


def test_an_event_counts_the_bytes_of_all_its_tensors(torch: FakeTorch) -> None:
    """Nested ones too: the queue bounds memory by them."""
    torch.busy()
    event = event_of(a=torch.tensor([0.5] * 1000, device=0), b=[{"c": torch.tensor([1.5] * 100, device=0)}])
    assert isinstance(event, DeferredEvent)
    assert len(event) >= 4400


# --- streams, devices, the ring


def test_each_stream_has_events_of_its_own(torch: FakeTorch) -> None:
    """One that is done is read, and one that is behind holds up its own rows only."""
    side = torch.cuda.Stream()
    value = torch.tensor(1.0, device=0)
    main = torch.busy(pieces=3)
    first = event_of(x=value)
    with torch.cuda.stream(side):
        assert fields_of(event_of(x=value)) == {"x": 1.0}
        torch.busy()
        second = event_of(x=value.fill_(2.0))
    side.run()
    look_at_devices()
    assert (has_come(first), has_come(second)) == (False, True)
    main.run()
    assert torch.cuda.events == 2


def test_a_call_may_have_tensors_of_several_devices(torch: FakeTorch) -> None:
    """Of which one is done, and two are not."""
    torch.busy(1)
    torch.busy(2, pieces=5)
    event = event_of(**{f"d{index}": torch.tensor([float(index)], device=index) for index in range(3)})
    assert torch.cuda.did == ["copy", "event", "copy", "event"]
    torch.cuda.streams[0].run()
    look_at_devices()
    assert not has_come(event)
    torch.cuda.run()
    look_at_devices()
    assert has_come(event)
    assert fields_of(event) == {"d0": 0.0, "d1": 1.0, "d2": 2.0}


def test_a_ring_that_is_full_is_done_without(torch: FakeTorch) -> None:
    """Its slots are used again when they were read; and it is made once."""
    torch.busy()
    events = [event_of(x=torch.tensor(float(n), device=0)) for n in range(SLOTS + 3)]
    assert torch.cuda.did.count("copy") == SLOTS
    assert torch.cuda.did.count("host") == 3
    torch.cuda.run()
    assert [fields_of(event)["x"] for event in events] == [float(n) for n in range(SLOTS + 3)]
    events.clear()
    torch.busy()
    event_of(x=torch.tensor(0.0, device=0))
    assert torch.cuda.did.count("copy") == SLOTS + 1
    assert torch.cuda.pinned == SLOTS * SLOT_BYTES + 3 * 4


def test_a_slot_of_a_row_that_was_dropped_is_not_used_before_its_copy_is_over(torch: FakeTorch) -> None:
    """A copy that is still on its way would write over another's numbers."""
    stream = torch.busy()
    lane = lane_on(GPU, stream)
    memory = ring()
    assert memory is not None
    transfer = Transfer(lane)
    slot = transfer.use(memory)
    lane.begin(transfer)
    del transfer
    assert memory.take() != slot
    stream.run()
    look_at_devices()
    assert memory.take() == slot


def test_where_no_memory_can_be_page_locked_each_number_goes_by_itself(torch: FakeTorch) -> None:
    torch.cuda.pins = 0
    torch.busy()
    event = event_of(x=torch.tensor(1.5, device=0), y=torch.tensor(2.5, device=0))
    assert torch.cuda.did == ["host", "host", "event"]
    torch.cuda.run()
    assert fields_of(event) == {"x": 1.5, "y": 2.5}


def test_streams_that_are_done_are_forgotten(torch: FakeTorch) -> None:
    """A program may make one a step."""
    late = []
    for number in range(500):
        with torch.cuda.stream(torch.cuda.Stream()):
            stream = torch.busy()
            event = event_of(x=torch.tensor(float(number), device=0))
        if number % 100:
            stream.run()
            assert fields_of(event) == {"x": float(number)}
        else:
            late.append(event)
    assert len(transfers._LANES) < 100
    torch.cuda.run()
    assert [fields_of(event)["x"] for event in late] == [0.0, 100.0, 200.0, 300.0, 400.0]


def test_two_threads_log_and_look_at_the_same_time(torch: FakeTorch) -> None:
    """No number is read before it has come, and none is waited for that has."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    wrong: list[Any] = []
    stream = torch.cuda.current_stream(GPU)

    def log(thread: int) -> None:
        for number in range(150):
            stream.give(lambda: None)
            value = torch.tensor(-1.0, device=0).fill_(thread * 1000.0 + number)
            event = event_of(x=value)
            value.fill_(-2.0)
            if number % 3 == 0:
                look_at_devices()
            if fields_of(event)["x"] != thread * 1000.0 + number:
                wrong.append(event)

    try:
        threads = [threading.Thread(target=log, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


# --- what goes wrong


def test_a_device_that_refuses_at_the_call_does_not_stop_the_loop(torch: FakeTorch) -> None:
    """Its error belongs to the training loop, which will meet it; here the value is marked, and told."""
    told: list[tuple[str, str]] = []
    torch.cuda.error = "CUDA error: device-side assert triggered"
    fields = {"x": Tensor(torch, np.array(1.5), GPU), "n": 1}
    event, _ = pack_event(1, 2, fields, lambda name, why: told.append((name, why)))
    found = fields_of(event)
    assert (found["n"], found["x"]["__type__"]) == (1, "torch.Tensor")
    assert "device-side assert" in found["x"]["__repr__"]
    assert [name for name, _ in told] == ["x"]


def test_a_device_that_fails_later_fails_the_rows_that_were_on_it(torch: FakeTorch) -> None:
    """And none that had come, or that comes when it works again."""
    stream = torch.busy(pieces=2)
    arrived = event_of(x=torch.tensor(1.5, device=0))
    stream.run()
    look_at_devices()
    torch.busy(pieces=2)
    lost = [event_of(x=torch.tensor(float(n), device=0), n=n) for n in range(3)]
    torch.cuda.error = "CUDA error: an illegal memory access was encountered"
    look_at_devices()
    assert fields_of(arrived) == {"x": 1.5}
    for number, event in enumerate(lost):
        assert isinstance(event, DeferredEvent)
        assert has_come(event)
        found = fields_of(event)
        assert found["n"] == number
        assert "illegal memory access" in found["x"]["__repr__"]
    torch.cuda.error = None
    after = event_of(x=torch.tensor(2.5, device=0))
    torch.cuda.run()
    assert fields_of(after) == {"x": 2.5}


def test_an_event_that_cannot_be_recorded_is_done_without(
    torch: FakeTorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream itself tells when it is done."""
    torch.busy()

    def refuse(_: Stream) -> Any:
        raise RuntimeError("CUDA error: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "record_event", refuse)
        event = event_of(x=torch.tensor(1.5, device=0))
        for _ in range(3):
            look_at_devices()
    assert not has_come(event)
    torch.cuda.run()
    assert fields_of(event) == {"x": 1.5}


def test_what_goes_into_a_graph_has_no_number_and_that_is_told(torch: FakeTorch) -> None:
    """Neither a question nor a copy comes into the graph, while it is captured."""
    side = torch.cuda.Stream()
    told: list[str] = []
    with torch.cuda.stream(side):
        torch.busy()
        before = [event_of(x=torch.tensor(float(n), device=0)) for n in range(2)]
        side.run()
        side.is_captured = True
        inside, _ = pack_event(1, 2, {"x": torch.tensor(1.5, device=0)}, lambda _, why: told.append(why))
        assert "graph is being captured" in fields_of(inside)["x"]["__repr__"]
    for _ in range(3):
        look_at_devices()
    assert [has_come(event) for event in before] == [True, False]
    assert not torch.cuda.spoiled
    assert told
    side.is_captured = False
    assert [fields_of(event)["x"] for event in before] == [0.0, 1.0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")  # of forking with threads
def test_a_forked_child_leaves_its_parents_device_alone(torch: FakeTorch) -> None:
    """It neither waits for what its parent logs, nor reads memory that it has no part in."""
    torch.busy()
    event = event_of(x=torch.tensor(1.5, device=0))
    child = os.fork()
    if not child:
        try:
            look_at_devices()
            assert "forked from" in fields_of(event)["x"]["__repr__"]
            again = event_of(x=torch.tensor(1.5, device=0))
            assert "Cannot re-initialize" in fields_of(again)["x"]["__repr__"]
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    torch.cuda.run()
    assert fields_of(event) == {"x": 1.5}


# --- an experiment


@pytest.mark.slow
def test_rows_wait_for_their_device_in_order_and_are_counted(torch: FakeTorch, exp: Experiment) -> None:
    """Those behind them, which are safe, keep their place."""
    value = torch.tensor(0.0, device=0)
    torch.busy(pieces=100_000)
    for number in range(100):
        exp.metrics("m").log(x=value.fill_(number) if number % 2 else number, n=number)
    status = exp.status()
    assert status.on_devices == 50
    assert status.logged == status.pending == 100
    torch.cuda.run()
    exp.flush()
    assert exp.status().on_devices == 0
    assert stored(exp) == [{"x": number, "n": number} for number in range(100)]
    assert torch.cuda.waited == []


def test_a_run_that_ends_waits_for_its_devices(torch: FakeTorch, root: str) -> None:
    value = torch.tensor(0.0, device=0)
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        torch.busy(pieces=10)
        for number in range(10):
            exp.metrics("m").log(x=value.fill_(number))
        value.fill_(-1)
    assert stored(exp) == [{"x": number} for number in range(10)]
    assert threading.get_ident() not in torch.cuda.waited


def test_buffered_numbers_are_those_of_the_call(torch: FakeTorch, exp: Experiment) -> None:
    """By a peek, and by a summary; from a device that is done, and from one that is not."""
    value = torch.tensor(0.0, device=0)
    for number in (1.0, 2.0, 6.0):
        if number > 1:
            torch.busy(pieces=2)
        exp.metrics("m").buffer(loss=value.fill_(number), norm=value)
        exp.metrics("m").summary_cache.set(last=value)
    value.fill_(-1)
    exp.metrics("m").buffer.log_summary("sum")
    exp.metrics("m").summary_cache.summarize()
    exp.metrics("n").buffer(loss=value.fill_(3.0))
    torch.cuda.run()
    assert exp.metrics("n").buffer.peek("loss") == {"loss": [3.0]}
    assert stored(exp) == [{"loss.sum": 9.0, "norm.sum": 9.0}, {"last": 6.0}]
    assert torch.cuda.waited == []
    exp.metrics("n").buffer.log_summary()


def test_many_buffered_numbers_give_back_what_they_take_of_the_ring(
    torch: FakeTorch, exp: Experiment
) -> None:
    """As soon as they have come: a buffer may be filled for an epoch."""
    for number in range(2 * SLOTS):
        stream = torch.busy()
        exp.metrics("m").buffer(loss=torch.tensor(float(number), device=0))
        stream.run()
    assert torch.cuda.did.count("host") == 0
    exp.metrics("m").buffer.log_summary("sum", "count")
    assert stored(exp) == [{"loss.sum": SLOTS * (2 * SLOTS - 1.0), "loss.count": 2 * SLOTS}]


def test_a_buffered_number_that_a_device_does_not_give_is_missing(torch: FakeTorch, exp: Experiment) -> None:
    torch.cuda.error = "CUDA error: device-side assert triggered"
    exp.metrics("m").buffer(loss=Tensor(torch, np.array(1.5), GPU))
    torch.cuda.error = None
    exp.metrics("m").buffer(loss=torch.tensor(2.5, device=0))
    with pytest.raises(InvalidArgumentError, match="loss="):
        exp.metrics("m").buffer(loss=torch.tensor([1.0, 2.0], device=0))
    exp.metrics("m").buffer.log_summary("mean")
    assert stored(exp) == [{"loss.mean": 2.5}]


def test_metadata_of_an_experiment_may_be_on_a_device(torch: FakeTorch, root: str) -> None:
    """It is read when the run starts, which is no hot path."""
    seed = torch.tensor(7, device=0)
    torch.busy()
    experiment = Experiment("a/b/c", dash_root=root, metadata={"seed": seed, "n": 1})
    seed.fill_(0)
    torch.cuda.run()
    with experiment.run:
        pass
    assert Experiment("a/b/c", dash_root=root).metadata == {"seed": 7, "n": 1}


# --- torch itself, without a device


def test_the_ring_lies_in_tensors_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as that can be said where nothing can be page-locked: numbers of each type come back as they were."""
    real: Any = pytest.importorskip("torch", reason="torch is not installed")
    empty = real.empty
    monkeypatch.setattr(real, "empty", lambda size, *, dtype, pin_memory: empty(size, dtype=dtype))
    memory = Ring(real)
    lane: Any = None
    with real.no_grad():
        tensors = [
            real.tensor(1.5),
            real.tensor([[1, 2], [3, 4]]),
            real.tensor(0.25, dtype=real.bfloat16),
            real.tensor(True),
            real.tensor(2.5),
            real.tensor([0.5, 0.25], dtype=real.float16),
            real.arange(200.0),
        ]
    found = transfers.copy_into(Transfer(lane), tensors, memory)
    assert found[-1] is found[0] is found[4] is None  # floats, of which one has no room
    for tensor, place in zip(tensors, found, strict=True):
        if place is not None:
            flat, begin = place
            assert flat[begin : begin + tensor.numel()].reshape(tensor.shape).tolist() == tensor.tolist()


def test_a_tensor_of_torch_on_the_cpu_is_read_at_the_call(exp: Experiment) -> None:
    real: Any = pytest.importorskip("torch", reason="torch is not installed")
    value = real.zeros((), requires_grad=True)
    exp.metrics("m").log(x=value, y=[real.tensor([1, 2])])
    with real.no_grad():
        value.fill_(7.0)
    assert exp.status().on_devices == 0
    assert stored(exp) == [{"x": 0.0, "y": [[1, 2]]}]
