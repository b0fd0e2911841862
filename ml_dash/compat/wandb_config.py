"""`wandb.config` and `wandb.summary`, as of a run: what is set is a parameter of its experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from ml_dash.integrations.tracked import set_params
from ml_dash.values.config_fields import config_fields

if TYPE_CHECKING:
    from ml_dash.sdk.experiment import Experiment


class ConfigError(ValueError):
    """Is there for those who catch it: a parameter may be set again here, and this is never raised."""


class Config(MutableMapping[str, Any]):
    """Parameters as attributes and as items; what is set is stored at once, and may be set again.

    Args:
        experiment: the experiment; None for a run that logs nothing.
    """

    _own = frozenset({"_experiment", "_values"})

    def __init__(self, experiment: Experiment | None) -> None:
        self._experiment = experiment
        self._values: dict[str, Any] = {}

    def __repr__(self) -> str:
        return repr(self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        raise TypeError(f"config.{key} is stored, and cannot be removed: set it to None")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self._own or name not in self._values:
            raise AttributeError(f"config has no {name!r}: set it by config.update({{{name!r}: …}})")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            super().__setattr__(name, value)
        else:
            self[name] = value

    def update(self, other: Any = (), /, allow_val_change: bool | None = None, **more: Any) -> None:
        """Set parameters: of a dict, a namespace, or any configuration that `exp.params.set` takes."""
        fields = {**(_fields(other)), **more}
        if not fields:
            return
        self._values.update(fields)
        if self._experiment is not None:
            set_params(self._experiment, fields)

    def setdefaults(self, other: Mapping[str, Any]) -> None:
        """Set those parameters that are not set."""
        self.update({name: value for name, value in _fields(other).items() if name not in self._values})

    def as_dict(self) -> dict[str, Any]:
        """Return a copy."""
        return dict(self._values)


class Summary(Config):
    """Results: what is set is a parameter ``summary.…``; of what is logged, the last value can be read here."""

    def update(self, other: Any = (), /, allow_val_change: bool | None = None, **more: Any) -> None:
        """Set results."""
        fields = {**_fields(other), **more}
        self._values.update(fields)
        if self._experiment is not None and fields:
            set_params(self._experiment, {"summary": fields})

    def note(self, values: Mapping[str, Any]) -> None:
        """Take the last values that were logged, which need not be stored again."""
        self._values.update(values)


def _fields(config: Any) -> dict[str, Any]:
    if not config:
        return {}
    fields = config_fields(config)
    if fields is None:
        raise TypeError(f"config takes a dict, a Namespace or a dataclass, not {config!r:.100}")
    return {str(name): value for name, value in fields.items()}
