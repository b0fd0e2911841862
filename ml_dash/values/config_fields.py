"""Which objects count as a configuration, and what their fields are.

Besides mappings these are dataclasses, models of pydantic, classes of attrs and msgspec (of all these the fields, or of
the class those that have a default), named tuples, enum classes, and plain classes and their instances, such as
`argparse.Namespace` or

    class Args:
        learning_rate = 0.1

For a plain class or instance the fields are its public attributes, inherited ones included, that are neither
callable nor descriptors: a property is never called, because it may compute anything. What behaves (it can be
called, indexed, iterated by `next` or entered by `with`), is implemented in C, or is a class of Python's own library or
of this package, is not a configuration: a model, a data loader, an open file, a logger or an experiment has public
attributes too, and storing those would look like success.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import EnumMeta
from types import FunctionType, SimpleNamespace
from typing import Any

BEHAVIOUR = frozenset({"__call__", "__enter__", "__getitem__", "__len__", "__next__"})
NAMESPACES = frozenset({"argparse.Namespace", "optparse.Values", "types.SimpleNamespace"})
"""Classes of Python's library that are there to hold what a program is told."""


def config_fields(value: object) -> dict[Any, Any] | None:
    """Return the fields of a configuration in order, or None if `value`, no scalar, list or set, is not one."""
    if isinstance(value, Mapping):
        return _entries(value)
    if isinstance(value, EnumMeta):
        return dict(value.__members__)
    if hasattr(value if isinstance(value, type) else type(value), "__dataclass_fields__"):
        return _dataclass_defaults(value) if isinstance(value, type) else _dataclass_values(value)
    declared = declared_fields(value)
    if declared is not None or isinstance(value, tuple):
        return declared
    cls = value if isinstance(value, type) else type(value)
    if not _is_plain(cls):
        return None
    fields = _class_attributes(cls)
    if value is not cls:
        _overlay(fields, _instance_attributes(value))
    return fields or None


def _entries(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what a mapping holds; what OmegaConf cannot resolve, such as ``???``, as it is written."""
    try:
        return dict(mapping)
    except Exception:
        written: dict[Any, Any] | None = _as_written(mapping)
        if written is None:
            raise
    for key in written:
        with contextlib.suppress(Exception):
            written[key] = mapping[key]
    return written


def elements(items: Iterable[Any]) -> list[Any]:
    """Return what a list or a set holds; what OmegaConf cannot resolve as it is written."""
    try:
        return list(items)
    except Exception:
        written: list[Any] | None = _as_written(items)
        if written is None:
            raise
    for index in range(len(written)):
        with contextlib.suppress(Exception):
            written[index] = items[index]  # type: ignore[index]  # a list of OmegaConf's
    return written


def _as_written(config: object) -> Any:
    """Return a configuration of OmegaConf with every value as it is written; None for anything else."""
    omegaconf = getattr(sys.modules.get("omegaconf"), "OmegaConf", None)
    if omegaconf is None or not omegaconf.is_config(config):
        return None
    return omegaconf.to_container(config, resolve=False)


def declared_fields(value: object) -> dict[str, Any] | None:
    """Return the fields of a named tuple, a model of pydantic, an object of attrs or msgspec; of a class the defaults.

    None for anything else. None of these libraries is imported.
    """
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        return dict(zip(names, value, strict=True)) if isinstance(names, tuple) else None
    cls: Any = value if isinstance(value, type) else type(value)
    for attribute, default_of in _LIBRARIES.items():
        # A model of pydantic has the older name, too, and any class may have a public one.
        is_meant = attribute.startswith("__") is not hasattr(cls, "__pydantic_complete__")
        fields = getattr(cls, attribute, None) if is_meant else None
        if isinstance(fields, (dict, tuple)):
            if value is cls:
                return dict(_defaults(cls, fields, default_of))
            names = [field if isinstance(field, str) else field.name for field in fields]
            return {name: getattr(value, name) for name in names if hasattr(value, name)} | _extra(value)
    return None


def _defaults(cls: Any, fields: Any, default_of: Callable[[Any, Any], Any]) -> Iterator[tuple[str, Any]]:
    for field in fields:
        # What has no default raises, and so may a factory that needs other fields, or is the user's.
        with contextlib.suppress(Exception):
            yield (field if isinstance(field, str) else field.name), default_of(cls, field)


def _extra(value: Any) -> dict[str, Any]:
    """Return what a model of pydantic was given besides its fields, where it takes that."""
    extra = getattr(value, "__pydantic_extra__", None)
    return dict(extra) if isinstance(extra, dict) else {}


def _of_pydantic(cls: Any, name: str) -> Any:
    field = cls.model_fields[name]
    if field.is_required():
        raise LookupError(name)
    return field.get_default(call_default_factory=True)


def _of_older_pydantic(cls: Any, name: str) -> Any:
    field = cls.__fields__[name]
    if field.required:
        raise LookupError(name)
    return field.get_default()


def _of_attrs(cls: Any, field: Any) -> Any:
    del cls
    default = field.default
    factory = getattr(default, "factory", None)
    if factory is not None:
        return factory()
    if type(default).__name__ in {"_Nothing", "NOTHING"}:
        raise LookupError(field.name)
    return default


def _of_msgspec(cls: Any, name: str) -> Any:
    import msgspec

    field = next(each for each in msgspec.structs.fields(cls) if each.name == name)
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    if field.default is msgspec.NODEFAULT:
        raise LookupError(name)
    return field.default


_LIBRARIES: dict[str, Callable[[Any, Any], Any]] = {
    "model_fields": _of_pydantic,
    "__fields__": _of_older_pydantic,
    "__attrs_attrs__": _of_attrs,
    "__struct_fields__": _of_msgspec,
}
"""Under which attribute a class has its fields, and what returns the default of one."""


def _dataclass_values(value: object) -> dict[str, Any]:
    import dataclasses  # which is there by then, and else 5 ms of each script's start

    # A field with init=False may never have been set.
    names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]  # type: ignore[arg-type]
    return {name: getattr(value, name) for name in names}


def _dataclass_defaults(cls: type) -> dict[str, Any]:
    import dataclasses

    defaults = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _is_plain(cls: type) -> bool:
    """Tell whether the class and all its bases are written in Python and hold data only."""
    package = cls.__module__.partition(".")[0]
    is_foreign = package == "ml_dash" or package in sys.stdlib_module_names
    if is_foreign and f"{cls.__module__}.{cls.__qualname__}" not in NAMESPACES:
        return False
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
