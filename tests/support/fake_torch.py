"""As much of torch as the package asks of it: devices whose streams work later, page-locked memory, captured graphs.

What a stream is given it does piece by piece: one for each question of another thread than the one that has made the
device, so that whoever waits gets on, and the script's own thread never does by asking. `FakeCuda.run` does the rest.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from ml_dash.values import transfers

__all__ = ["Device", "FakeCuda", "FakeTorch", "Stream", "Tensor", "install"]


@dataclass(frozen=True)
class Device:
    """See torch."""

    type: str
    index: int | None = None


CPU = Device("cpu")


def install(monkeypatch: pytest.MonkeyPatch) -> FakeTorch:
    """Have a torch, of which nothing is known yet, until the end of the test."""
    fake = FakeTorch()
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(transfers, "_LANES", {})
    monkeypatch.setattr(transfers, "_RINGS", [])
    return fake


class FakeTorch:
    """The module.

    Attributes:
        cuda: the devices.
    """

    strided = "strided"

    def __init__(self) -> None:
        self.uint8: Any = np.dtype("u1")
        self.int64: Any = np.dtype("i8")
        self.float32: Any = np.dtype("f4")
        self.cuda = FakeCuda(self)
        self.Tensor = Tensor

    def busy(self, device: int = 0, pieces: int = 1) -> Stream:
        """Have a device, or the current stream of one, work for a while; return the stream."""
        stream = self.cuda.current_stream(Device("cuda", device))
        for _ in range(pieces):
            stream.give(lambda: None)
        return stream

    def tensor(self, value: Any, *, dtype: Any = None, device: int | None = None) -> Tensor:
        """Return a tensor on a device, or on the CPU; its numbers are there."""
        kind = dtype or (self.float32 if np.asarray(value).dtype.kind == "f" else None)
        return Tensor(self, np.array(value, kind), CPU if device is None else Device("cuda", device))

    def empty(self, size: int, *, dtype: Any, pin_memory: bool) -> Tensor:
        """See torch."""
        assert pin_memory
        self.cuda.check()
        if self.cuda.pins == 0:
            raise RuntimeError("CUDA error: out of memory")
        self.cuda.pinned += size * dtype.itemsize
        return Tensor(self, np.full(size, 255, dtype), CPU)

    def stack(self, tensors: Sequence[Tensor]) -> Tensor:
        """See torch."""
        return self._joined(tensors, np.stack)

    def cat(self, tensors: Sequence[Tensor]) -> Tensor:
        """See torch."""
        return self._joined(tensors, np.concatenate)

    def _joined(self, tensors: Sequence[Tensor], join: Callable[..., Any]) -> Tensor:
        arrays = [tensor.array for tensor in tensors]
        assert len({array.dtype for array in arrays}) == 1
        made = Tensor(self, np.full_like(join(arrays), 77), tensors[0].device)
        self.cuda.give(tensors[0].device, lambda: np.copyto(made.array, join(arrays)))
        self.cuda.did.append("join")
        return made


class FakeCuda:
    """`torch.cuda`, and what tests want to know of it.

    Attributes:
        did: what was done, in order: "copy" into the ring, "host" and "clone" by itself, "join" and "event".
        waited: the threads that have waited for a device.
        pinned: bytes of page-locked memory that were made.
        pins: 0 where no memory can be page-locked.
        error: what any call raises from now on.
        spoiled: whether a stream was asked something while a graph was captured on it.
    """

    def __init__(self, torch: FakeTorch) -> None:
        self.did: list[str] = []
        self.waited: list[int] = []
        self.pinned, self.pins = 0, 1
        self.error: str | None = None
        self.spoiled = False
        self._torch = torch
        self._pid, self._thread = os.getpid(), threading.get_ident()
        self._current = threading.local()
        self._default: dict[int, Stream] = {}
        self.streams: list[Stream] = []
        self.Stream = partial(Stream, self)

    def check(self) -> None:
        """Raise what the driver raises."""
        if os.getpid() != self._pid:
            raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")
        if self.error is not None:
            raise RuntimeError(self.error)

    @property
    def is_foreign(self) -> bool:
        """Whether another thread asks than the one that has made this."""
        return threading.get_ident() != self._thread

    def current_stream(self, device: Device) -> Stream:
        """See torch."""
        self.check()
        index = device.index or 0
        current: Stream | None = getattr(self._current, "stream", None)
        if current is not None and current.device == index:
            return current
        if index not in self._default:
            self._default[index] = Stream(self, index)
        return self._default[index]

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        """See torch."""
        before = getattr(self._current, "stream", None)
        self._current.stream = stream
        try:
            yield
        finally:
            self._current.stream = before

    def is_current_stream_capturing(self) -> bool:
        """See torch."""
        self.check()
        stream: Stream | None = getattr(self._current, "stream", None)
        return stream is not None and stream.is_captured

    def give(self, device: Device, work: Callable[[], object]) -> None:
        """Have the current stream do something later; what is on the CPU is done at once."""
        if device.type == "cpu":
            work()
        else:
            self.current_stream(device).give(work)

    def run(self) -> None:
        """Do all that any stream was given."""
        for stream in self.streams:
            stream.run()

    @property
    def events(self) -> int:
        """How many events were recorded."""
        return self.did.count("event")


class Stream:
    """See torch: what it is given it does one after the other."""

    def __init__(self, cuda: FakeCuda, device: int = 0) -> None:
        self.device = device
        self.is_captured = False
        self._cuda = cuda
        self._work: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        cuda.streams.append(self)

    def give(self, work: Callable[[], object]) -> None:
        """Put something off."""
        self._cuda.check()
        assert not self.is_captured, "it would go into the graph"
        self._work.append(work)

    def run(self, most: int | None = None) -> None:
        """Do what it was given, or so many pieces of it."""
        with self._lock:
            for _ in range(len(self._work) if most is None else min(most, len(self._work))):
                self._work.pop(0)()

    def query(self) -> bool:
        """See torch."""
        self.asked()
        return not self._work

    def asked(self) -> None:
        """Get on, where it is another thread that asks."""
        self._cuda.check()
        if self.is_captured:
            self._cuda.spoiled = True
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        if self._cuda.is_foreign:
            self.run(1)

    def record_event(self) -> Event:
        """See torch."""
        event = Event(self)
        self.give(event.set)
        self._cuda.did.append("event")
        return event


class Event:
    """See torch."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._done = False

    def set(self) -> None:
        """Have come to it."""
        self._done = True

    def query(self) -> bool:
        """See torch."""
        if not self._done:
            self._stream.asked()
        return self._done


