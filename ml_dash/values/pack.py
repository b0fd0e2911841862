"""What a logged value becomes: plain data that msgpack carries, taken at the call.

`packer` gives what is on the hot path: msgspec's encoder, which takes less than half the time of msgpack's own packer,
keeps no state between calls, and so may be shared by all threads. It carries numbers, strings, bytes, bools, None,
dicts, lists and tuples as they are, sets as lists, enums by their values, dataclasses as dicts, and dates, UUIDs and
decimals as strings. Whatever it refuses comes to `plain`: numpy scalars and arrays, tensors, subclasses of str and
float, and things of which nothing but the `repr` can be stored.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgpack

from ml_dash.forks import guarded_imports
from ml_dash.values.foreign import translated
from ml_dash.values.tensors import Deferred, defer, fetch, is_freed, take

_MAX_DEPTH = 64  # far below what makes Python's or msgpack's recursion fail
_MAX_REPR = 10_000
_PLAIN_BYTES = 4096
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_SIMPLE = frozenset({float, int, str, bool, bytes, type(None)})
_TIMESTAMPS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
"""How msgpack's timestamps begin, the form in which msgspec writes a datetime that has a time zone."""

_Pack: TypeAlias = Callable[[Any], bytes]
_packer: _Pack | None = None

PACK_ERRORS = Exception
"""What `pack` raises for a value that it does not carry: it may ask foreign code, which raises anything."""


def packer() -> _Pack:
    """Return the fast `pack`, for those who call it for each row.

    The first call imports msgspec, which takes as long as a fifth of all the rest: so the background thread makes it,
    and nobody waits for that. A signal handler that logs in the middle of it gets the other encoder.
    """
    global _packer  # noqa: PLW0603 - one for all threads
    if _packer is None:
        try:
            with guarded_imports():
                from msgspec.msgpack import Encoder
        except ImportError:
            return pack_plain
        _packer = Encoder().encode
    return _packer


def packer_at_hand() -> _Pack | None:
    """Return the fast `pack`; None where it is not imported yet."""
    return _packer


def pack_early(event: list[Any]) -> bytes:
    """Pack an event as the fast `pack` does, before that is there; for values that only it can pack, import it."""
    return pack_plain(event) if _SIMPLE.issuperset(map(type, event[2].values())) else packer()(event)


def pack(value: Any) -> bytes:
    """Pack anything; see `PACK_ERRORS` for what it raises."""
    return packer()(value)


def unpack(data: bytes) -> Any:
    """The inverse of `pack`; dates come back as ISO 8601 strings, keys that are tuples as text."""
    try:
        value = _unpack(data)
    except TypeError:
        # A key is an array or a map: Python's list and dict cannot be keys.
        value = _with_text_keys(_unpack(data, use_list=False, object_pairs_hook=_Pairs))
    return _dated(value) if any(mark in data for mark in _TIMESTAMPS) else value


def _unpack(data: bytes, **options: Any) -> Any:
    return msgpack.unpackb(
        data,
        strict_map_key=False,
        timestamp=3,
        unicode_errors="surrogatepass",
        max_str_len=len(data),
        max_bin_len=len(data),
        max_array_len=len(data),
        max_map_len=len(data),
        **options,
    )


class _Pairs(tuple[Any, ...]):
    """The items of a map, which unlike a dict can be a key."""

    __slots__ = ()


def _with_text_keys(value: Any) -> Any:
    """Return dicts and lists for `_Pairs` and tuples, and their text where they are keys."""
    if isinstance(value, _Pairs):
        return {str(key) if isinstance(key, tuple) else key: _with_text_keys(item) for key, item in value}
    if isinstance(value, tuple):
        return [_with_text_keys(item) for item in value]
    return value


