"""Scalars of event files, thousands at a time.

Problem: ten million scalars are ten million records, and to take each apart costs 10 µs. But records of one tag are
alike to the byte, apart from the time, the step and the value. So a piece of a file is cut into records, those of one
length are laid below each other, their checksums are computed side by side, and of each group that is alike one record
alone is parsed: it tells where the three numbers are in all of them.

What is no plain scalar, or is damaged, is left to whoever reads records one by one. Nothing is guessed: a record is of
a group only where each of its other bytes is that of the first one there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.importers.protobuf import BrokenError, Message, messages, parse, text, varint
from ml_dash.importers.tensorboard.crc32c import masked_crcs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

PIECE_BYTES = 1 << 20
"""What is taken apart at once, and becomes one frame."""
_FEW = 8  # records of one length: fewer are not worth numpy's fixed cost
_ROUNDS = 6  # forms among records of one length that are looked for before the rest is read one by one
_SIZE = struct.Struct("<Q")
_KNOWN_MOST = 10_000
_HEAD, _FOOT = 12, 4
_STEP, _SUMMARY, _FLOAT = 0x10, 0x2A, 4
_SECONDS_MOST = 9_223_372_036.0
"""Seconds since the epoch that nanoseconds of 64 bits can say."""


class Form(NamedTuple):
    """Where a record has its numbers, and which bytes of it every record of its group has."""

    step: tuple[int, int] | None  # from and until; None where it is 0, and left out
    value: int
    tag: str
    plugin: str  # empty where the record does not say
    is_tensor: bool


class Single(NamedTuple):
    """A scalar that was read by itself."""

    place: int
    time_ns: int
    step: int
    value: float
    tag: str


@dataclass(slots=True)
class Scalars:
    """Scalars of a piece of a file, in its order.

    Attributes:
        places: Where their records begin.
        times: Nanoseconds since the epoch.
        steps: Their steps.
        values: What was logged.
        tags: Of each, the number of its tag in `names`.
        names: The tags.
    """

    places: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    tags: npt.NDArray[np.int64]
    names: list[str]

    def with_more(self, more: Sequence[Single]) -> Scalars:
        """Return these and some that were read one by one, in the file's order."""
        import numpy as np

        if not more:
            return self
        numbers = {name: at for at, name in enumerate(self.names)}
        for single in more:
            numbers.setdefault(single.tag, len(numbers))
        places, times, steps, values, tags = zip(*more, strict=True)
        at = np.concatenate([self.places, np.array(places, np.int64)])
        order = np.argsort(at, kind="stable")

        def both(known: npt.NDArray[Any], new: Sequence[Any]) -> npt.NDArray[Any]:
            return np.concatenate([known, np.array(new, known.dtype)])[order]

        own = [numbers[tag] for tag in tags]
        return Scalars(
            at[order],
            both(self.times, times),
            both(self.steps, steps),
            both(self.values, values),
            both(self.tags, own),
            list(numbers),
        )


class Piece(NamedTuple):
    """Whole records at the beginning of some bytes: how many bytes they are, their scalars, and all other records.

    `rest` are the records' places, from and until, in the file's order.
    """

    nbytes: int
    scalars: Scalars | None
    rest: list[tuple[int, int]]


