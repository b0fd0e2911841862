"""Figures of matplotlib."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError

__all__ = ["write_figure"]


def write_figure(fig: Any, file: BinaryIO, format: str, **kwargs: Any) -> None:
    """Write a figure by its ``savefig``. Neither the figure nor the backend is changed.

    Args:
        fig: the figure; None for pyplot's current one.
        file: where to.
        format: as the name's extension has it, ``png`` or ``pdf`` for instance.
        **kwargs: for ``savefig``.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidArgumentError: there is no figure, or matplotlib does not know the format.
    """
    figure = _current() if fig is None else fig
    canvas = getattr(figure, "canvas", None)
    if canvas is None or not callable(getattr(figure, "savefig", None)):
        raise InvalidArgumentError(
            f"fig={figure!r:.200} is not a figure of matplotlib: pass fig=plt.gcf(), or fig=ax.figure"
        )
    known = canvas.get_supported_filetypes()
    if format.lower() not in known:
        raise InvalidArgumentError(
            f"a figure cannot be saved as {format!r}: end the name with one of .{', .'.join(sorted(known))}"
        )
    figure.savefig(file, format=format.lower(), **kwargs)


def _current() -> Any:
    """Return pyplot's current figure, without opening an empty one."""
    try:
        import matplotlib as mpl  # noqa: F401 - whether it is there at all
    except ImportError as error:
        raise MissingExtraError("save_fig()", "matplotlib", "plot") from error
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        raise InvalidArgumentError("there is no current figure: plot something first, or pass fig=")
    return pyplot.gcf()