def _dated(value: Any) -> Any:
    """Replace every datetime in `value` by its ISO 8601 string."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {_dated(key): _dated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_dated(item) for item in value]
    return value


def plain(value: Any, unstorable: Callable[[Any], Any], above: tuple[int, ...] = ()) -> Any:
    """Return `value` as plain data, whatever it does when it is looked at.

    `unstorable` is called with what has no plain form; what it returns is stored. `above` are the ids of the containers
    that the value lies in.
    """
    try:
        return _plain(value, unstorable, above)
    except Exception:  # noqa: BLE001 - foreign code: whatever it raises, the repr is stored
        return unstorable(value)


def _plain(  # noqa: PLR0911 - one line a kind of value
    value: Any, unstorable: Callable[[Any], Any], above: tuple[int, ...]
) -> Any:
    # exact types first, and without isinstance: nearly all values are one of these
    kind = type(value)
    if kind is float or kind is bool or kind is str or kind is bytes or value is None:
        return value
    if isinstance(value, int):
        return int(value) if _INT_MIN <= value <= _INT_MAX else unstorable(value)
    # What contains itself twice would otherwise be walked 2 to the power of the depth times.
    if len(above) > _MAX_DEPTH or id(value) in above:
        return unstorable(value)
    within = (*above, id(value))
    if isinstance(value, Mapping):
        return _named((key, plain(item, unstorable, within)) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, unstorable, within) for item in value]
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # which is there by then, and else 5 ms of each script's start

        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain(fields, unstorable, within)
    if isinstance(value, Deferred):
        return value
    deferred = defer(value)
    if deferred is not None:
        return deferred
    return _foreign(value, unstorable, within)


def _named(items: Iterable[tuple[Any, Any]]) -> dict[str | int, Any]:
    """Return a dict with keys that msgpack carries; of keys of one text the later one gives way: ``None_``."""
    named: dict[str | int, Any] = {}
    for key, item in items:
        name = _key(key)
        while name in named:
            name = f"{name}_"
        named[name] = item
    return named


def _key(key: Any) -> str | int:
    return key if type(key) is str or type(key) is int else text_of(key)


def text_of(value: Any) -> str:
    """Return the `str` of anything; its `repr` where it has none."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - foreign code
        return represent(value)["__repr__"]


def _foreign(value: Any, unstorable: Callable[[Any], Any], within: tuple[int, ...]) -> Any:
    """A float, str or bytes subclass, a numpy or tensor value, a date…, or something that cannot be stored."""
    if isinstance(value, (float, str, bytes)):
        return _base(value)
    told = translated(value)
    if told is not value:
        return plain(told, unstorable, within)
    if callable(getattr(value, "item", None)):
        inner = fetch(value)
        # numpy's longdouble and the like give themselves back.
        inner = float(value) if type(inner) is type(value) else inner
        return plain(inner, unstorable, within)
    return unpack(pack(value))


def _base(value: float | str | bytes) -> float | str | bytes:
    """Return a float, str or bytes without its subclass."""
    if isinstance(value, float):
        return float.__float__(value)
    return str.__str__(value) if isinstance(value, str) else bytes(value)


def represent(value: Any) -> dict[str, str]:
    """The form in which something that msgpack cannot carry is stored."""
    kind = type(value)
    try:
        text = "<a tensor whose memory was freed>" if is_freed(value) else str.__str__(repr(value))
    except Exception as error:  # noqa: BLE001 - a broken __repr__ must not stop the training loop
        text = f"<unrepresentable: {type(error).__name__}>"
    if len(text) > _MAX_REPR:
        text = text[:_MAX_REPR] + "…"
    return {"__repr__": text, "__type__": f"{kind.__module__}.{kind.__qualname__}"}


class DeferredEvent:
    """An event with values in it that are still on their devices, to be fetched and packed by the worker.

    Its length is what the packed event will take, roughly: the queue bounds memory by it. `failed` is called with the
    name of a field of which a value could not be fetched, and why.
    """

    __slots__ = ("_deferred", "_failed", "_fields", "_nbytes", "_series_id", "_time_ns")

    def __init__(
        self,
        series_id: int,
        time_ns: int,
        fields: dict[str, Any],
        deferred: Sequence[Deferred],
        failed: Callable[[str, str], None] = lambda _name, _why: None,
    ) -> None:
        self._series_id = series_id
        self._time_ns = time_ns
        self._fields = fields
        self._deferred = deferred
        self._failed = failed
        self._nbytes = 64 + sum(item.nbytes for item in deferred)

    def __len__(self) -> int:
        return self._nbytes

    @property
    def is_there(self) -> bool:
        """Whether `pack` waits for no device, as far as can be told."""
        return all(item.is_there for item in self._deferred)

    def pack(self) -> bytes:
        """Fetch the values, waiting for their devices, and pack the event."""
        fields = {
            name: fetched(value, functools.partial(self._failed, name))
            for name, value in self._fields.items()
        }
        return pack_plain([self._series_id, self._time_ns, plain(fields, represent)])


def deferred_in(value: Any) -> Iterator[Deferred]:
    """Every deferred tensor in plain data."""
    if isinstance(value, Deferred):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from deferred_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from deferred_in(item)


