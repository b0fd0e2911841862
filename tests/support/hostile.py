"""Values that raise when they are looked at, as foreign code does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["HOSTILE"]


class Unspeakable:
    def __str__(self) -> str:
        raise ZeroDivisionError


class Unshowable(Unspeakable):
    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __hash__(self) -> int:
        return 1


class Nowhere(dt.tzinfo):
    def utcoffset(self, when: Any) -> Any:
        raise ZeroDivisionError

    dst = tzname = utcoffset


@dataclasses.dataclass
class Unset:
    x: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "x":
            raise ZeroDivisionError
        return super().__getattribute__(name)


class Lazy:
    def item(self) -> Any:
        raise KeyError("x")


class Deviceless:
    @property
    def device(self) -> Any:
        raise ZeroDivisionError


class OddText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ZeroDivisionError


class OddNumber(float):
    def __float__(self) -> float:
        raise ZeroDivisionError


class OddInt(int):
    __slots__ = ()

    def __int__(self) -> int:
        raise ZeroDivisionError

    __index__ = __le__ = __ge__ = __int__  # type: ignore[assignment]


class Nameless(os.PathLike[str]):
    def __fspath__(self) -> str:
        raise ZeroDivisionError


class Missing(Mapping[str, Any]):
    """As configurations whose mandatory values were not given."""

    def __getitem__(self, key: str) -> Any:
        raise ZeroDivisionError

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Refusing(type):
    """Types that can be neither hashed nor asked."""

    def __hash__(cls) -> int:
        raise ZeroDivisionError

    def __getattr__(cls, name: str) -> Any:
        raise ZeroDivisionError


class OfRefusing(metaclass=Refusing):
    pass


HOSTILE: dict[str, Any] = {
    "__str__": Unspeakable(),
    "__repr__": Unshowable(),
    "tzinfo": dt.datetime(2020, 1, 1, tzinfo=Nowhere()),
    "dataclass": Unset(),
    "item": Lazy(),
    "device": Deviceless(),
    "str": OddText("x"),
    "float": OddNumber(2.0),
    "int": OddInt(3),
    "path": Nameless(),
    "mapping": Missing(),
    "key": {Unshowable(): 1},
    "deep key": {"a": {Unshowable(): 1}},
    "in a list": [1, Unshowable()],
    "type": OfRefusing(),
}
"""By what raises."""