class Tensor:
    """See torch. On a device, `array` is what the memory holds when the work that was given so far is done."""

    def __init__(
        self, torch: FakeTorch, array: npt.NDArray[Any], device: Device, *, negated: bool = False
    ) -> None:
        self.torch = torch
        self.array = array
        self.device = device
        self.layout = torch.strided
        self.negated = negated

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def numel(self) -> int:
        return int(self.array.size)

    def is_neg(self) -> bool:
        return self.negated

    def is_conj(self) -> bool:
        return False

    def _like(self, array: npt.NDArray[Any], device: Device | None = None) -> Tensor:
        return Tensor(self.torch, array, device or self.device, negated=self.negated)

    def detach(self) -> Tensor:
        return self._like(self.array)

    def reshape(self, *shape: Any) -> Tensor:
        return self._like(self.array.reshape(*shape))

    def view(self, dtype: Any) -> Tensor:
        return self._like(self.array.view(dtype))

    def __getitem__(self, place: Any) -> Tensor:
        found = self.array[place]
        return self._like(
            found if isinstance(found, np.ndarray) else self.array[place : place + 1].reshape(())
        )

    def _settled(self) -> npt.NDArray[Any]:
        return -self.array if self.negated else self.array

    def clone(self) -> Tensor:
        made = Tensor(self.torch, np.full_like(self.array, 66), self.device)
        self.torch.cuda.give(self.device, lambda: np.copyto(made.array, self._settled()))
        self.torch.cuda.did.append("clone")
        return made

    def to(self, device: str, *, non_blocking: bool) -> Tensor:
        assert (device, non_blocking) == ("cpu", True)
        made = Tensor(self.torch, np.full_like(self.array, 55), CPU)
        self.torch.cuda.pinned += self.nbytes
        self._sent(made)
        self.torch.cuda.did.append("host")
        return made

    def copy_(self, source: Tensor, *, non_blocking: bool) -> Tensor:
        assert non_blocking
        assert self.shape == source.shape
        source._sent(self)
        self.torch.cuda.did.append("copy")
        return self

    def _sent(self, place: Tensor) -> None:
        # torch turns the sign on the host at once, before the number has come: see `_resolved`.
        self.torch.cuda.give(self.device, lambda: np.copyto(place.array, self.array))

    def fill_(self, value: Any) -> Tensor:
        """Change it in place, behind what the device has still to do."""
        self.torch.cuda.give(self.device, lambda: np.copyto(self.array, value))
        return self

    def item(self) -> Any:
        return self._read().item()

    def tolist(self) -> Any:
        return self._read().tolist()

    def _read(self) -> npt.NDArray[Any]:
        if self.device.type != "cpu":
            stream = self.torch.cuda.current_stream(self.device)
            if not stream.query():
                self.torch.cuda.waited.append(threading.get_ident())
                stream.run()
        return self._settled()

    def untyped_storage(self) -> _Storage:
        return _Storage(self.nbytes)

    def __repr__(self) -> str:
        return f"tensor({self.tolist()})"


Tensor.__module__ = "torch"


class _Storage(NamedTuple):
    size: int

    def nbytes(self) -> int:
        return self.size
