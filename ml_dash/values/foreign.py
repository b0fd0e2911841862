"""What Python, numpy and pandas have a kind of its own for, and a text, a dict or None says as well.

Recognised by names: none of these libraries is imported, and a script that has no use for UUIDs does not load them.

=========================================  ==========================================================
given                                      becomes
=========================================  ==========================================================
date, time, datetime, also of pandas       ISO 8601
duration, also of numpy and pandas         ISO 8601, as ``PT3600S``
numpy's datetime64                         ISO 8601; nanoseconds where it has them
NaT and NA                                 None
UUID, Decimal, Fraction, address, network  its text
pydantic's URL or secret                   its text, which of a secret says nothing
dtype or device of numpy, torch or JAX     its text
record of a structured array               a dict of its fields
Series of pandas that has names            a dict
pydantic's model, attrs' or msgspec's      a dict of its fields
=========================================  ==========================================================
"""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ml_dash.values.config_fields import declared_fields

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXTS = frozenset(
    {
        *(("uuid", "UUID"), ("decimal", "Decimal"), ("fractions", "Fraction")),
        *(("ipaddress", "_IPAddressBase"), ("numpy", "dtype"), ("torch", "dtype"), ("torch", "device")),
        *(("pydantic_core._pydantic_core", "Url"), ("pydantic_core._pydantic_core", "MultiHostUrl")),
        *(("pydantic.networks", "_BaseUrl"), ("pydantic.networks", "_BaseMultiHostUrl")),
        *(
            ("pydantic.types", "_SecretBase"),
            ("pydantic.types", "SecretStr"),
            ("pydantic.types", "SecretBytes"),
        ),
        *(("pandas", "Period"), ("pandas", "Interval")),
    }
)
"""Modules and names of classes whose instances, and those of their subclasses, are told by their text."""
_MISSING = frozenset({"NaTType", "NAType"})


def translated(value: Any) -> Any:
    """Return what says the same as `value`, by the table above; `value` itself, the very object, where nothing does."""
    kind = type(value)
    # Not imported: a thread may be in the middle of that. Then this is nothing of it.
    numpy: Any = sys.modules.get("numpy")
    if kind.__name__ in _MISSING and _is_of(kind, "pandas"):
        told: Any = None
    elif isinstance(value, (date, time, timedelta)):
        told = _time_text(value)
    # Before what looks at all bases: of the values that come here most are numbers of numpy, one a row.
    elif numpy and isinstance(value, (getattr(numpy, "generic", ()), getattr(numpy, "ndarray", ()))):
        told = _of_numpy(value, numpy)
    elif {(base.__module__, base.__qualname__) for base in kind.__mro__} & _TEXTS:
        told = str(value)
    elif kind.__name__ == "Series" and _is_of(kind, "pandas"):
        told = _of_series(value)
    else:
        fields = None if isinstance(value, type) else declared_fields(value)
        told = value if fields is None else fields
    return told


def _of_series(value: Any) -> Any:
    labels = value.index.tolist()
    if labels and all(isinstance(label, str) for label in labels):
        return dict(zip(labels, value.tolist(), strict=True))
    return value.item() if len(labels) == 1 else value.tolist()


def _is_of(kind: type, package: str) -> bool:
    return kind.__module__.partition(".")[0] == package


def _time_text(value: date | time | timedelta) -> str:
    if isinstance(value, timedelta):
        # of pandas, too, whose text is another one
        plain = timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
        import msgspec  # here, where nearly no script comes: its import takes 10 ms

        text: str = msgspec.to_builtins(plain)
        return text
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(timezone.utc)  # as those are that msgpack has carried
    return value.isoformat()


def _of_numpy(value: Any, numpy: Any) -> Any:
    convert = _NUMPY_KINDS.get(value.dtype.kind)
    if convert is None or (value.dtype.kind == "V" and value.dtype.names is None):
        return value
    if getattr(value, "ndim", 0):
        return [_of_numpy(item, numpy) for item in value]
    item = value[()] if isinstance(value, numpy.ndarray) else value
    if value.dtype.kind != "V" and numpy.isnat(item):
        return None
    return convert(item)


def _instant(value: Any) -> str:
    plain = value.item()
    # a number where Python's datetime cannot say it, as nanoseconds
    return plain.isoformat() if isinstance(plain, date) else str(value)


def _duration(value: Any) -> Any:
    plain = value.item()
    if isinstance(plain, timedelta):
        return _time_text(plain)
    try:
        return _time_text(value.astype("timedelta64[us]").item())
    except (TypeError, ValueError, AttributeError):
        return str(value)  # months and years, which have no length


def _record(value: Any) -> dict[str, Any]:
    return {name: value[name] for name in value.dtype.names}


_NUMPY_KINDS: dict[str, Callable[[Any], Any]] = {"M": _instant, "m": _duration, "V": _record}
