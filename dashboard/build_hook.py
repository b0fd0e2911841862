"""Builds the dashboard's pages into the package, where there is Node; without, the package is built without them.

Hatchling calls this for wheels and for editable installs (https://hatch.pypa.io/latest/plugins/build-hook/custom/). It
imports nothing of ML-Dash, which is not installed at that moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["PagesBuildHook"]

_HERE = os.path.dirname(os.path.abspath(__file__))
_BUILT = os.path.join(os.path.dirname(_HERE), "ml_dash", "server", "dashboard", "dist", "index.html")
_NODE = 20
_SOURCES = ("src", "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


class PagesBuildHook(BuildHookInterface):  # type: ignore[type-arg, unused-ignore]  # it has an argument since hatchling 1.22
    """The hook. Nothing that goes wrong in it ends the build: a package without pages works, and says what to do."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build the pages, unless they are newer than all that they are made of."""
        if self.target_name != "wheel" or (os.path.exists(_BUILT) and _newest() <= os.path.getmtime(_BUILT)):
            return
        npm = shutil.which("npm")
        if npm is None or _node_version() < _NODE:
            self.app.display_warning(
                f"The dashboard's pages are not built: that needs Node {_NODE} or newer, with npm"
            )
            return
        try:
            for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run([npm, *command], cwd=_HERE, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            self.app.display_warning(f"The dashboard's pages are not built:\n{error.stdout}{error.stderr}")


def _newest() -> float:
    """Return when the latest of the sources was changed."""
    times = [0.0]
    for source in _SOURCES:
        path = os.path.join(_HERE, source)
        if os.path.isdir(path):
            times += [
                os.path.getmtime(os.path.join(place, name))
                for place, _, names in os.walk(path)
                for name in names
            ]
        elif os.path.exists(path):
            times.append(os.path.getmtime(path))
    return max(times)


def _node_version() -> int:
    """Return the major version of Node; 0 where there is none."""
    node = shutil.which("node")
    if node is None:
        return 0
    told = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout
    major = told.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0
