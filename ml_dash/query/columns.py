"""Columns for those who compute: the fields of many blocks as one numpy array each.

A nested dict is addressed by dotted paths (``{"a": {"b": 1}}`` is the field ``a.b``); an empty dict and the
mark of a value that msgpack cannot carry (``__repr__``, ``__type__``) are values, not levels.

In one row two values may meet under one path: ``{"a.b": 1, "a": {"b": 2}}``, or ``{"a": {1: 2, "1": 3}}``. The one
counts whose name was written out farther (here 1), and of those that were written alike the later one (here 3). Rows
that are read as rows have both, as they were logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.journal.block_ops import join_columns
from ml_dash.journal.blocks import DTYPES, Block, Column, as_list
from ml_dash.limits.sparing import check_numpy
from ml_dash.query.times import seconds_array

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

Blocks: TypeAlias = Callable[[], Iterable[tuple[int, Block]]]
Beside: TypeAlias = "Callable[[Array, Array], Array | None]"
"""Gives one value more for each of some rows, by their indices and their times in nanoseconds; None where none has."""

# from the narrowest to the widest: a field's array is only ever widened, and everything fits an object
_RANK = {"b": 0, "i": 1, "f": 2, "o": 3}
_NOTHING: Mapping[str, Beside] = MappingProxyType({})
_MARK = frozenset({"__repr__", "__type__"})
_LEVELS_MAX = 200
"""Python's recursion ends at about a thousand; what is deeper than this is a value like any other."""


def is_level(value: Any) -> bool:
    """Say whether `value` is a dict whose items are fields of their own."""
    return isinstance(value, dict) and bool(value) and value.keys() != _MARK


def leaf_columns(block: Block) -> Iterator[Column]:
    """Yield the block's columns by dotted path and by type; columns of numbers come as they are.

    What is yielded as ``"o"`` is neither a float, nor a bool, nor an int64. No row has two values under one path.
    """
    leaves = [(column.field, leaf) for column in block.columns for leaf in _split(column, block.count)]
    origins: dict[str, set[str]] = {}
    for origin, leaf in leaves:
        origins.setdefault(leaf.field, set()).add(origin)
    for origin, leaf in leaves:
        farther = [field for field in origins[leaf.field] if len(field) > len(origin)]
        if not farther:
            yield leaf
            continue
        taken = [other for field, other in leaves if other.field == leaf.field and field in farther]
        kept = _without(leaf, taken, block.count)
        if len(kept.values):
            yield kept


def columns_named(block: Block, names: Collection[str]) -> Iterator[Column]:
    """Yield those of `leaf_columns` that have one of these names; no other column is touched."""
    held = [column for column in block.columns if _may_hold(column, names)]
    return (leaf for leaf in leaf_columns(block._replace(columns=held)) if leaf.field in names)


def _may_hold(column: Column, names: Collection[str]) -> bool:
    if column.field in names:
        return True
    # a dict's items are fields of their own, by their dotted path, and are only known when it is opened
    return column.type == "o" and any(name.startswith(f"{column.field}.") for name in names)


