"""Copies on their way from a device to the host: asked about once a call, made at once, marked once in a while.

Problem: the numbers of a step are on their device, behind what that has still to do. To read them at the call makes the
loop wait for its device. To copy each into page-locked memory of its own, with an event behind each call, took 18 % of
a loop of 1.4 ms a step, mostly for the allocator and the events, and `item()` took 3 %. So a call asks once whether its
stream is done: then reading waits for nothing. Else all that it has goes by one copy into a slot of a ring that is
page-locked once and for all, and the stream is *marked*, by an event, only where no earlier mark is on its way. So
there is an event for each look that the worker takes, not for each call.

What arrived is known in order: a mark stands for all copies that were queued on its stream before it. What has no mark
behind it, since nothing more was logged, is looked for when a look finds nothing new: then the stream itself is asked.
Who cannot wait for that, as a flush, marks it.

There is no lock: callers append, and whoever looks takes from the other end what is certain. Two that look at the same
moment come to the same end.

What was tried and does not work: marks by the worker alone, which stand behind all that the loop has queued meanwhile,
so that beside a loop that is ahead of its device every row is late by as much. What still can fail: a ring has an end,
beyond which each tensor is copied by itself, into memory that torch looks after.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

SLOTS, SLOT_BYTES = 1024, 512
"""Of the ring: half a megabyte that is never swapped out. A call's numbers take a few dozen bytes."""
_ALIGNED = 8
"""Bytes at whose multiples numbers of any type may begin."""
_PLACES_MAX = 4 * SLOTS
_LANES_MAX = 64
"""Streams from which on those are forgotten on which nothing is on its way: torch has 32 a device."""
_SHORTEST_WAIT, _LONGEST_WAIT = 0.0001, 0.002
"""Seconds between two looks of who waits for a device."""
_RELAXED = 2
"""`CU_STREAM_CAPTURE_MODE_RELAXED`."""


class Ring:
    """Page-locked memory of the host in slots, of which each call takes one and gives it back when it was read."""

    def __init__(self, torch: Any) -> None:
        self._memory = torch.empty(SLOTS * SLOT_BYTES, dtype=torch.uint8, pin_memory=True)
        self._free = list(range(SLOTS))
        self._places: dict[tuple[int, int, Any, int], Any] = {}

    def take(self) -> int | None:
        """Return a slot; None where all are in use."""
        try:
            return self._free.pop()  # the one that was used last: its place is known, and in the caches
        except IndexError:
            return None

    def give_back(self, slot: int) -> None:
        """Let a slot be used again."""
        self._free.append(slot)

    def place(self, slot: int, offset: int, dtype: Any, nbytes: int) -> Any:
        """Return a flat tensor of so many bytes of a slot."""
        key = slot, offset, dtype, nbytes
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= _PLACES_MAX:
                self._places.clear()
            start = slot * SLOT_BYTES + offset
            place = self._places[key] = self._memory[start : start + nbytes].view(dtype)
        return place


class Transfer:
    """What one call has queued on one stream: it arrives as a whole.

    Attributes:
        is_there: whether it has.
        error: why it never will.
    """

    __slots__ = ("_lane", "_ring", "_slot", "error", "is_there")

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._ring: Ring | None = None
        self._slot: int | None = None
        self.is_there = False
        self.error: str | None = None

    def use(self, ring: Ring) -> int | None:
        """Take a slot, which is this one's for as long as anybody may read or write it; None where none is free."""
        if self._slot is None:
            self._ring, self._slot = ring, ring.take()
        return self._slot

    def __del__(self) -> None:
        # Its lane keeps it until it has arrived: nothing is written into a slot that was given back.
        if self._ring is not None and self._slot is not None:
            self._ring.give_back(self._slot)

    def wait(self) -> None:
        """Wait until it is there, without a core that spins, as an event's own `synchronize` does.

        Raises:
            RuntimeError: the device does not give it.
        """
        if not self.is_there:
            self._lane.wait_for(self)
        if self.error is not None:
            raise RuntimeError(self.error)


