"""Hydra: each job is an experiment, by ``+hydra.callbacks.ml_dash._target_=ml_dash.integrations.hydra.DashCallback``.

Within the job, `current` gives its experiment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidCallError
from ml_dash.identity import current_user
from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, set_params

if TYPE_CHECKING:
    from hydra.experimental.callback import Callback as _Base

    from ml_dash.sdk.experiment import Experiment
else:
    _Base = base_of("hydra", "hydra.experimental.callback:Callback")

_CURRENT: list[Experiment] = []


def current() -> Experiment:
    """Return the experiment of the job that runs.

    Raises:
        InvalidCallError: none does, or Hydra was not told of the callback.
    """
    if not _CURRENT:
        raise InvalidCallError(
            "no job of Hydra's has an experiment here: add +hydra.callbacks.ml_dash._target_="
            "ml_dash.integrations.hydra.DashCallback, and call current() within the function that hydra.main decorates"
        )
    return _CURRENT[-1]


class DashCallback(_Base):
    """Makes each job a run, with its configuration for parameters and its overrides; `current` is its experiment.

    A job that raises is FAILED, with its error. Of a multirun each job is an experiment of its own, with its number
    behind the prefix.

    Args:
        experiment: the prefix; None for ``<user>/<job>/run-{n}``, or of a multirun the directory's name instead.
        **arguments: for `Experiment`.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
    """

    def __init__(self, experiment: str | None = None, **arguments: Any) -> None:
        super().__init__()
        self._prefix = experiment
        self._arguments = arguments
        self._tracked: Tracked | None = None

    @hook
    def on_job_start(self, config: Any, **kwargs: Any) -> None:
        """Start the run."""
        from omegaconf import OmegaConf

        self._tracked = Tracked(self._prefix_of(config), self._arguments)
        experiment = self._tracked.start()
        _CURRENT.append(experiment)
        # `hydra` itself is no parameter of the job's; what refers to it is resolved before it goes.
        values = {str(name): config[name] for name in config if name != "hydra"}
        plain = {
            name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for name, value in values.items()
        }
        overrides = list(config.hydra.overrides.task)
        set_params(experiment, {**plain, "hydra": {"job": config.hydra.job.name, "overrides": overrides}})

    @hook
    def on_job_end(self, config: Any, job_return: Any, **kwargs: Any) -> None:
        """End the run."""
        if self._tracked is None:
            return
        if _CURRENT:
            _CURRENT.pop()
        if job_return.status.name == "FAILED":
            # `return_value` raises it
            self._tracked.fail(job_return._return_value)  # noqa: SLF001
        else:
            self._tracked.complete()

    def _prefix_of(self, config: Any) -> str | None:
        job = config.hydra.job
        number = None if config.hydra.mode is None or config.hydra.mode.name == "RUN" else job.get("num")
        if self._prefix is None:
            place = f"{current_user()}/{job.name}"
            sweep = os.path.basename(config.hydra.sweep.dir)
            return f"{place}/run-{{n}}" if number is None else f"{place}/{sweep}/{number}"
        return self._prefix if number is None else f"{self._prefix}/{number}"