def fetched(value: Any, failed: Callable[[str], None] = lambda _why: None) -> Any:
    """Replace every deferred tensor in `value` by its number or list of numbers; `failed` is told what cannot be."""
    if isinstance(value, Deferred):
        try:
            return value.fetch()
        except Exception as error:  # noqa: BLE001 - the device's error belongs to the training loop
            failed(str(error))
            return {"__repr__": f"<not fetched: {error}>", "__type__": value.type_name}
    if isinstance(value, dict):
        return {key: fetched(item, failed) for key, item in value.items()}
    if isinstance(value, list):
        return [fetched(item, failed) for item in value]
    return value


def pack_event(
    series_id: int,
    time_ns: int,
    fields: dict[str, Any],
    failed: Callable[[str, str], None] = lambda _name, _why: None,
) -> tuple[bytes | DeferredEvent, dict[str, str]]:
    """Pack a row whose fields are not all plain; with values in it that devices are still at, put that off.

    `failed` is called later, in another thread, with the name of a field that a device did not give, and why.

    Returns:
        The event, and the fields of which something could only be stored as its `repr`, with its type.
    """
    unstorable: dict[str, str] = {}
    converted: dict[str, Any] = {}
    deferred: list[Deferred] = []
    for name, value in fields.items():
        kind: Any = type(value)
        # by `is`, since a type of the script's may refuse to be hashed or compared
        is_simple = kind is float or kind is str or kind is bool or value is None or kind is bytes
        if is_simple or (kind is int and _INT_MIN <= value <= _INT_MAX):
            converted[name] = value
        elif type(kind) is type and _is_numpy_number(kind):  # most rows that come here have these
            converted[name] = value.item()
        elif (late := _on_device(kind, value)) is not None:  # not farther down, for its speed
            converted[name] = late
            deferred.append(late)
        elif kind is dict:  # as a message's metadata: each of its keys is told by itself
            inner = ((key, _noted(f"{name}.{_key(key)}", item, unstorable)) for key, item in value.items())
            converted[name] = found = _named(inner)
            deferred += deferred_in(found)
        else:
            converted[name] = found = _noted(name, value, unstorable)
            deferred += deferred_in(found)
    if not deferred:
        return _packed([series_id, time_ns, converted]), unstorable
    take(deferred)
    event = DeferredEvent(series_id, time_ns, converted, deferred, failed)
    if not all(item.is_here for item in deferred):
        return event, unstorable
    try:
        read = {
            name: item.fetch() if isinstance(item, Deferred) else item for name, item in converted.items()
        }
        return pack([series_id, time_ns, read]), unstorable
    except PACK_ERRORS:  # one of them is deeper down, has failed, or is no number
        return event.pack(), unstorable


@functools.lru_cache(256)
def _is_numpy_number(kind: type) -> bool:
    """Whether values of a type are numpy's bools, integers or floats, which all have a Python number to be."""
    dtype: Any = getattr(sys.modules.get("numpy"), "dtype", None)
    return dtype is not None and kind in _numpy_numbers(dtype)


@functools.lru_cache(1)
def _numpy_numbers(dtype: Any) -> frozenset[type]:
    # no longdouble, whose `item` gives itself, and no durations, which are a kind of integers to numpy
    return frozenset(dtype(code).type for code in "?bhilqBHILQefd")


def _packed(event: list[Any]) -> bytes:
    """Pack plain data by the fast encoder; by the other one, what has lone surrogates in it."""
    try:
        return pack(event)
    except PACK_ERRORS:
        return pack_plain(event)


def _on_device(kind: type, value: Any) -> Deferred | None:
    """Return what may be on a device as a value that comes later; None where it is to be looked at like any other."""
    try:
        return defer(value) if hasattr(kind, "device") else None
    except Exception:  # noqa: BLE001 - foreign code
        return None


def _noted(name: str, value: Any, unstorable: dict[str, str]) -> Any:
    """Return `value` as plain data, and note under `name` the type of what could only be stored as its `repr`."""

    def note(item: Any) -> dict[str, str]:
        form = represent(item)
        unstorable[name] = form["__type__"]
        return form

    return plain(value, note)


def pack_plain(value: Any) -> bytes:
    """Pack plain data, strings with lone surrogates included."""
    # a small buffer, which grows: the 256 KiB that it begins with are too much where memory is short
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass", buf_size=_PLAIN_BYTES)
    return packed