@dataclass(slots=True)
class Columns:
    """Takes pieces of one file apart; `is_scalar` tells of a form whether its values are scalars."""

    is_scalar: Callable[[Form], bool]
    _known: dict[tuple[Any, ...], Form] = field(default_factory=dict)

    def take(self, data: bytes) -> Piece:
        """Return what the whole records at the beginning of `data` hold."""
        import numpy as np

        starts = _starts(data)
        if len(starts) <= _FEW:
            return Piece(0, None, [])
        whole = np.frombuffer(data, np.uint8)
        places = np.array(starts, np.int64)
        sound = _rows(whole, places[:-1], _HEAD)
        is_sound = masked_crcs(sound[:, :8]) == _numbers(sound[:, 8:], "<u4")
        if not is_sound.all():  # behind a length that is damaged nothing can be read
            places = places[: int(np.argmin(is_sound)) + 1]
        first, until = places[:-1], places[1:]
        found = _Found(np.zeros(len(first), np.bool_))
        sizes = until - first
        for size in sorted(set(sizes.tolist())):
            members = np.flatnonzero(sizes == size)
            if len(members) >= _FEW and size > _HEAD + _FOOT:
                self._of_size(whole, first[members], int(size), members, found)
        rest = np.flatnonzero(~found.taken)
        left = list(zip(first[rest].tolist(), until[rest].tolist(), strict=True))
        return Piece(int(places[-1]), found.scalars(first), left)

    def _of_size(
        self,
        whole: npt.NDArray[np.uint8],
        first: npt.NDArray[np.int64],
        size: int,
        members: npt.NDArray[np.int64],
        found: _Found,
    ) -> None:
        rows = _rows(whole, first + _HEAD, size - _HEAD)
        events = rows[:, :-_FOOT]
        is_sound = masked_crcs(events) == _numbers(rows[:, -_FOOT:], "<u4")
        members, events = members[is_sound], events[is_sound]
        for _ in range(_ROUNDS):
            if len(members) < _FEW:
                return
            form = self._form(events[0].tobytes())
            if form is None:
                # all that look like it are no scalars either: they differ in what lies between
                alike = (events[:, 9:11] == events[0, 9:11]).all(1)
                members, events = members[~alike], events[~alike]
                continue
            is_taken = self._take(events, form, members, found)
            members, events = members[~is_taken], events[~is_taken]

    def _take(
        self, events: npt.NDArray[np.uint8], form: Form, members: npt.NDArray[np.int64], found: _Found
    ) -> npt.NDArray[np.bool_]:
        """Take the events that have their numbers where this form has; return which these are."""
        import numpy as np

        is_other = np.ones(events.shape[1], np.bool_)
        is_other[1:9] = False
        is_other[form.value : form.value + _FLOAT] = False
        is_like = np.ones(len(events), np.bool_)
        if form.step is not None:
            step = slice(*form.step)
            is_other[step] = False
            goes_on = events[:, step] >= 0x80
            is_like = (goes_on == goes_on[0]).all(1)
        others = np.ascontiguousarray(events[:, is_other])
        heads, group = _grouped(others)
        # equal marks of unequal bytes would be a collision
        is_like &= (others == others[heads[group]]).all(1)
        forms = [self._form_like(form, events[head].tobytes(), others[head].tobytes()) for head in heads]
        numbers = np.array([-1 if each is None else found.number(each.tag) for each in forms], np.int64)
        tags = numbers[group]
        times, is_time = _times(_numbers(events[:, 1:9], "<f8"))
        is_like &= is_time & (tags >= 0)
        values = _numbers(events[:, form.value : form.value + _FLOAT], "<f4").astype(np.float64)
        steps = np.zeros(len(events), np.int64) if form.step is None else _steps(events[:, step])
        found.add(members[is_like], times[is_like], steps[is_like], values[is_like], tags[is_like])
        return is_like

    def _form_like(self, form: Form, event: bytes, others: bytes) -> Form | None:
        """Return the form of an event that has its numbers where `form` has; None where it has not."""
        key = len(event), form.step, form.value, others
        known = self._known.get(key)
        if known is None:
            known = self._form(event)
            if known is None or (known.step, known.value) != (form.step, form.value):
                return None
            if len(self._known) < _KNOWN_MOST:
                self._known[key] = known
        return known

    def _form(self, event: bytes) -> Form | None:
        """Return the form of an event; None where it is no scalar alone."""
        form = form_of(event)
        return form if form is not None and self.is_scalar(form) else None


@dataclass(slots=True)
class _Found:
    taken: npt.NDArray[np.bool_]
    _parts: list[tuple[npt.NDArray[Any], ...]] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)

    def number(self, tag: str) -> int:
        return self._names.setdefault(tag, len(self._names))

    def add(self, members: npt.NDArray[np.int64], *columns: npt.NDArray[Any]) -> None:
        self.taken[members] = True
        self._parts.append((members, *columns))

    def scalars(self, first: npt.NDArray[np.int64]) -> Scalars | None:
        import numpy as np

        if not self._parts:
            return None
        members, times, steps, values, tags = (
            np.concatenate(columns) for columns in zip(*self._parts, strict=True)
        )
        order = np.argsort(members)
        places = first[members[order]]
        return Scalars(places, times[order], steps[order], values[order], tags[order], list(self._names))


def _starts(data: bytes) -> list[int]:
    """Return where each whole record begins, and where the last one ends."""
    starts, at, end, unpack = [], 0, len(data), _SIZE.unpack_from
    while at + _HEAD + _FOOT <= end:
        starts.append(at)
        at += unpack(data, at)[0] + _HEAD + _FOOT
        if at > end:
            return starts
    starts.append(at)
    return starts


