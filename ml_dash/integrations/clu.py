"""clu, the training loops of JAX's: a `MetricWriter` that logs to an experiment, alone or in a `MultiWriter`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.integrations import media
from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.media import log_media
from ml_dash.integrations.tracked import Tracked, as_array, log_values, set_params
from ml_dash.notices import warn_user
from ml_dash.sdk.media.tables import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clu.metric_writers.interface import MetricWriter as _Base

    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.media.value import MediaValue
else:
    _Base = base_of("clu", "clu.metric_writers:MetricWriter", "clu.metric_writers.interface:MetricWriter")


class DashWriter(_Base):
    """Writes scalars, texts, histograms, images, videos and sounds as rows.

    Make it in the process that is to log: ``if jax.process_index() == 0``.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: clu is not installed.

    Example:
        >>> writer = DashWriter("alice/vision/flax")
        >>> writer.write_scalars(1, {"train/loss": 0.5})
    """

    def __init__(self, experiment: Experiment | str | None = None, **arguments: Any) -> None:
        super().__init__()
        self._tracked = Tracked(experiment, arguments)

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    @hook
    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Log a row for each group of names."""
        values = {name: as_array(value).item() for name, value in scalars.items()}
        log_values(self._tracked.start(), values, step)

    @hook
    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Log rows with texts."""
        log_values(self._tracked.start(), texts, step)

    @hook
    def write_histograms(
        self, step: int, arrays: Mapping[str, Any], num_buckets: Mapping[str, int] | None = None
    ) -> None:
        """Log rows with counts and edges."""
        bins = num_buckets or {}
        for name, array in arrays.items():
            self._save(name, step, [Histogram(as_array(array), bins.get(name) or 64)])

    @hook
    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Set parameters."""
        set_params(self._tracked.start(), hparams)

    @hook
    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        """Save images, H×W×C, or several, N×H×W×C."""
        for name, array in images.items():
            self._save(name, step, [media.image(each) for each in _each(array, 3)])

    @hook
    def write_videos(self, step: int, videos: Mapping[str, Any]) -> None:
        """Save videos, T×H×W×C, or several, N×T×H×W×C."""
        for name, array in videos.items():
            self._save(name, step, [media.video(each, 10, "THWC") for each in _each(array, 4)])

    @hook
    def write_audios(self, step: int, audios: Mapping[str, Any], *, sample_rate: int) -> None:
        """Save sounds, N×T×C."""
        for name, array in audios.items():
            self._save(name, step, [media.sound(each, sample_rate) for each in _each(array, 2)])

    def write_summaries(self, step: int, values: Mapping[str, Any], metadata: Any = None) -> None:
        """Warn: what a plugin of TensorBoard's makes of these values is not known here."""
        warn_user(
            f"write_summaries() logs nothing of {', '.join(values)}: use write_scalars() or write_histograms()",
            UserWarning,
        )

    def write_pointcloud(self, step: int, point_clouds: Mapping[str, Any], **_: Any) -> None:
        """Warn: points are not drawn here."""
        warn_user(
            "write_pointcloud() saves nothing: write writer.experiment.files('points').save_pkl(points, to='p.pkl')",
            UserWarning,
        )

    @hook
    def flush(self) -> None:
        """Wait until everything is on disk."""
        self._tracked.experiment.flush()

    @hook
    def close(self) -> None:
        """End the run, if it is the writer's."""
        self._tracked.complete()

    def _save(self, name: str, step: int, several: Sequence[MediaValue]) -> None:
        log_media(self._tracked.start(), name, step, several)


def _each(array: Any, axes: int) -> list[Any]:
    """Return the items of an array, or the array where it has as many axes as an item."""
    whole = as_array(array)
    return [whole] if whole.ndim == axes else list(whole)
