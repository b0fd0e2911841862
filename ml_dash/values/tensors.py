"""Tensors and arrays of other libraries, by what they can do: no library is imported.

A number on a device is not read at the call, which would wait for everything queued on the device before it. It is
copied on the device's own stream, and the worker reads the copy when the device has come to it. (An array of JAX is
copied, too: it never changes, but the next step may be given its memory, by `donate_argnums`, and then it is no more.)
The copy of a small tensor of CUDA goes into the host's memory, since reading one that is still on the device waits for
all that was queued behind it, too: beside a loop that is ahead of its device the worker would never catch up.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_JAX = frozenset({"jax", "jaxlib"})
"""Packages whose arrays are computed behind the caller's back, on the CPU too."""

_NO_DEVICES = frozenset({"cpu", "meta"})
"""Where a tensor is in the host's memory, or has no values at all."""

_STRIDED = frozenset({("torch", "Tensor"), ("torch.nn.parameter", "Parameter")})
"""Types of tensors that lie in a storage of their own: subclasses may be anything."""

_SMALL_BYTES = 65_536
"""The largest tensor that is copied into the host's memory, which is page-locked for that: larger ones are cloned."""

_RELAXED = 2
"""`CU_STREAM_CAPTURE_MODE_RELAXED`."""

_SHORTEST_WAIT, _LONGEST_WAIT = 0.0001, 0.002
"""Seconds between two looks whether a device has come to a copy."""


class Deferred:
    """A value on a device, safe from later changes, to be fetched by another thread.

    The value is a copy. `device` is where it is copied from, behind what that device has still
    to do; None where reading it waits for that by itself. `mark` is called before the call that took it ends.
    """

    __slots__ = ("_device", "_ready", "_result", "_value", "nbytes", "type_name")

    def __init__(self, value: Any, device: Any = None) -> None:
        self._value = value
        self._device = device
        self._ready: Any = None
        self._result: tuple[Any] | None = None
        self.nbytes = int(getattr(value, "nbytes", 8))
        self.type_name = f"{type(value).__module__}.{type(value).__qualname__}"

    def mark(self, events: dict[Any, Any]) -> None:
        """Take the event of `events` that is behind the copy on its device, recorded now where there is none."""
        device = self._device
        if device is not None:
            if device not in events:
                events[device] = _module(device).current_stream(device).record_event()
            self._ready = events[device]

    def fetch(self) -> Any:
        """Wait for the device and return a Python number or nested list; then the copy is let go."""
        value = self._value  # before the result: another thread lets it go when that is there
        if self._result is None:
            with contextlib.nullcontext() if self._device is None else _beside_captures():
                self._wait()
                self._result = (fetch(value),)
                self._value = self._ready = value = None
        return self._result[0]

    def _wait(self) -> None:
        """Wait without a core that spins, which is what an event's own `synchronize` takes."""
        event = self._ready
        if event is None:
            if self._device is not None:
                _module(self._device).synchronize(self._device)
            return
        pause = _SHORTEST_WAIT
        while not event.query():
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT)


def mark(values: Iterable[Deferred]) -> None:
    """Note where in the device's work the copies that this call has made are ready, by one event for all of them.

    It is recorded in the caller's current stream, as the copies were. Where that fails, `fetch` waits for everything.
    """
    events: dict[Any, Any] = {}
    # The device's error belongs to the training loop, which will meet it.
    with contextlib.suppress(Exception):
        for value in values:
            value.mark(events)


def on_device(value: Any) -> bool:
    """Whether reading `value` now would wait for a device."""
    try:
        return _is_jax_array(value) or _device(value) is not None
    except Exception:  # noqa: BLE001 - foreign code: what does not even say where it is, is on no device that we know
        return False


def defer(value: Any) -> Deferred | None:
    """Return `value` as a `Deferred` where reading it now would wait for a device, else None.

    None as well where it cannot be copied, as where JAX traces the caller: it has to be read now, if that can be done.
    """
    if _is_jax_array(value):
        copy = _copy_of_jax(value)
        return None if copy is None else Deferred(copy)
    device = _device(value)
    if device is None or is_freed(value):
        return None
    copy = _copy(value.detach(), device)
    return Deferred(copy, device if hasattr(_module(device), "current_stream") else None)


