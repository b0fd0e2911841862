"""Doors for what knows a closed list of trackers: modules and classes of their shapes, that log to ML-Dash.

>>> import ml_dash.compat.wandb as wandb
>>> from ml_dash.compat import SummaryWriter

Before a framework is imported that imports another tracker by itself, `install` puts ours in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from ml_dash.compat.tensorboard import SummaryWriter as SummaryWriter

__all__ = ["SummaryWriter", "install"]

_DOORS = ("tensorboard", "wandb")


def install(name: str, **arguments: Any) -> None:
    """Let the imports of another tracker give what is of its shape here, for this process.

    To be called before what uses it is imported, such as transformers with ``report_to="wandb"``.

    Args:
        name: ``"wandb"``, or ``"tensorboard"`` for torch's and tensorboardX's `SummaryWriter`.
        **arguments: for each `Experiment` that is made there, such as ``dash_url=True``.

    Raises:
        InvalidArgumentError: there is no such door, or the package itself is in use already.
    """
    if name not in _DOORS:
        raise InvalidArgumentError(
            f"install({name!r}) is not possible: pass one of {', '.join(map(repr, _DOORS))}"
        )
    from ml_dash.compat.installing import install_tensorboard, install_wandb

    if name == "wandb":
        install_wandb(arguments)
    else:
        install_tensorboard(arguments)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "SummaryWriter":
            from ml_dash.compat.tensorboard import SummaryWriter

            return SummaryWriter
        raise AttributeError(f"module 'ml_dash.compat' has no attribute {name!r}")
