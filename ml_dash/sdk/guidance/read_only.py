"""Lists and dicts that cannot be changed: what is put into a copy would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ml_dash.errors import InvalidCallError, ReadOnlyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_DEPTH = 64  # what contains itself has no end


class ReadOnlyList(list[Any]):
    """A list that says what to write instead of changing it. A copy of it is a plain list."""

    __slots__ = ("_remedy",)

    def __init__(self, items: Iterable[Any], remedy: str) -> None:
        super().__init__(items)
        self._remedy = remedy

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ReadOnlyError(self._remedy)

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __imul__ = _refuse

    if not TYPE_CHECKING:  # a type checker says it, too

        def __call__(self, *_: object, **__: object) -> NoReturn:
            """Say that this is no method."""
            raise InvalidCallError(
                "this is a list, and not a function: leave out the parentheses, as in exp.tags"
            )

    def __iadd__(self, items: Iterable[Any]) -> list[Any]:  # type: ignore[override,misc]
        """Return a plain list, so that ``exp.tags += ['new']`` does what it says."""
        return [*self, *items]

    def __reduce_ex__(self, _protocol: object) -> tuple[type, tuple[list[Any]]]:
        """Copy and pickle as a plain list."""
        return list, (list(self),)


class ReadOnlyDict(dict[Any, Any]):
    """A dict that says what to write instead of changing it. A copy of it is a plain dict."""

    __slots__ = ("_remedy",)

    def __init__(self, items: Mapping[Any, Any], remedy: str) -> None:
        super().__init__(items)
        self._remedy = remedy

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ReadOnlyError(self._remedy)

    __setitem__ = __delitem__ = _refuse
    update = pop = popitem = clear = setdefault = _refuse

    if not TYPE_CHECKING:  # a type checker says it, too

        def __call__(self, *_: object, **__: object) -> NoReturn:
            """Say that this is no method."""
            raise InvalidCallError(
                "this is a dict, and not a function: leave out the parentheses, as in exp.metadata"
            )

    def __ior__(self, items: Any) -> dict[Any, Any]:  # type: ignore[override,misc]
        """Return a plain dict, so that ``exp.metadata |= {'gpu': 'H100'}`` does what it says."""
        return {**self, **dict(items)}

    def __reduce_ex__(self, _protocol: object) -> tuple[type, tuple[dict[Any, Any]]]:
        """Copy and pickle as a plain dict."""
        return dict, (dict(self),)


def read_only(value: Any, remedy: str, depth: int = 0) -> Any:
    """Return a value of which no list and no dict, however deep, can be changed."""
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return ReadOnlyDict({key: read_only(item, remedy, depth + 1) for key, item in value.items()}, remedy)
    if isinstance(value, list):
        return ReadOnlyList([read_only(item, remedy, depth + 1) for item in value], remedy)
    if type(value) is tuple:
        return tuple([read_only(item, remedy, depth + 1) for item in value])
    return value
