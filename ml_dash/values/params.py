"""Parameters: what may be stored, as one flat dict from dotted keys to plain values, and nested dicts of these again.

A dot in a key is the same as a level of nesting. Of two values for one path, and of a value and a dict at one
path, the later wins. An empty dict is a value.

Stored is None, a bool, an int within 64 bits, a float (NaN and the infinities too), a str, a list of such
values (a dict within a list stays a dict), or `{}` for an empty dict. All of it is JSON, but for NaN and the
infinities. What else is taken:

- dicts, and the configuration objects of `ml_dash.values.config_fields`: each field by itself
- times, UUIDs, decimals and what else is told by its text, see `ml_dash.values.foreign`: the text
- an enum's member: its value, or its name where the value is not a scalar
- a path: its text
- tuples and other sequences: a list
- sets: a list, sorted where its items can be compared
- numpy scalars and 0-d arrays: the number; larger arrays: nested lists
- functions, and classes that have no fields of a configuration: the name, with the module
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from contextlib import contextmanager
from enum import Enum
from typing import Any, NoReturn, SupportsIndex

from ml_dash.errors import InvalidParameterError, ValueWarning
from ml_dash.notices import warn_user
from ml_dash.values.config_fields import config_fields, elements
from ml_dash.values.foreign import translated
from ml_dash.values.tensors import is_freed

MAX_DEPTH = 64
INT_MIN, INT_MAX = -(2**63), 2**64 - 1

REMEDIES = {
    bytes: "decode it, or store its .hex()",
    bytearray: "decode it, or store its .hex()",
    memoryview: "decode it, or store its .hex()",
    complex: "store its .real and its .imag",
}
UNSTORABLE = tuple(REMEDIES)
OTHER_REMEDY = "store its name, its str() or a dict of plain values instead"

SCALARS = (bool, int, float, str)

Keys = tuple[str, ...]


class _Level(dict[str, Any]):
    """A level of the tree. Not a plain dict, which may be a value: an empty one, or one in a row that others wrote."""


def flatten_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as a flat dict of plain values that shares nothing with them.

    Raises:
        InvalidParameterError: A value, however deep, cannot be stored; the message names its key, its type
            and the remedy.

    Example:
        >>> flatten_params({"lr": 0.1, "model": {"layers": (64, 64)}})
        {'lr': 0.1, 'model.layers': [64, 64]}
    """
    converter = _Converter()
    leaves = list(converter.leaves(values, ()))
    met = [*_meeting(path for path, _ in leaves), *converter.met]
    if met:
        names = ", ".join(map(_shown, met[:5]))
        warn_user(
            f"one call of params.set() gives {names} twice, as {{'a.b': 1, 'a': {{'b': 2}}}} would give 'a.b': the "
            "later one is stored. Use one name for each.",
            ValueWarning,
        )
    return _flat(_tree(leaves))


def _meeting(paths: Iterable[Keys]) -> Iterator[str]:
    """Yield, once each, the names that are there twice, or both as a value and as a dict."""
    counted = Counter(paths)
    above = {path[:depth] for path in counted for depth in range(1, len(path))}
    return (".".join(path) for path, count in counted.items() if count > 1 or path in above)