def is_freed(value: Any) -> bool:
    """Whether this is a tensor whose memory is gone, as FSDP takes it from parameters between two steps.

    To copy or to print one reads memory that is not there: the process ends (SIGSEGV), or CUDA is of no use any more.
    """
    kind = type(value)
    if (kind.__module__, kind.__name__) not in _STRIDED:
        return False
    try:
        return bool(value.numel()) and value.untyped_storage().nbytes() == 0
    except Exception:  # noqa: BLE001 - foreign code: a sparse one has no storage
        return False


def _is_jax_array(value: Any) -> bool:
    """Whether this is an array of JAX that has values: a tracer has none, and a PRNG key is no number."""
    kind = type(value)
    return kind.__name__ == "ArrayImpl" and kind.__module__.partition(".")[0] in _JAX


def _copy_of_jax(array: Any) -> Any:
    """Queue a copy of an array behind what its devices have still to do; None where it is to be read now."""
    try:
        if not array.is_fully_addressable:
            # A copy of all of it would wait for the other hosts, of which perhaps none logs. Each has all of one that
            # is replicated, as losses are.
            array = array.addressable_data(0) if array.is_fully_replicated else None
        if _is_here(array):
            return None
        copy = _jax_copier()(array)
    except Exception:  # noqa: BLE001 - foreign code: deleted already, or no memory on the device
        return None
    return (
        copy if type(copy) is type(array) else None
    )  # while the caller is traced, the copy is only traced, too


def _is_here(array: Any) -> bool:
    """Whether a small array of JAX is computed and in the host's memory: to read it is cheaper than to copy it.

    That is also the case of a callback of JAX, in which nothing should be computed by it.
    """
    return bool(
        array.nbytes <= _SMALL_BYTES
        and not array.is_deleted()  # asked whether it is ready, a deleted one ends the process (SIGSEGV)
        and array.is_ready()
        and all(device.platform == "cpu" for device in array.devices())
    )


@functools.cache
def _jax_copier() -> Callable[[Any], Any]:
    """JAX's copying, compiled: `Array.copy` takes five times as long."""
    jax: Any = sys.modules["jax"]  # there, since an array of it is
    copier: Callable[[Any], Any] = jax.jit(jax.numpy.copy)
    return copier


def _module(device: Any) -> Any:
    """The module of torch for a kind of devices, as `torch.cuda`; None where it has none."""
    return getattr(sys.modules.get("torch"), device.type, None)


def _device(value: Any) -> Any:
    """The device that a tensor is on; None for the CPU, and for what is no tensor."""
    device = getattr(value, "device", None)
    return device if getattr(device, "type", "cpu") not in _NO_DEVICES and hasattr(value, "detach") else None


def fetch(value: Any) -> Any:
    """Return the one element of a tensor or array as a Python number, several as a nested list.

    numpy's `masked`, the element of a masked array that has no value, is NaN: its `item()` says 0.
    """
    if type(value).__name__ == "MaskedConstant":
        return float("nan")
    if is_freed(value):
        raise ValueError("its memory was freed")
    return value.item() if element_count(value) == 1 else value.tolist()


def element_count(value: Any) -> int:
    """Return how many elements a tensor or array has, without reading them."""
    numel = getattr(value, "numel", None)
    return int(numel() if callable(numel) else getattr(value, "size", 1))


def _copy(tensor: Any, device: Any) -> Any:
    """Queue a copy of a tensor behind what its device has still to do."""
    if (
        device.type == "cuda"
        and type(tensor) is getattr(sys.modules.get("torch"), "Tensor", None)
        and tensor.nbytes <= _SMALL_BYTES
        # of these views torch turns the sign on the host, before the number is there
        and not (tensor.is_neg() or tensor.is_conj())
    ):
        return tensor.to("cpu", non_blocking=True)
    return tensor.clone()


@contextlib.contextmanager
def _beside_captures() -> Iterator[None]:
    """Let this thread ask CUDA what it likes while another one captures a graph.

    In the mode in which torch captures by default, whatever another thread asks would spoil the capture. See
    `cuThreadExchangeStreamCaptureMode` of CUDA's driver interface.
    """
    exchange = _exchange_capture_mode()
    mode = ctypes.c_int(_RELAXED)
    exchange(ctypes.byref(mode))
    try:
        yield
    finally:
        exchange(ctypes.byref(mode))


@functools.cache
def _exchange_capture_mode() -> Callable[[Any], object]:
    """The driver's function; where there is none, one that does nothing."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        function: Callable[[Any], object] = driver.cuThreadExchangeStreamCaptureMode
    except (OSError, AttributeError):
        return lambda _mode: None
    return function
