"""What a script holds of an experiment: the object itself, its managers and their builders.

A model that is copied may hold any of them. A copy is the same part of a copy of the experiment, which is not started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.sdk.guidance.guided import Guided

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.sdk.session import Session

Step: TypeAlias = "str | tuple[Any, ...] | dict[str, Any]"


class Part(Guided):
    """A part of an experiment.

    Args:
        session: the experiment's.
        *steps: how it is found from the experiment: names of attributes, and arguments of calls, as a tuple or by name.
    """

    __slots__ = ("_hold", "_session", "_steps")

    def __init__(self, session: Session, *steps: Step) -> None:
        self._session = session
        self._hold = session.holders.hold()
        self._steps = steps

    def __repr__(self) -> str:
        path = "".join(
            step if type(step) is str and not at else _step_text(step) for at, step in enumerate(self._steps)
        )
        return f"<exp.{path} of {self._session.prefix!r}>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Copy and pickle as the same part of the experiment's copy, which is not started."""
        return part, (self._session.holders.experiment, *self._steps)


def part(experiment: Any, *steps: Step) -> Any:
    """Return the part of an experiment to which these steps lead; see `Part`."""
    found = experiment
    for step in steps:
        if isinstance(step, str):
            found = getattr(found, step)
        else:
            found = found(*step) if isinstance(step, tuple) else found(**step)
    return found


def _step_text(step: Step) -> str:
    """Return a step as it is written in code; of what need not be short, or would be waited for, only the name."""
    if isinstance(step, str):
        return f".{step}"
    if isinstance(step, tuple):
        return f"({', '.join(map(repr, step))})"
    given = {name: value for name, value in step.items() if value is not None}
    path = [repr(given.pop("path"))] if isinstance(given.get("path"), str) else []
    named = [f"{name}={value!r}" if isinstance(value, str) else f"{name}=…" for name, value in given.items()]
    return f"({', '.join([*path, *named])})"