class _Mark(NamedTuple):
    """An event, and the last one of the transfers before it."""

    last: Transfer
    event: Any


class Lane:
    """The transfers on one stream, in the order in which they arrive."""

    def __init__(self, device: Any, stream: Any) -> None:
        self._module = module_of(device)
        self._stream = stream
        self._pid = os.getpid()
        self._waiting: deque[Transfer] = deque()
        self._marks: deque[_Mark] = deque()
        self._newest: Transfer | None = None  # at the last look

    @property
    def is_own(self) -> bool:
        """Whether it is of this process: a forked child has no part in its parent's device."""
        return self._pid == os.getpid()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._waiting

    def begin(self, transfer: Transfer) -> None:
        """Have a transfer followed of which all copies are queued."""
        self._waiting.append(transfer)
        if not self._marks:
            self._mark(transfer)

    def look(self, *, closely: bool = False) -> None:
        """Find out what has arrived; what no mark stands behind as well, where nothing has come since the last look.

        Args:
            closely: ask for the latter in any case, and mark it.
        """
        if not self._waiting or not self.is_own:
            self._newest = None
            return
        try:
            with beside_captures():
                self._look_at_marks()
                self._look_behind(closely=closely)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the device's, and told with each row
            self._fail(str(error))

    def _look_at_marks(self) -> None:
        while self._marks:
            mark = self._marks[0]
            if not mark.event.query():
                return
            self._arrive(mark.last)
            with contextlib.suppress(ValueError):  # another thread has done so
                self._marks.remove(mark)

    def _look_behind(self, *, closely: bool) -> None:
        before, self._newest = self._newest, None
        try:
            newest = self._waiting[-1]
        except IndexError:
            return
        if (closely or (newest is before and not self._marks)) and not self._is_captured():
            if self._stream.query():
                self._arrive(newest)
                return
            self._mark(newest)
        self._newest = newest

    def _is_captured(self) -> bool:
        """Whether what this stream is given goes into a graph: who asks it anything then, spoils that."""
        if not hasattr(self._module, "is_current_stream_capturing"):
            return False
        with self._module.stream(self._stream):
            return bool(self._module.is_current_stream_capturing())

    def _mark(self, last: Transfer) -> None:
        """Have an event say when this one is there, and all before it: their copies are queued already."""
        # Where that fails, a later look asks the stream itself; the device's error belongs to the training loop.
        with contextlib.suppress(Exception):
            self._marks.append(_Mark(last, self._stream.record_event()))

    def _arrive(self, last: Transfer) -> None:
        """Have all transfers up to this one be there."""
        with contextlib.suppress(IndexError):  # whoever has taken the last one has seen to this one as well
            while not last.is_there:
                first = self._waiting[0]
                # Each is there before it is taken away. So behind the last one is nobody who is taken for an earlier.
                if not last.is_there:
                    first.is_there = True
                    with contextlib.suppress(ValueError):
                        self._waiting.remove(first)

    def _fail(self, error: str) -> None:
        self._marks.clear()
        with contextlib.suppress(IndexError):
            while True:
                first = self._waiting.popleft()
                first.error = error
                first.is_there = True

    def wait_for(self, transfer: Transfer) -> None:
        """Wait until this one is there."""
        if not self.is_own:
            raise RuntimeError("it is on a device of the process that this one was forked from")
        self.look(closely=True)
        pause = _SHORTEST_WAIT
        while not transfer.is_there:
            # No `time.sleep`, which programs replace in their tests.
            threading.Event().wait(pause)
            pause = min(2 * pause, _LONGEST_WAIT)
            self.look(closely=not self._marks)


_LANES: dict[Any, Lane] = {}
_RINGS: list[Ring | None] = []


