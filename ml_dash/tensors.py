"""Tensors and arrays of other libraries, by what they can do: no library is imported.

A number on a device is not read at the call, which would wait for everything queued on the device before it.
It is cloned on the device's own stream, and the worker reads the clone later.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Deferred", "defer", "element_count", "fetch", "on_device"]

_ASYNCHRONOUS = frozenset({"jax", "jaxlib"})
"""Packages whose arrays are computed behind the caller's back, on the CPU too, and never change."""


class Deferred:
    """A value on a device, safe from later changes, to be fetched by another thread."""

    __slots__ = ("_ready", "_value", "nbytes", "type_name")

    def __init__(self, value: Any, ready: Any) -> None:
        self._value = value
        self._ready = ready
        self.nbytes = int(getattr(value, "nbytes", 8))
        self.type_name = f"{type(value).__module__}.{type(value).__qualname__}"

    def fetch(self) -> Any:
        """Wait for the device and return a Python number or nested list."""
        if self._ready is not None:
            self._ready.synchronize()
        return fetch(self._value)


def on_device(value: Any) -> bool:
    """Whether reading `value` now would wait for a device."""
    return _is_asynchronous(value) or _device(value) is not None


def defer(value: Any) -> Deferred | None:
    """Return `value` as a `Deferred` where reading it now would wait for a device, else None."""
    if _is_asynchronous(value):
        return Deferred(value, None)
    device = _device(value)
    if device is None:
        return None
    clone = value.detach().clone()
    return Deferred(clone, _recorded(device, clone.device))


def _is_asynchronous(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in _ASYNCHRONOUS and hasattr(value, "item")


def _device(value: Any) -> str | None:
    """The kind of device that a tensor is on; None for the CPU, and for what is no tensor."""
    device = getattr(getattr(value, "device", None), "type", "cpu")
    return device if device != "cpu" and hasattr(value, "detach") else None


def fetch(value: Any) -> Any:
    """Return the one element of a tensor or array as a Python number, several as a nested list.

    numpy's `masked`, the element of a masked array that has no value, is NaN: its `item()` says 0.
    """
    if type(value).__name__ == "MaskedConstant":
        return float("nan")
    return value.item() if element_count(value) == 1 else value.tolist()


def element_count(value: Any) -> int:
    """Return how many elements a tensor or array has, without reading them."""
    numel = getattr(value, "numel", None)
    return int(numel() if callable(numel) else getattr(value, "size", 1))


def _recorded(kind: str, device: Any) -> Any:
    """Record an event behind the clone on the caller's stream: the worker reads on another one."""
    current_stream = getattr(getattr(sys.modules.get("torch"), kind, None), "current_stream", None)
    return None if current_stream is None else current_stream(device).record_event()
