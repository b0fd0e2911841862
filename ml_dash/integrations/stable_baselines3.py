"""Stable-Baselines3: ``model.set_logger(Logger(None, [DashWriter("alice/rl/cartpole")]))``, or beside other outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.integrations import media
from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, log_values, set_params
from ml_dash.sdk.media.pictures import Figure, Image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stable_baselines3.common.callbacks import BaseCallback as _Callback
    from stable_baselines3.common.logger import KVWriter as _Base

    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.media.value import MediaValue
else:
    _Base = base_of("stable-baselines3", "stable_baselines3.common.logger:KVWriter")
    _Callback = base_of("stable-baselines3", "stable_baselines3.common.callbacks:BaseCallback")


class DashWriter(_Base):
    """Writes what a model records, by its own names: ``rollout/ep_rew_mean``, ``train/loss``, ``time/fps``.

    Videos, figures and images are values of these rows. A run that the writer has started stays open until
    `close`, which the library does not call, or the end of the script. With ``reset_num_timesteps=False`` a
    training goes on in its experiment.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: Stable-Baselines3 is not installed.

    Example:
        >>> model.set_logger(Logger(None, [DashWriter("alice/rl/cartpole")]))
    """

    def __init__(self, experiment: Experiment | str | None = None, **arguments: Any) -> None:
        super().__init__()
        self._tracked = Tracked(experiment, arguments)

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    @hook
    def write(self, key_values: Mapping[str, Any], key_excluded: Mapping[str, Any], step: int = 0) -> None:
        """Log a row for each group of names."""
        experiment = self._tracked.start()
        values: dict[str, Any] = {}
        for name, value in key_values.items():
            excluded = key_excluded.get(name) or ()
            if "ml_dash" in excluded:
                continue
            kind = type(value).__name__
            if kind == "HParam":
                set_params(experiment, value.hparam_dict)
            elif kind in {"Video", "Figure", "Image"}:
                values[name] = _medium(kind, value)
            else:
                values[name] = value
        log_values(experiment, values, step)

    @hook
    def close(self) -> None:
        """End the run, if it is the writer's."""
        self._tracked.complete()


class StopCallback(_Callback):
    """Ends `learn` where the run is asked to stop.

    Args:
        writer: the `DashWriter` of the model, or an `Experiment`.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.

    Example:
        >>> model.learn(100_000, callback=StopCallback(writer))
    """

    def __init__(self, writer: DashWriter | Experiment) -> None:
        super().__init__()
        self._writer = writer

    def _on_step(self) -> bool:
        written = self._writer
        experiment = written.experiment if isinstance(written, DashWriter) else written
        return not experiment.should_stop


def _medium(kind: str, value: Any) -> MediaValue:
    if kind == "Video":
        return media.video(value.frames, value.fps, "NTCHW")
    if kind == "Figure":
        return Figure(value.figure)
    return Image(value.image) if isinstance(value.image, str) else media.image(value.image, value.dataformats)
