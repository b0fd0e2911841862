"""`ml_dash_experiment`: experiment and decorator at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.sdk.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ml_dash_experiment"]


def ml_dash_experiment(
    prefix: str | None = None, **arguments: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function so that each call runs in an experiment, given as its first argument.

    Args:
        prefix: as for `Experiment`.
        **arguments: as for `Experiment`.

    Example:
        >>> @ml_dash_experiment(prefix="alice/vision/resnet")
        ... def train(experiment, lr=0.1):
        ...     experiment.params.set(lr=lr)
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return Experiment(prefix, **arguments).run(function)

    return decorate