def _rows(whole: npt.NDArray[np.uint8], first: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]:
    """Return so many bytes behind each place, as N×size."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(whole, size)
    found: npt.NDArray[np.uint8] = windows[first]
    return found


def _numbers(columns: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    import numpy as np

    return np.ascontiguousarray(columns).view(dtype)[:, 0]


def _steps(columns: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    import numpy as np

    found = np.zeros(len(columns), np.uint64)
    for place, column in enumerate(columns.T):
        found |= (column & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
    return found.view(np.int64)


def _times(seconds: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return nanoseconds, as `from_seconds` does, and which of them are times at all."""
    import numpy as np

    is_time = np.abs(seconds) < _SECONDS_MOST  # not so a NaN
    sound = np.where(is_time, seconds, 0.0)
    whole = np.floor(sound)
    return whole.astype(np.int64) * 1_000_000_000 + np.rint((sound - whole) * 1e9).astype(np.int64), is_time


def _grouped(rows: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first of each kind of row, and of each row the number of its kind; mostly right, see the caller."""
    import numpy as np

    if (rows == rows[0]).all():
        return np.zeros(1, np.int64), np.zeros(len(rows), np.int64)
    padded = np.zeros((len(rows), -(-rows.shape[1] // 8) * 8), np.uint8)
    padded[:, : rows.shape[1]] = rows
    words = padded.view(np.uint64)
    # multiplied by odd numbers that differ, so that words which change places make another mark
    odd = np.random.default_rng(7).integers(2**63, size=words.shape[1], dtype=np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
    marks = (words * odd).sum(1, dtype=np.uint64)
    marks ^= marks >> np.uint64(29)
    _, heads, group = np.unique(marks, return_index=True, return_inverse=True)
    return heads, group.reshape(-1)


def form_of(event: bytes) -> Form | None:
    """Return the form of an event with one scalar of 4 bytes and nothing else; None for any other."""
    try:
        return _form_of(event)
    except (IndexError, BrokenError):
        return None


def _form_of(event: bytes) -> Form | None:
    if event[0] != 0x09:
        return None
    at, step = 9, None
    if event[at] == _STEP:
        _, end = varint(event, at + 1)
        at, step = end, (at + 1, end)
    if event[at] != _SUMMARY:
        return None
    at, end = _field(event, at)
    if end != len(event) or event[at] != 0x0A:
        return None
    at, end = _field(event, at)
    if end != len(event):
        return None
    return _scalar(event, at, step)


def _field(event: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a field of bytes begins and ends."""
    size, first = varint(event, at + 1)
    return first, first + size


def _scalar(event: bytes, at: int, step: tuple[int, int] | None) -> Form | None:
    value = parse(event[at:])
    if not value.keys() <= {1, 2, 7, 8, 9} or any(len(each) > 1 for each in value.values()):
        return None
    place = _place(event, at, value)
    if place is None:
        return None
    return Form(step, place, text(value.get(1, [b""])[0]), plugin_of(value), 8 in value)


def _place(event: bytes, at: int, value: Message) -> int | None:
    """Return where the four bytes of the value are; None where there are none of that kind."""
    while at < len(event):
        tag = event[at]
        if tag == 0x15:  # simple_value
            return at + 1 if 8 not in value else None
        if tag & 7 != 2:
            return None
        first, end = _field(event, at)
        if tag == 0x42 and 2 not in value:
            return _tensor_place(event, first, end)
        at = end
    return None


def _tensor_place(event: bytes, at: int, end: int) -> int | None:
    """Return where a tensor of one float has it, as `float_val` or as `tensor_content`."""
    tensor = parse(event[at:end])
    if tensor.get(1) != [1] or sorted(tensor.keys() - {1, 2}) not in ([4], [5]):
        return None
    while at < end:
        tag = event[at]
        if tag == 0x08:
            at += 2
        elif tag == 0x2D:
            return at + 1 if at + 1 + _FLOAT <= end else None
        elif tag & 7 == 2:
            first, behind = _field(event, at)
            if tag in {0x22, 0x2A}:
                return first if behind - first == _FLOAT and behind == end else None
            at = behind
        else:
            return None
    return None


def plugin_of(value: Message) -> str:
    """Return the plugin that a value says it is of; empty where it says nothing."""
    metadata: Message = (messages(value, 9) or [{}])[0]
    plugin: Message = (messages(metadata, 1) or [{}])[0]
    return text(plugin.get(1, [b""])[0])