def stream_of(device: Any) -> Any:
    """Return the caller's current stream on a device.

    Raises:
        RuntimeError: what the stream is given goes into a graph, or the device refuses everything.
    """
    module = module_of(device)
    is_capturing = getattr(module, "is_current_stream_capturing", None)
    if is_capturing is not None and is_capturing():
        raise RuntimeError("a graph is being captured, and has no numbers yet: log outside of the capture")
    return module.current_stream(device)


def lane_on(device: Any, stream: Any) -> Lane:
    """Return the transfers on a stream."""
    lane = _LANES.get(stream)
    if lane is None or not lane.is_own:
        if len(_LANES) >= _LANES_MAX:
            _forget_idle()
        lane = _LANES[stream] = Lane(device, stream)
    return lane


def _forget_idle() -> None:
    for stream, lane in tuple(_LANES.items()):
        if lane.is_idle:
            _LANES.pop(stream, None)


def ring() -> Ring | None:
    """Return the ring of this process; None where no memory can be page-locked."""
    if not _RINGS:
        try:
            _RINGS.append(Ring(sys.modules["torch"]))
        except Exception:  # noqa: BLE001 - no memory, or a limit on what is locked: others may have some
            _RINGS.append(None)
    return _RINGS[0]


def look_at_devices() -> None:
    """Find out what has arrived from all devices; that waits for nothing."""
    for lane in tuple(_LANES.values()):
        lane.look()


def module_of(device: Any) -> Any:
    """Return the module of torch for a kind of devices, as `torch.cuda`; None where it has none."""
    return getattr(sys.modules.get("torch"), device.type, None)


def copy_into(transfer: Transfer, tensors: Sequence[Any], ring: Ring) -> list[tuple[Any, int] | None]:
    """Queue copies of tensors into the ring: one copy for all of one type.

    Returns:
        Of each tensor the flat one that it comes to lie in, and at which index; None where there is no room for it.
    """
    found: list[tuple[Any, int] | None] = [None] * len(tensors)
    slot = transfer.use(ring)
    if slot is None:
        return found
    torch = sys.modules["torch"]
    by_type: dict[Any, list[int]] = {}
    for index, tensor in enumerate(tensors):
        by_type.setdefault(tensor.dtype, []).append(index)
    offset = 0
    for dtype, indices in by_type.items():
        some = [tensors[index] for index in indices]
        nbytes = sum(tensor.nbytes for tensor in some)
        if offset + nbytes > SLOT_BYTES:
            continue
        place = ring.place(slot, offset, dtype, nbytes)
        place.copy_(some[0].reshape(-1) if len(some) == 1 else _joined(torch, some), non_blocking=True)
        begin = 0
        for index, tensor in zip(indices, some, strict=True):
            found[index] = place, begin
            begin += tensor.numel()
        offset += -(-nbytes // _ALIGNED) * _ALIGNED
    return found


def _joined(torch: Any, tensors: Sequence[Any]) -> Any:
    if all(not tensor.shape for tensor in tensors):
        return torch.stack(tensors)
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


class beside_captures:  # noqa: N801 - a context, which is a function everywhere else
    """Let this thread ask CUDA what it likes while another one captures a graph.

    In the mode in which torch captures by default, whatever another thread asks would spoil the capture. See
    `cuThreadExchangeStreamCaptureMode` of CUDA's driver interface.
    """

    __slots__ = ("_mode",)

    def __enter__(self) -> None:
        self._mode = ctypes.c_int(_RELAXED)
        _exchange_capture_mode()(ctypes.byref(self._mode))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _exchange_capture_mode()(ctypes.byref(self._mode))


@functools.cache
def _exchange_capture_mode() -> Callable[[Any], object]:
    """The driver's function; where there is none, one that does nothing."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        function: Callable[[Any], object] = driver.cuThreadExchangeStreamCaptureMode
    except (OSError, AttributeError):
        return lambda _mode: None
    return function
