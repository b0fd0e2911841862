"""The root of a command: the one that it names, or those that are meant where it names none."""

from __future__ import annotations

import typer

from ml_dash.paths import local_path
from ml_dash.places.roots import DEFAULT_ROOT, VARIABLE, Roots, all_of, default_roots, right_root

__all__ = ["DEFAULT_ROOT", "VARIABLE", "Roots", "all_of", "chosen_root", "default_roots", "right_root"]


def chosen_root(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Take a root from the command line, or find it where none is given."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "DEFAULT":
        return default_roots()
    return local_path(value, parameter.opts[0]) if value not in {"", "-"} else value