def fold_params(sets: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return the flat parameters after these flat dicts were set one after the other; None forgets those before.

    None of the dicts changes, and none is kept. Setting ``model`` removes every older ``model.…``, and setting
    ``model.a`` an older value of ``model``.
    """
    root = _Level()
    for values in sets:
        if values is None:
            root.clear()
        else:
            _put(root, ((str(key).split("."), value) for key, value in values.items()))
    return _flat(root)


def unflatten_params(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested form of a flat dict.

    Example:
        >>> unflatten_params({"lr": 0.1, "model.layers": [64, 64]})
        {'lr': 0.1, 'model': {'layers': [64, 64]}}
    """
    nested: dict[str, Any] = {}
    # no recursion, here and below: a key may have any number of dots
    pending = [(nested, _tree((key.split("."), value) for key, value in flat.items()))]
    while pending:
        fields, level = pending.pop()
        for name, value in level.items():
            if isinstance(value, _Level):
                fields[name] = {}
                pending.append((fields[name], value))
            else:
                fields[name] = dict(value) if isinstance(value, dict) else value
    return nested


def _tree(leaves: Iterable[tuple[Sequence[str], Any]]) -> _Level:
    root = _Level()
    _put(root, leaves)
    return root


def _put(root: _Level, leaves: Iterable[tuple[Sequence[str], Any]]) -> None:
    for path, leaf in leaves:
        level = root
        for name in path[:-1]:
            child = level.get(name)
            if not isinstance(child, _Level):
                child = level[name] = _Level()
            level = child
        level[path[-1]] = leaf


def _flat(root: _Level) -> dict[str, Any]:
    flat = {}
    pending = list(reversed(root.items()))
    while pending:
        key, value = pending.pop()
        if isinstance(value, _Level):
            pending.extend((f"{key}.{name}", item) for name, item in reversed(value.items()))
        else:
            flat[key] = value
    return flat


class _Converter:
    """Walks over values that may be nested without end, and turns them into plain ones."""

    __slots__ = ("_open", "met")

    def __init__(self) -> None:
        self.met: list[str] = []  # names that dicts in lists have twice
        # The containers that are being walked over, by id, so that a cycle is seen at its first repetition.
        self._open: dict[int, object] = {}

    def leaves(self, value: Any, path: Keys) -> Iterator[tuple[Keys, Any]]:
        """Yield the plain values below `value`, each with its path."""
        where = ".".join(path)
        _check_depth(len(path), where)
        is_leaf, leaf = self._leaf(value, where)
        if is_leaf:
            yield path, leaf
            return
        fields = _fields(leaf, where)
        if not fields and path:
            yield path, {}
        self._enter(value, where)
        for key, item in fields.items():
            yield from self.leaves(item, (*path, *_key(key, where).split(".")))
        del self._open[id(value)]

    def _leaf(self, value: Any, where: str) -> tuple[bool, Any]:
        """Return whether `value` is a scalar or a list, and its plain form if so, else what has its fields."""
        with _reading(value, where):
            return self._looked_at(value, where)

    def _looked_at(self, value: Any, where: str) -> tuple[bool, Any]:
        if isinstance(value, Enum):
            value = value.value if isinstance(value.value, SCALARS) else value.name
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        else:
            value = translated(value)
            if "numpy" in sys.modules:
                value = _without_numpy(value, where)
        if value is None or isinstance(value, SCALARS):
            return True, _scalar(value, where)
        if callable(value) and (name := _name(value)) is not None:
            return True, name
        if isinstance(value, AbstractSet):
            return True, _sorted(self._list(value, where))
        if _is_list(value):
            return True, self._list(value, where)
        return False, value

    def _list(self, value: Iterable[Any], where: str) -> list[Any]:
        self._enter(value, where)
        found = elements(value)
        items = [self._item(item, f"{where}[{index}]") for index, item in enumerate(found)]
        del self._open[id(value)]
        return items

    def _item(self, value: Any, where: str) -> Any:
        """Return the plain form of a list's item, in which a dict stays a dict."""
        is_leaf, leaf = self._leaf(value, where)
        if is_leaf:
            return leaf
        fields = _fields(leaf, where)
        self._enter(value, where)
        items: dict[str, Any] = {}
        for key, item in fields.items():
            name = _key(key, where)
            if name in items:
                self.met.append(f"{where}.{name}")
            items[name] = self._item(item, f"{where}.{name}")
        del self._open[id(value)]
        return items

    def _enter(self, container: object, where: str) -> None:
        if id(container) in self._open:
            raise InvalidParameterError(
                f"parameter {_shown(where)} contains itself: {_type_name(container)}; break the cycle"
            )
        _check_depth(len(self._open), where)
        self._open[id(container)] = container


def _check_depth(depth: int, where: str) -> None:
    if depth > MAX_DEPTH:
        raise InvalidParameterError(
            f"parameter {_shown(where)} is nested more than {MAX_DEPTH} levels deep; make it flatter"
        )


def _scalar(value: Any, where: str) -> bool | int | float | str | None:
    """Return the value as exactly one of the builtin types, not as a subclass."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise InvalidParameterError(
                f"parameter {_shown(where)} is an int of {value.bit_length()} bits, not within -2**63 and "
                "2**64 - 1; store its str() or a float"
            )
        return int(value)
    return float(value) if isinstance(value, float) else str.__str__(value)


def _name(value: Any) -> str | None:
    """Return the name of a function, of any library, or a class that is no configuration; None for anything else."""
    if isinstance(value, type) and config_fields(value) is not None:
        return None
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None  # an object that can be called, as a model
    module = getattr(value, "__module__", None)
    return name if module in {None, "builtins"} else f"{module}.{name}"


def _is_list(value: object) -> bool:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return False
    return isinstance(value, Sequence) and not isinstance(value, UNSTORABLE)


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)))


def _without_numpy(value: Any, where: str) -> Any:
    """Return a numpy scalar or array as Python's own numbers; anything else as it is."""
    # Not imported: a thread may be in the middle of that, in a forked child for ever. Then this is no number of it.
    np: Any = sys.modules["numpy"]
    kinds = getattr(np, "generic", ()), getattr(np, "ndarray", ())
    if not isinstance(value, kinds) or isinstance(value, SCALARS):
        return value
    if value.dtype.kind not in "biufUO":
        _refuse(value, where)
    if value.dtype.kind == "f":
        value = value.astype(np.float64, copy=False)  # a longdouble's .tolist() would give longdoubles again
    return value.tolist()


@contextmanager
def _reading(value: object, where: str) -> Iterator[None]:
    """Refuse a value in whose own code something is raised."""
    try:
        yield
    except InvalidParameterError:
        raise  # of what lies in it
    except Exception as error:
        raise InvalidParameterError(
            f"parameter {_shown(where)} cannot be stored: what this {_type_name(value)} holds cannot be read "
            f"({_repr(error)}); pass plain values"
        ) from error


def _fields(value: Any, where: str) -> dict[Any, Any]:
    with _reading(value, where):
        fields = None if isinstance(value, UNSTORABLE) else config_fields(value)
    if fields is None:
        _refuse(value, where)
    return fields


def _key(key: Any, where: str) -> str:
    with _reading(key, where):
        if isinstance(key, str):
            return str.__str__(key)
        if key is None or isinstance(key, (bool, float)):
            return str(key)
        if isinstance(key, SupportsIndex):
            return str(key.__index__())
    raise InvalidParameterError(
        f"parameter {_shown(where)} has the key {_repr(key)}, a {_type_name(key)}; use str keys"
    )


def _refuse(value: Any, where: str) -> NoReturn:
    remedy = next((text for kind, text in REMEDIES.items() if isinstance(value, kind)), OTHER_REMEDY)
    raise InvalidParameterError(
        f"parameter {_shown(where)} cannot be stored: {_repr(value)} is a {_type_name(value)}; {remedy}"
    )


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shown(where: str) -> str:
    return repr(where) if len(where) <= 200 else f"{where[:100]!r}…"


def _repr(value: object) -> str:
    try:
        text = "<a tensor whose memory was freed>" if is_freed(value) else repr(value)
    except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises becomes an error that names the key
        return f"<its repr raises {type(error).__name__}>"
    return text if len(text) <= 100 else f"{text[:100]}…"
