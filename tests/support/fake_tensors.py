"""Tensors on a device, as far as the package can tell: they remember who made whom wait for the device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

__all__ = ["FakeJax", "FakeTensor", "freed_tensor"]


class _Device(NamedTuple):
    type: str


class SegmentationFault(BaseException):
    """The process would be gone: nothing catches this."""


class FakeTensor:
    """A tensor of one number, or of several, on a device.

    Reading it (`item`, `tolist`, `repr`, `float`…) is what would wait for everything queued on the device. `readers`
    are the threads that did, of this tensor and of all its clones.
    """

    nbytes: int = 8

    def __init__(self, value: Any, *, device: str = "cuda", readers: list[int] | None = None) -> None:
        self.value = value
        self.device = _Device(device)
        self.readers: list[int] = [] if readers is None else readers

    def detach(self) -> FakeTensor:
        """See torch: it shares its memory with the tensor, so it cannot be kept."""
        view = _Detached(self)
        view.readers = self.readers
        return view

    def clone(self) -> FakeTensor:
        return FakeTensor(self.value, device=self.device.type, readers=self.readers)

    def fill_(self, value: Any) -> FakeTensor:
        """Change it in place."""
        self.value = value
        return self

    def numel(self) -> int:
        return len(self.value) if isinstance(self.value, list) else 1

    def item(self) -> Any:
        self._read()
        if self.numel() != 1:
            raise RuntimeError("a Tensor with several elements cannot be converted to Scalar")
        return self.value[0] if isinstance(self.value, list) else self.value

    def tolist(self) -> Any:
        self._read()
        return self.value

    def __repr__(self) -> str:
        self._read()
        return f"tensor({self.value}, device={self.device.type!r})"

    def __float__(self) -> float:
        return float(self.item())

    def _read(self) -> None:
        self.readers.append(threading.get_ident())


class _Detached(FakeTensor):
    def __init__(self, base: FakeTensor) -> None:
        super().__init__(None, device=base.device.type)
        self._base = base

    def clone(self) -> FakeTensor:
        return self._base.clone()


class _Storage(NamedTuple):
    size: int

    def nbytes(self) -> int:
        return self.size


class _FreedTensor(FakeTensor):
    """Of one that was freed, torch does not raise here: the process dies."""

    def untyped_storage(self) -> _Storage:
        return _Storage(0)

    def clone(self) -> FakeTensor:
        raise SegmentationFault

    def _read(self) -> None:
        raise SegmentationFault


# by its name and its module a tensor is known that lies in a storage of its own
freed_tensor = type("Tensor", (_FreedTensor,), {"__module__": "torch"})


class FakeJax:
    """As much of JAX as tells an array whose memory may be given away: what it computes is not there at once.

    Attributes:
        readers: the threads that read an array.
        copies: how many arrays were copied.
    """

    def __init__(self) -> None:
        self.numpy = SimpleNamespace(copy=_copied)
        self.readers: list[int] = []
        self.copies = 0

    def jit(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """See JAX."""
        return function

    def array(self, value: Any, **more: Any) -> Any:
        """Return an array on a device."""
        return _ArrayImpl(self, value, **more)


class _JaxArray:
    nbytes: int = 4
    is_fully_addressable = True

    def __init__(self, jax: FakeJax, value: Any, *, platform: str = "gpu", ready: bool = False) -> None:
        self.value = value
        self.jax = jax
        self.deleted = False
        self._platform = platform
        self._ready = ready

    @property
    def size(self) -> int:
        return len(self.value) if isinstance(self.value, list) else 1

    def is_deleted(self) -> bool:
        return self.deleted

    def is_ready(self) -> bool:
        """Of a deleted array, JAX does not raise here: the process dies."""
        if self.deleted:
            raise SegmentationFault
        return self._ready

    def devices(self) -> set[_Platform]:
        return {_Platform(self._platform)}

    def donate(self) -> Any:
        """Give the memory away, as the argument of a function that was compiled with `donate_argnums`."""
        self.check()
        self.deleted = True
        return self.value

    def item(self) -> Any:
        self.check()
        self.jax.readers.append(threading.get_ident())
        return self.value

    tolist = item

    def check(self) -> None:
        if self.deleted:
            raise RuntimeError("Array has been deleted")


class _Platform(NamedTuple):
    platform: str


# by its name and its module an array of JAX is known
_ArrayImpl = type("ArrayImpl", (_JaxArray,), {"__module__": "jaxlib._jax"})


def _copied(array: _JaxArray) -> _JaxArray:
    array.check()
    array.jax.copies += 1
    copy: _JaxArray = array.jax.array(array.value)
    return copy
