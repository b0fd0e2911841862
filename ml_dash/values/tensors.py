"""Tensors and arrays of other libraries, by what they can do: no library is imported.

A number on a device is not read at the call where that would wait for everything queued on the device before it. What a
call has of such numbers is taken together, at its end: read where the device is done with all that it was given, else
copied on its own stream, and the worker reads the copy when the device has come to it; see `ml_dash.values.transfers`.
(An array of JAX is copied, too: it never changes, but the next step may be given its memory, by `donate_argnums`, and
then it is no more.) The copy of a small tensor of CUDA goes into the host's memory, since reading one that is still on
the device waits for all that was queued behind it, too: beside a loop that is ahead of its device the worker would
never catch up.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from ml_dash.records import NamedTuple
from ml_dash.values.transfers import (
    SLOT_BYTES,
    Lane,
    Transfer,
    beside_captures,
    copy_into,
    lane_on,
    module_of,
    ring,
    stream_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_JAX = frozenset({"jax", "jaxlib"})
"""Packages whose arrays are computed behind the caller's back, on the CPU too."""

_NO_DEVICES = frozenset({"cpu", "meta"})
"""Where a tensor is in the host's memory, or has no values at all."""

_STRIDED = frozenset({("torch", "Tensor"), ("torch.nn.parameter", "Parameter")})
"""Types of tensors that lie in a storage of their own: subclasses may be anything."""

_NOT_OF_NUMPY = ("torch.bfloat16", "torch.float8")
"""How the names of types begin that numpy has not."""

_SMALL_BYTES = 65_536
"""The largest tensor that is copied into the host's memory, which is page-locked for that: larger ones are cloned."""

_FEW_READS = 2
"""Numbers that are read one by one: to join more of them on their device costs less than to read each."""


class Deferred:
    """A value that may not be there yet, safe from later changes, to be fetched by another thread.

    Attributes:
        nbytes: that it takes until then.
    """

    # No abstract class: whether something is one of these is asked for each value of a row, and would take five times
    # as long.
    __slots__ = ("nbytes",)
    nbytes: int

    @property
    def is_here(self) -> bool:
        """Whether `fetch` waits for nothing, for certain."""
        return False

    @property
    def is_there(self) -> bool:
        """Whether `fetch` waits for nothing, as far as can be told: what nobody can be asked of counts as there."""
        return True

    @property
    def type_name(self) -> str:
        """The name of what it is a value of."""
        raise NotImplementedError

    def fetch(self) -> Any:
        """Wait for the device and return a Python number or nested list; raises what the device raises."""
        raise NotImplementedError


class _Piece(NamedTuple):
    """Some of the numbers of a flat tensor in the host's memory."""

    flat: Any
    begin: int
    shape: Any

    def read(self) -> Any:
        count = functools.reduce(lambda product, size: product * size, self.shape, 1)
        if count == 1:
            return self.flat[self.begin].item()
        return self.flat[self.begin : self.begin + count].reshape(self.shape).tolist()


class _Copy(NamedTuple):
    """A copy in the host's memory, or one of JAX."""

    value: Any

    def read(self) -> Any:
        return fetch(self.value)


class _Clone(NamedTuple):
    """A copy on its device."""

    value: Any

    def read(self) -> Any:
        with beside_captures():
            return fetch(self.value)


class _OfDevice(Deferred):
    """A number, or several, of a tensor on a device.

    It is `source`'s own until it was taken (see `take`), and a copy from then on, of which all is let go when it was
    read.
    """

    __slots__ = ("_copy", "_error", "_kind", "_result", "_transfer", "source")

    def __init__(self, source: Any) -> None:
        self.nbytes = int(getattr(source, "nbytes", 8))
        self.source = source
        self._kind = type(source)
        self._copy: _Piece | _Copy | _Clone | None = None
        self._transfer: Transfer | None = None
        self._error: str | None = None
        self._result: tuple[Any] | None = None

    @property
    def type_name(self) -> str:
        return f"{self._kind.__module__}.{self._kind.__qualname__}"

    @property
    def is_here(self) -> bool:
        if self._result is not None or self._error is not None:
            return True
        transfer = self._transfer
        return transfer is not None and transfer.is_there and not isinstance(self._copy, _Clone)

    @property
    def is_there(self) -> bool:
        transfer = self._transfer
        return transfer is None or transfer.is_there

    def have(self, result: Any) -> None:
        """Have been read."""
        self._result = (result,)
        self.source = None

    def follow(self, copy: _Piece | _Copy | _Clone, transfer: Transfer | None) -> None:
        """Be this copy, when the transfer is there."""
        self._copy, self._transfer, self.source = copy, transfer, None

    def fail(self, error: str) -> None:
        """Have no value, for this reason."""
        self._error, self.source = error, None

    def fetch(self) -> Any:
        copy, transfer = (
            self._copy,
            self._transfer,
        )  # first: another thread lets them go when the result is there
        if self._result is None:
            if self._error is not None:
                raise RuntimeError(self._error)
            if transfer is not None:
                transfer.wait()
            assert copy is not None, "it was not taken"  # noqa: S101
            self._result = (copy.read(),)
            self._copy = self._transfer = None
        return self._result[0]


class _OfJax(_OfDevice):
    """An array of JAX: a copy of it, from the beginning."""

    __slots__ = ()

    def __init__(self, array: Any, copy: Any) -> None:
        super().__init__(array)
        self.follow(_Copy(copy), None)

    @property
    def is_there(self) -> bool:
        copy = self._copy
        try:
            return not isinstance(copy, _Copy) or bool(copy.value.is_ready())
        except Exception:  # noqa: BLE001 - foreign code: `fetch` will tell
            return True


