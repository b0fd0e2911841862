"""Whether a script still holds anything of an experiment.

A run that is open, and of which nothing is left in the script, can neither be logged to nor be ended: in a notebook, a
cell that starts a run and is executed twice leaves one behind. It is *forsaken*, and ends with the next run of its
experiment.

So what a script holds (see `ml_dash.sdk.parts`) must neither be held by what the runtime holds, as are the session, its
ports and the run, nor lie in a circle of references: only then it is gone as soon as the script lets go of it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class _Hold:
    """Kept by each part: while there is one, the experiment is not forsaken."""

    __slots__ = ("__weakref__",)


class Holders:
    """Knows whether a script holds a part of an experiment, and keeps none of them."""

    def __init__(self) -> None:
        self._hold: Callable[[], _Hold | None] = lambda: None
        self._experiment: Callable[[], object] = lambda: None
        self._make: Callable[[], object] = lambda: None

    def begin(self, experiment: object, make: Callable[[], object]) -> _Hold:
        """Return what the first holder, the experiment itself, has to keep; `make` makes another such experiment."""
        hold = _Hold()
        self._hold, self._experiment, self._make = weakref.ref(hold), weakref.ref(experiment), make
        return hold

    def hold(self) -> _Hold | None:
        """Return what a further holder has to keep."""
        return self._hold()

    @property
    def are_gone(self) -> bool:
        """Whether the script holds nothing any more."""
        return self._hold() is None

    @property
    def experiment(self) -> object:
        """The experiment; another one like it where the script has kept only parts."""
        found = self._experiment()
        return self._make() if found is None else found
