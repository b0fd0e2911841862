"""Parameters as they are stored: one flat dict from dotted keys to plain values, and back to nested dicts.

A dot in a key is the same as a level of nesting. Of two values for one path, and of a value and a dict at one
path, the later wins. An empty dict is a value. What values there are, `ml_dash.values.param_values` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.values.param_values import Keys, leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["flatten_params", "merge_params", "unflatten_params"]


def flatten_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as a flat dict of plain values that shares nothing with them.

    Raises:
        InvalidParameterError: A value, however deep, cannot be stored; the message names its key, its type
            and the remedy.

    Example:
        >>> flatten_params({"lr": 0.1, "model": {"layers": (64, 64)}})
        {'lr': 0.1, 'model.layers': [64, 64]}
    """
    tree: dict[str, Any] = {}
    for path, leaf in leaves(values):
        _insert(tree, path, leaf)
    return _flat(tree)


def merge_params(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat dict that results from setting all of `new` on `old`; both are flat and stay unchanged.

    Setting `k` removes what was below it (`k.x`), and setting `k.x` removes an older value of `k` itself.
    """
    return _flat(_tree((*old.items(), *new.items())))


def unflatten_params(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested form of a flat dict.

    Example:
        >>> unflatten_params({"lr": 0.1, "model.layers": [64, 64]})
        {'lr': 0.1, 'model': {'layers': [64, 64]}}
    """
    return _tree(flat.items())


def _tree(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, leaf in items:
        # Only an empty dict is a leaf, and it must not be filled in place: it belongs to the caller.
        _insert(tree, tuple(key.split(".")), dict(leaf) if isinstance(leaf, dict) else leaf)
    return tree


def _insert(tree: dict[str, Any], path: Keys, leaf: Any) -> None:
    for segment in path[:-1]:
        child = tree.get(segment)
        if not isinstance(child, dict):
            child = tree[segment] = {}
        tree = child
    tree[path[-1]] = leaf


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    pending = list(reversed(tree.items()))
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict) and value:
            pending.extend((f"{key}.{name}", item) for name, item in reversed(value.items()))
        else:
            flat[key] = value
    return flat