def take(values: Iterable[Deferred]) -> None:
    """Take all that one call has of tensors, before it ends: read them if that waits for nothing, else copy them.

    A device that refuses is told with each value, by `Deferred.fetch`: its error belongs to the training loop.
    """
    rest = [value for value in values if isinstance(value, _OfDevice) and value.source is not None]
    while rest:
        device = rest[0].source.device
        some = [value for value in rest if value.source.device == device]
        rest = [] if len(some) == len(rest) else [value for value in rest if value.source.device != device]
        try:
            with beside_captures():
                _take(device, some)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the training loop here
            for value in some:
                if value.source is not None:
                    value.fail(str(error))


def _take(device: Any, values: Sequence[_OfDevice]) -> None:
    has_streams = hasattr(module_of(device), "current_stream")
    if not has_streams or not isinstance(values[0].source, sys.modules["torch"].Tensor):
        for value in values:  # to read it waits by itself
            value.follow(_Clone(value.source.detach().clone()), None)
        return
    stream = stream_of(device)
    if stream.query():
        _read([value for value in values if value.nbytes <= SLOT_BYTES and _is_plain(value.source)])
        values = [value for value in values if value.source is not None]
    if values:
        _copy(values, lane_on(device, stream))


def _read(values: Sequence[_OfDevice]) -> None:
    """Read values of a device that is done."""
    if len(values) > _FEW_READS:
        _read_together([value for value in values if not value.source.shape])
    for value in values:
        source = value.source
        if source is not None:
            value.have(fetch(source) if source.shape else source.item())


def _read_together(values: Sequence[_OfDevice]) -> None:
    by_type: dict[Any, list[_OfDevice]] = {}
    for value in values:
        by_type.setdefault(value.source.dtype, []).append(value)
    for some in by_type.values():
        if len(some) > _FEW_READS:
            joined = sys.modules["torch"].stack([value.source.detach() for value in some])
            for value, result in zip(some, joined.tolist(), strict=True):
                value.have(result)


def _copy(values: Sequence[_OfDevice], lane: Lane) -> None:
    """Queue copies of values behind what their device has still to do."""
    transfer = Transfer(lane)
    try:
        sources = [_resolved(value.source.detach()) for value in values]
        small = [
            place
            for place, tensor in enumerate(sources)
            if _is_plain(tensor) and tensor.device.type == "cuda" and tensor.nbytes <= SLOT_BYTES
        ]
        places: dict[int, tuple[Any, int] | None] = {}
        memory = ring() if small else None
        if memory is not None:
            found = copy_into(transfer, [sources[place] for place in small], memory)
            places = dict(zip(small, found, strict=True))
        for index, (value, source) in enumerate(zip(values, sources, strict=True)):
            place = places.get(index)
            if place is not None:
                value.follow(_Piece(*place, source.shape), transfer)
            else:
                value.follow(_copied(source), transfer)
    finally:
        lane.begin(transfer)  # in any case: what was queued may still write into its slot


def _is_plain(tensor: Any) -> bool:
    """Whether this is a tensor of torch itself, whose numbers lie one behind the other."""
    torch: Any = sys.modules.get("torch")
    return type(tensor) is getattr(torch, "Tensor", None) and tensor.layout is torch.strided


def _resolved(tensor: Any) -> Any:
    """Return a tensor in which signs stand as they are: of a view torch turns them on the host, before numbers come."""
    is_turned = _is_plain(tensor) and (tensor.is_neg() or tensor.is_conj())
    return tensor.clone() if is_turned else tensor


def _copied(tensor: Any) -> _Copy | _Clone:
    """Queue a copy of a tensor by itself."""
    if _is_plain(tensor) and tensor.device.type == "cuda" and tensor.nbytes <= _SMALL_BYTES:
        return _Copy(tensor.to("cpu", non_blocking=True))
    return _Clone(tensor.clone())


def on_device(value: Any) -> bool:
    """Whether reading `value` now would wait for a device."""
    try:
        return _is_jax_array(value) or _device(value) is not None
    except Exception:  # noqa: BLE001 - foreign code: what does not even say where it is, is on no device that we know
        return False


def defer(value: Any) -> Deferred | None:
    """Return `value` as a `Deferred`, still to be taken (see `take`), where it is on a device, else None.

    None as well where it cannot be copied, as where JAX traces the caller: it has to be read now, if that can be done.
    """
    if _is_jax_array(value):
        copy = _copy_of_jax(value)
        return None if copy is None else _OfJax(value, copy)
    return None if _device(value) is None or is_freed(value) else _OfDevice(value)


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


def on_host(value: Any) -> Any:
    """Return a tensor of any device as numpy takes it; what is no tensor stays as it is.

    numpy takes none that is on a device or needs its gradient, and has no type for bfloat16 and the floats of 8 bits.
    """
    if not hasattr(value, "detach"):
        return value
    host = value.detach().cpu()
    return host.float() if str(getattr(host, "dtype", "")).startswith(_NOT_OF_NUMPY) else host


def element_count(value: Any) -> int:
    """Return how many elements a tensor or array has, without reading them."""
    numel = getattr(value, "numel", None)
    return int(numel() if callable(numel) else getattr(value, "size", 1))
