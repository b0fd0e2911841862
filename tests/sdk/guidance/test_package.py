"""What the package says of names that it does not have, and that none of its own modules takes the place of a hint."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import ml_dash
from ml_dash import UnknownNameError
from ml_dash.sdk.guidance.names import PACKAGE

MODULES = {module.name for module in pkgutil.iter_modules(ml_dash.__path__)}


@pytest.mark.parametrize("name", PACKAGE.names)
def test_a_name_of_another_tracker_says_what_to_write(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for as an attribute, and behind `from ml_dash import`."""
    monkeypatch.delattr(ml_dash, name, raising=False)  # what a pickle of another test has loaded
    with pytest.raises(UnknownNameError, match="write ") as asked:
        getattr(ml_dash, name)
    if name not in MODULES:
        with pytest.raises(ImportError) as imported:
            exec(f"from ml_dash import {name}")
        assert str(imported.value) == f"cannot import {name!r}: {asked.value}"


def test_no_module_that_is_loaded_has_the_name_of_a_call() -> None:
    """`ml_dash.log({…})` would find the module, which cannot be called. One is for pickles, and is loaded by them."""
    assert MODULES & set(PACKAGE.names) == {"experiment"}
    code = "import sys, ml_dash; print('ml_dash.experiment' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_slip_of_the_pen_in_an_import_is_told() -> None:
    with pytest.raises(ImportError, match=r"did you mean ml_dash\.Experiment\?"):
        exec("from ml_dash import Experment")


def test_modules_are_imported_as_they_are() -> None:
    """Those that were not loaded yet, too."""
    sys.modules.pop("ml_dash.cli", None)
    vars(ml_dash).pop("cli", None)
    scope: dict[str, object] = {}
    exec("from ml_dash import cli, __version__", scope)
    assert scope["cli"] is importlib.import_module("ml_dash.cli")
    assert hasattr(ml_dash, "open")
    assert not hasattr(ml_dash, "init")
