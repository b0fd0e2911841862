"""Which objects count as a configuration, and what their fields are.

Besides mappings these are dataclasses, named tuples, enum classes, and plain classes and their instances,
such as `argparse.Namespace` or

    class Args:
        learning_rate = 0.1

For a plain class or instance the fields are its public attributes, inherited ones included, that are neither
callable nor descriptors: a property is never called, because it may compute anything. What behaves (it can be
called, indexed, iterated by `next` or entered by `with`) or is implemented in C is not a configuration: a
model, a data loader, an open file or a lock has public attributes too, and storing those would look like
success.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import EnumMeta
from types import FunctionType, SimpleNamespace
from typing import Any

BEHAVIOUR = frozenset({"__call__", "__enter__", "__getitem__", "__len__", "__next__"})


def config_fields(value: object) -> dict[Any, Any] | None:
    """Return the fields of a configuration in order, or None if `value`, no scalar, list or set, is not one."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, EnumMeta):
        return dict(value.__members__)
    if dataclasses.is_dataclass(value):
        return _dataclass_defaults(value) if isinstance(value, type) else _dataclass_values(value)
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        return dict(zip(names, value, strict=True)) if isinstance(names, tuple) else None
    cls = value if isinstance(value, type) else type(value)
    if not _is_plain(cls):
        return None
    fields = _class_attributes(cls)
    if value is not cls:
        _overlay(fields, _instance_attributes(value))
    return fields or None


def _dataclass_values(value: object) -> dict[str, Any]:
    # A field with init=False may never have been set.
    names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]  # type: ignore[arg-type]
    return {name: getattr(value, name) for name in names}


def _dataclass_defaults(cls: type) -> dict[str, Any]:
    defaults = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _is_plain(cls: type) -> bool:
    """Tell whether the class and all its bases are written in Python and hold data only."""
    if any(BEHAVIOUR & vars(base).keys() for base in cls.__mro__):
        return False
    # A class written in C that holds anything has a constructor of its own.
    constructor: Any = cls.__new__
    return isinstance(constructor, FunctionType) or constructor in {object.__new__, SimpleNamespace.__new__}


def _class_attributes(cls: type) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    # from `object` down, so that a class's own attributes override inherited ones
    for base in reversed(cls.__mro__):
        _overlay(fields, vars(base))
    return fields


def _instance_attributes(value: object) -> dict[str, Any]:
    attributes = {}
    for base in reversed(type(value).__mro__):
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                attributes[name] = getattr(value, name)
    return attributes | getattr(value, "__dict__", {})


def _overlay(fields: dict[str, Any], attributes: Mapping[str, Any]) -> None:
    """Let `attributes` override `fields`, where one that is no data removes an older one that was."""
    for name, value in attributes.items():
        if name.startswith("_"):
            continue
        if callable(value) or hasattr(type(value), "__get__"):
            # A slot's descriptor overrides nothing: its value is the instance's attribute.
            fields.pop(name, None)
        else:
            fields[name] = value
