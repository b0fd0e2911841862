"""Named tuples of ours are those of `typing`, but for what it takes to make them."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any

import pytest

from ml_dash.records import NamedTuple


class Ours(NamedTuple):
    """A point."""

    x: int
    y: float = 0.5
    name: str | None = None

    @property
    def total(self) -> float:
        """Both."""
        return self.x + self.y


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: float = 0.5
    name: str | None = None

    @property
    def total(self) -> float:
        """Both."""
        return self.x + self.y


class One(NamedTuple):
    """A tuple of one."""

    only: int


class Nothing(NamedTuple):
    """A tuple of none."""


def test_they_do_what_those_of_typing_do() -> None:
    """Made by place and by name, shown, compared, taken apart, copied and pickled."""
    ours: Any = Ours(1, name="a")
    theirs: Any = Theirs(1, name="a")
    assert tuple(ours) == tuple(theirs) == ours == (1, 0.5, "a")
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert hash(ours) == hash(theirs)
    assert (ours.x, ours.y, ours.name, ours.total) == (1, 0.5, "a", 1.5)
    assert ours._replace(x=2) == theirs._replace(x=2)
    assert ours._asdict() == theirs._asdict()
    assert tuple(Ours._make([1, 2, "b"])) == tuple(Theirs._make([1, 2, "b"]))
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)
    assert (Ours.__doc__, Ours.__module__, Ours.__qualname__) == ("A point.", __name__, "Ours")
    for same in (pickle.loads(pickle.dumps(ours)), copy.copy(ours), copy.deepcopy(ours)):
        assert type(same) is Ours
        assert same == ours
    match ours:
        case Ours(x, _, name):
            assert (x, name) == (1, "a")
    assert (One(3), One(only=3).only, Nothing()) == ((3,), 3, ())
    assert not hasattr(ours, "__dict__")


@pytest.mark.parametrize(
    ("args", "names"), [((), {}), ((1, 2, 3, 4), {}), ((1,), {"z": 1}), ((1,), {"x": 1})], ids=str
)
def test_they_refuse_what_those_of_typing_refuse(args: tuple[int, ...], names: dict[str, int]) -> None:
    """With an error that names the field."""
    messages = []
    classes: list[Any] = [Ours, Theirs]
    for cls in classes:
        with pytest.raises(TypeError) as raised:
            cls(*args, **names)
        messages.append(str(raised.value).replace("Theirs", "Ours"))
    assert messages[0] == messages[1]
    with pytest.raises(AttributeError):
        Ours(1).x = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="unexpected field names"):
        Ours(1)._replace(z=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Expected 3 arguments"):
        Ours._make([1])


def test_a_field_without_a_default_cannot_follow_one_that_has_one() -> None:
    """As in `typing`."""
    maker: Any = type(NamedTuple)
    with pytest.raises(TypeError, match="without a default"):
        maker("Wrong", (), {"__annotations__": {"a": "int", "b": "int"}, "a": 1})
