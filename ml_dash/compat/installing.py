"""Puts a module of ours where another package's is looked for, so that frameworks find it by its name."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _Metadata(importlib.metadata.Distribution):
    """Says that a package is installed: frameworks ask for its version before they import it."""

    def __init__(self, name: str, version: str) -> None:
        self._text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return path


class _Finder(importlib.metadata.DistributionFinder):
    """Finds that metadata, before those of a package of this name that is installed."""

    def __init__(self, name: str, version: str) -> None:
        self._name, self._found = name, _Metadata(name, version)

    def find_spec(self, *_args: Any, **_kwargs: Any) -> None:
        """Find no module: those are in `sys.modules`."""

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        return [self._found] if context is not None and context.name == self._name else []


def install_tensorboard(arguments: Mapping[str, Any]) -> None:
    """Put `SummaryWriter` in the place of torch's and of tensorboardX's.

    Raises:
        InvalidArgumentError: torch's has been imported already.
    """
    from ml_dash.compat import tensorboard

    names = ("torch.utils.tensorboard", "tensorboardX")
    for name in names:
        there = sys.modules.get(name)
        if there is not None and there is not tensorboard:
            raise InvalidArgumentError(
                f"{name} has been imported already, and whoever did has the package itself: call "
                "ml_dash.compat.install('tensorboard') at the top of the script, before other imports"
            )
    tensorboard.DEFAULTS.clear()
    tensorboard.DEFAULTS.update(arguments)
    for name in names:
        sys.modules[name] = tensorboard


def install_wandb(arguments: Mapping[str, Any]) -> None:
    """Put `ml_dash.compat.wandb` in the place of ``wandb``, with the few modules below it that frameworks import.

    Raises:
        InvalidArgumentError: the package itself has been imported already.
    """
    from ml_dash.compat import wandb
    from ml_dash.compat.wandb_config import ConfigError
    from ml_dash.compat.wandb_run import DEFAULTS, DisabledRun, Run

    there = sys.modules.get("wandb")
    if there is not None and there is not wandb:
        raise InvalidArgumentError(
            "wandb has been imported already, and whoever did has the package itself: call "
            "ml_dash.compat.install('wandb') at the top of the script, before other imports"
        )
    DEFAULTS.clear()
    DEFAULTS.update(arguments)
    if there is wandb:
        return
    sys.meta_path.insert(0, _Finder("wandb", wandb.__version__))
    sys.modules["wandb"] = wandb
    below: dict[str, dict[str, Any]] = {
        "wandb_run": {"Run": Run},
        "errors": {name: getattr(wandb, name) for name in ("CommError", "Error", "UsageError")},
        "env": dict.fromkeys(("set_entity", "set_project"), _ignored),
        "util": {"generate_id": wandb.generate_id},
        "data_types": {
            name: getattr(wandb, name) for name in ("Audio", "Histogram", "Html", "Image", "Table", "Video")
        },
        "sdk": {},
        "sdk.wandb_run": {"Run": Run},
        "sdk.lib": {"RunDisabled": DisabledRun},
        "sdk.lib.config_util": {"ConfigError": ConfigError},
    }
    for name, names in below.items():
        module = types.ModuleType(f"wandb.{name}", f"What frameworks import of ``wandb.{name}``.")
        module.__dict__.update(names, __path__=[])
        sys.modules[module.__name__] = module
        above, _, last = module.__name__.rpartition(".")
        setattr(sys.modules[above], last, module)


def _ignored(*_args: Any, **_kwargs: Any) -> None:
    """Take a setting that means nothing here."""