def leaves_of(value: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values in a nested dict by their dotted paths; see the module for those that meet."""
    pairs = list(_leaves(value, prefix))
    leaves = dict(pairs)
    if len(leaves) < len(pairs):
        # once more, with the names that are written out farther behind the others: the last one of a path counts
        leaves.update(_leaves(value, prefix, ordered=True))
    return leaves


def meeting(row: dict[str, Any]) -> list[str]:
    """Return the paths under which values of a row meet."""
    if not any(map(is_level, row.values())):
        return []
    counted = Counter(path for path, _ in _leaves(row, ""))
    return [path for path, count in counted.items() if count > 1]


def to_arrays(blocks: Blocks, count: int, beside: Mapping[str, Beside] = _NOTHING) -> dict[str, Array]:
    """Return ``index``, ``_ts`` and every field of these rows, each allocated once and filled block by block.

    A field is int64 or bool where every row has it as that (int64 where some have a bool), and float64 where one is a
    float, or where rows are missing it: they have NaN, as those with a None among numbers do. Everything else makes an
    array of objects, with None where a row is missing the field.

    A field called ``index`` or ``_ts`` gives way to the row's own: it is called ``index_`` or ``_ts_``. What is
    `beside` the fields gives way to them.

    `blocks` is called a second time where a field turns out to hold objects: only then are its numbers needed as they
    were logged. There are `count` rows at most: blocks that cannot be read make it fewer.
    """
    check_numpy()
    import numpy as np

    index, times = np.empty(count, np.int64), np.empty(count, np.float64)
    stamps = np.empty(count if beside else 0, np.int64)
    fields: dict[str, _Field] = {}
    end = 0
    for start, block in blocks():
        stop = end + block.count
        index[end:stop] = np.arange(start, start + block.count)
        times[end:stop] = seconds_array(np.asarray(block.times))
        if beside:
            stamps[end:stop] = block.times
        for column in _bools_with_ints(leaf_columns(block), block.count):
            if column.field not in fields:
                fields[column.field] = _Field(count)
            fields[column.field].add(end, block.count, column)
        end = stop
    index = index[:end]
    arrays: dict[str, Array] = {"index": index, "_ts": times[:end]}
    objects = _objects(blocks, index, [name for name, field in fields.items() if field.type == "o"])
    for name, field in fields.items():
        arrays[free_name(name, arrays)] = objects[name] if name in objects else field.finish(end)
    for name, values_of in beside.items():
        if (values := values_of(index, stamps[:end])) is not None:
            arrays[free_name(name, arrays)] = values
    return arrays


def _bools_with_ints(columns: Iterable[Column], count: int) -> list[Column]:
    """Make one column of a field's bools and ints, so that neither looks like a gap in the other."""
    import numpy as np

    found = list(columns)
    kinds = {(column.field, column.type): column for column in found}
    for (field, kind), bools in kinds.items():
        ints = kinds.get((field, "i"))
        if kind != "b" or ints is None:
            continue
        rows = [np.asarray(column.rows, np.int64) for column in (bools, ints)]
        together = join_columns(field, "i", rows, [bools.values, ints.values], count)
        found = [column for column in found if column is not bools and column is not ints] + [together]
    return found


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return `name`, with underscores added where a column of that name is there already."""
    while name in taken:
        name += "_"
    return name


class _Field:
    """One field's array while it grows, of the widest type so far. With ``"o"`` it is left to `_objects`."""

    __slots__ = ("_array", "_end", "_size", "type")

    def __init__(self, size: int) -> None:
        self._size = size
        self._array: Array | None = None
        self._end = 0
        self.type = ""

    def add(self, at: int, count: int, column: Column) -> None:
        """Take the values of the `count` rows from `at` on."""
        kind = column.type
        if kind == "o":
            if all(value is None for value in column.values):
                return  # as good as missing: it makes an object of no number
            self.type, self._array = "o", None
        if self.type == "o":
            return
        # ints and bools have no NaN: the first gap makes them floats
        gap = at > self._end or len(column.values) < count
        array = self._widen("f" if gap and kind in "bi" else kind)
        if gap:
            array[self._end : at + count] = float("nan")
        if column.rows is None:
            array[at : at + count] = column.values
        else:
            import numpy as np

            array[at + np.asarray(column.rows, np.intp)] = column.values
        self._end = at + count

    def finish(self, count: int) -> Array:
        if self._array is None:
            return _no_objects(count)
        if self._end < count:
            self._widen("f")[self._end : count] = float("nan")
        return self._array[:count]

    def _widen(self, kind: str) -> Array:
        import numpy as np

        if self._array is None:
            self.type, self._array = kind, np.empty(self._size, DTYPES[kind])
        elif _RANK[kind] > _RANK[self.type]:
            wider = np.empty(self._size, DTYPES[kind])
            wider[: self._end] = self._array[: self._end]
            self.type, self._array = kind, wider
        return self._array


def _objects(blocks: Blocks, index: Array, names: list[str]) -> dict[str, Array]:
    """Return the fields that hold objects, in a pass of their own: with every value as it was logged."""
    if not names:
        return {}
    arrays = {name: _no_objects(len(index)) for name in names}
    for start, block in blocks():
        at = int(index.searchsorted(start))
        if at == len(index) or index[at] != start:
            continue  # a block that could not be read a moment ago
        for column in leaf_columns(block):
            if column.field in arrays:
                rows = range(block.count) if column.rows is None else column.rows
                # one by one: an assignment of a list would take lists in it for further dimensions
                for row, value in zip(rows, as_list(column.values), strict=True):
                    arrays[column.field][at + row] = value
    return arrays


def _no_objects(count: int) -> Array:
    import numpy as np

    return np.full(count, None, object)


def _without(leaf: Column, others: Iterable[Column], count: int) -> Column:
    """Return a column without the rows that others have."""
    import numpy as np

    free = np.ones(count, np.bool_)
    for other in others:
        free[slice(None) if other.rows is None else np.asarray(other.rows, np.intp)] = False
    rows = np.arange(count) if leaf.rows is None else np.asarray(leaf.rows, np.intp)
    kept = free[rows]
    values = [value for value, keep in zip(leaf.values, kept.tolist(), strict=True) if keep]
    values_kept = values if leaf.type == "o" else np.asarray(leaf.values)[kept]
    return Column(leaf.field, leaf.type, rows[kept].astype(np.uint32), values_kept)


def _split(column: Column, count: int) -> Iterable[Column]:
    if column.type != "o":
        return [column]
    import numpy as np

    leaves: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    rows = range(count) if column.rows is None else column.rows
    for row, value in zip(rows, column.values, strict=True):
        inner = leaves_of(value, f"{column.field}.") if is_level(value) else {column.field: value}
        for path, leaf in inner.items():
            key = path, _type_of(leaf)
            if key not in leaves:
                leaves[key] = [], []
            leaves[key][0].append(row)
            leaves[key][1].append(leaf)
    return [
        Column(
            path,
            kind,
            None if len(positions) == count else np.array(positions, np.uint32),
            values if kind == "o" else np.array(values, DTYPES[kind]),
        )
        for (path, kind), (positions, values) in leaves.items()
    ]


def _leaves(
    value: dict[Any, Any], prefix: str, *, ordered: bool = False, depth: int = 0
) -> Iterator[tuple[str, Any]]:
    items = sorted(value.items(), key=lambda item: len(str(item[0]))) if ordered else value.items()
    for key, item in items:
        if depth < _LEVELS_MAX and is_level(item):
            yield from _leaves(item, f"{prefix}{key}.", ordered=ordered, depth=depth + 1)
        else:
            yield f"{prefix}{key}", item


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        return "i" if -(2**63) <= value < 2**63 else "o"
    return "f" if isinstance(value, float) else "o"
