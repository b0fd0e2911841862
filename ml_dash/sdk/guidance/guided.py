"""Objects that say what to write instead of a name that they do not have.

Problem: ``exp.lr = 0.1`` would be an attribute that nobody reads, and ``exp.config`` an error that says nothing. A
``__getattr__`` can tell, and is free from Python 3.12 on. Before, the interpreter specialises no access to attributes
of a class that has one, which costs 10 to 20 ns each. So there the classes on the way to each `log` have none. What
other trackers call things, they have as signposts, which raise; for a slip of the pen, Python itself says what was
meant.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from ml_dash.errors import InvalidCallError, ReadOnlyError, UnknownNameError
from ml_dash.sdk.guidance.names import FIXED, HINTS, Hints

if TYPE_CHECKING:
    from collections.abc import Iterable

IS_FREE = sys.version_info >= (3, 12)
"""Whether a `__getattr__` costs nothing for the attributes that are there."""
_SHOWN = (bool, int, float, str, type(None))
_LONG = 40
_CLOSE = 0.75
"""As `difflib` measures. Of names shorter than four letters, nearly all would be close to some."""


class Guided:
    """What a script holds, and asks for names that may not be there.

    Args:
        written: how a script writes such an object; None for what is written as its base is.
        is_hot: whether its attributes are read on the way to each row.
    """

    __slots__ = ()

    _written: ClassVar[str] = ""

    def __init_subclass__(cls, *, written: str | None = None, is_hot: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if written is None:
            return
        cls._written = written
        if is_hot and not IS_FREE:
            for name, hint in HINTS[written].names.items():
                setattr(cls, name, Signpost(written, name, hint))
        else:
            # Not in this class's body: those that are hot would inherit it.
            cls.__getattr__ = _missing  # type: ignore[attr-defined]

    def __dir__(self) -> Iterable[str]:
        """Return the names that are there."""
        cls = type(self)
        return [name for name in object.__dir__(self) if not isinstance(_static(cls, name), Signpost)]

    if not TYPE_CHECKING:  # with these, a type checker would take any name, any item, and any call

        def __setattr__(self, name: str, value: object) -> None:
            if not (name.startswith("_") or _may_set(self, name)):
                raise _refusal(self, name, value)
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            if not name.startswith("_"):
                raise ReadOnlyError(
                    f"{self._written}.{name} cannot be deleted: what an experiment has said, stays"
                )
            object.__delattr__(self, name)

        def __call__(self, *_given: object, **_data: object) -> None:  # noqa: D102 - `help` would show it for a call
            raise InvalidCallError(f"{self._written}(…) is not possible{_remedy(HINTS[self._written].call)}")

        def __getitem__(self, key: object) -> None:
            raise _no_items(self, key)

        def __setitem__(self, key: object, value: object) -> None:
            raise _no_items(self, key)

        def __delitem__(self, key: object) -> None:
            raise _no_items(self, key)


class Signpost:
    """Stands in a class for a name that its objects do not have."""

    __slots__ = ("_said",)

    def __init__(self, written: str, name: str, hint: str) -> None:
        self._said = written, name, hint

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        written, name, hint = self._said
        raise UnknownNameError(
            f"{_subject(written)} has no attribute {name!r}{_remedy(hint, name=name)}", name
        )


def keep(owner: Guided, **parts: object) -> None:
    """Give an object the public attributes that it is made with, which nobody may set afterwards."""
    for name, part in parts.items():
        object.__setattr__(owner, name, part)


def unknown_name(subject: str, name: str, there: Iterable[str], hints: Hints) -> UnknownNameError:
    """Return the error of a name that is not there, with the one that may be meant."""
    said = f"{subject} has no attribute {name!r}"
    if name in hints.names:
        return UnknownNameError(said + _remedy(hints.names[name], name=name), name)
    close = _close(name, there)
    if close is not None:
        prefix = "exp" if subject == "Experiment" else subject
        return UnknownNameError(f"{said}: did you mean {prefix}.{close}?", name)
    if hints.other is not None:
        return UnknownNameError(said + _remedy(hints.other, name=name), name)
    return UnknownNameError(f"{said}: there are {', '.join(sorted(there))}", name)


def _missing(self: Guided, name: str) -> Any:
    """Say that a name is not there; for what probes for names that begin with an underscore, without looking around."""
    if name.startswith("_"):
        raise UnknownNameError(f"{type(self).__name__!r} object has no attribute {name!r}", name)
    if isinstance(_static(type(self), name), property):
        return object.__getattribute__(self, name)  # it has raised an AttributeError, and raises it again
    there = [each for each in dir(self) if not each.startswith("_")]
    raise unknown_name(_subject(self._written), name, there, HINTS[self._written])


def _static(cls: type, name: str) -> object:
    """Return what a class has under a name, which is not asked what it gives; None where it has nothing."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _may_set(instance: Guided, name: str) -> bool:
    cls = type(instance)
    found = _static(cls, name)
    if isinstance(found, property):
        return found.fset is not None
    # A class that a script derives from one of ours may have attributes of its own.
    return found is None and cls.__module__.partition(".")[0] != "ml_dash" and name not in dir(instance)


def _refusal(instance: Guided, name: str, value: object) -> Exception:
    """Return the error of setting a name: an attribute that nobody reads would be lost."""
    written = instance._written  # noqa: SLF001 - of our own class
    hints = HINTS[written]
    there = [each for each in dir(instance) if not each.startswith("_")]
    shown = _shown(value)
    said = f"{written}.{name} = {shown}"
    if name in there:
        return ReadOnlyError(
            f"{said} is not possible{_remedy(FIXED.get(name, 'It is read only.'), name=name)}"
        )
    if name in hints.names:
        return UnknownNameError(f"{said} would set nothing{_remedy(hints.names[name], name=name)}")
    settable = [each for each in there if _may_set(instance, each)]
    close = _close(name, settable)
    if close is not None:
        return UnknownNameError(f"{said} would set nothing: did you mean {written}.{close}?")
    if hints.other is None or written == "exp.params":
        return UnknownNameError(f"{said} would set nothing: write exp.params.set({name}={shown})")
    return UnknownNameError(f"{said} would set nothing{_remedy(hints.other, name=name)}")


def _no_items(instance: Guided, key: object) -> InvalidCallError:
    written = instance._written  # noqa: SLF001 - of our own class
    shown = _shown(key)
    remedy = _remedy(HINTS[written].item or "", key=shown)
    return InvalidCallError(f"{written}[{shown}] is not possible{remedy}")


def _subject(written: str) -> str:
    return "Experiment" if written == "exp" else written


def _remedy(hint: str, **values: str) -> str:
    text = hint.format(**values)
    return f". {text}" if text.endswith(".") else f": write {text}"


def _close(name: str, there: Iterable[str]) -> str | None:
    if len(name) < 4:
        return None
    from difflib import get_close_matches

    by_lower = {each.lower(): each for each in there}
    found = get_close_matches(name.lower(), by_lower, 1, _CLOSE)
    return by_lower[found[0]] if found else None


def _shown(value: object) -> str:
    """Return what a message shows of a value: never a tensor, for which it would have to wait."""
    text = repr(value) if type(value) in _SHOWN else "…"
    return text if len(text) <= _LONG else "…"
