"""What a script holds of an experiment: the object itself, its managers and their builders.

A model that is copied may hold any of them. A copy is the same part of a copy of the experiment, which is not started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.sdk.session import Session

Step: TypeAlias = "str | tuple[Any, ...] | dict[str, Any]"


class Part:
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
