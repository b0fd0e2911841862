"""A tensor on a device, as far as the package can tell: it remembers who made whom wait for the device."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

__all__ = ["FakeTensor"]


class _Device(NamedTuple):
    type: str


class FakeTensor:
    """A tensor of one number, or of several, on a device.

    Reading it (`item`, `tolist`, `repr`, `float`…) is what would wait for everything queued on the device. `readers`
    are the threads that did, of this tensor and of all its clones.
    """

    nbytes = 8

    def __init__(self, value: Any, *, device: str = "cuda", readers: list[int] | None = None) -> None:
        self.value = value
        self.device = _Device(device)
        self.readers: list[int] = [] if readers is None else readers
        self.clones = 0

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
        self._base.clones += 1
        return self._base.clone()
