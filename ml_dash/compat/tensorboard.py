"""`SummaryWriter`, of torch's and of tensorboardX's signature, that logs to an experiment."""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any

from ml_dash.identity import current_user, made_safe
from ml_dash.integrations import media
from ml_dash.integrations.frameworks import hook
from ml_dash.integrations.media import log_media
from ml_dash.integrations.tracked import Tracked, as_array, log_values, set_params
from ml_dash.notices import is_news, warn_user
from ml_dash.sdk.experiment import Experiment
from ml_dash.sdk.media.pictures import Figure
from ml_dash.sdk.media.tables import Histogram, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from ml_dash.sdk.media.value import MediaValue

_SEGMENT = 255  # bytes
_SAID: set[str] = set()
DEFAULTS: dict[str, Any] = {}
"""Arguments for each `Experiment` that is made here, as of `ml_dash.compat.install`."""


class _Told:
    """What a `SummaryWriter` has besides, and is not kept here: each call says what to write or to do."""

    def add_embedding(self, *_: Any, **__: Any) -> None:
        """Say what to write instead."""
        _tell(
            "add_embedding() saves nothing: write writer.experiment.files('embeddings').save_pkl(matrix, to='e.pkl')"
        )

    def add_pr_curve(self, *_: Any, **__: Any) -> None:
        """Say what to write instead."""
        _tell("add_pr_curve() saves nothing: draw the curve, and call add_figure()")

    add_pr_curve_raw = add_pr_curve

    def add_mesh(self, *_: Any, **__: Any) -> None:
        """Say what to write instead."""
        _tell("add_mesh() saves nothing: write writer.experiment.files('meshes').save('mesh.ply')")

    def add_custom_scalars(self, *_: Any, **__: Any) -> None:
        """Say what to do instead."""
        _tell(
            "add_custom_scalars() lays out nothing: charts of several metrics are put together in the dashboard"
        )

    add_custom_scalars_multilinechart = add_custom_scalars_marginchart = add_custom_scalars


class SummaryWriter(_Told):
    """Writes what a `SummaryWriter` writes, to an experiment: ``runs/first`` is ``<user>/runs/first``.

    Tags are taken apart at their last slash: ``train/loss`` is the field ``loss`` of the metric ``train``. Images,
    figures, videos and sounds are files below ``media/``; a histogram is a field with counts and edges. What has no
    place here is told, once for each kind, with what to write.

    Args:
        log_dir: the directory that the name is made of; None for ``runs/<time>_<host>``.
        comment: the end of that name.
        purge_step: the first step of this run: what was logged from there on is superseded, see `RunManager.start`.
        max_queue: not used.
        flush_secs: not used: rows are on disk within a second.
        filename_suffix: not used.
        logdir: an older name of `log_dir`.
        experiment: an `Experiment`, or the prefix of one, instead of a name that is made.
        dash_url: as for `Experiment`.
        dash_root: as for `Experiment`.
        **_: other settings of tensorboardX's.

    Raises:
        InvalidArgumentError: an argument has a value of the wrong kind.

    Example:
        >>> with SummaryWriter("runs/first") as writer:
        ...     writer.add_scalar("train/loss", 0.5, 1)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        *,
        logdir: str | os.PathLike[str] | None = None,
        experiment: Experiment | str | None = None,
        dash_url: str | bool | None = None,
        dash_root: str | os.PathLike[str] | None = None,
        **_: Any,
    ) -> None:
        directory = log_dir or logdir
        self.log_dir = self.logdir = os.fspath(directory) if directory else _made_up(comment)
        self.purge_step = purge_step
        where = {"dash_url": dash_url, "dash_root": dash_root}
        given = {name: value for name, value in where.items() if value is not None}
        arguments = {} if isinstance(experiment, Experiment) else {**DEFAULTS, **given}
        self._tracked = Tracked(_prefix(self.log_dir) if experiment is None else experiment, arguments)
        self._tracked.start(purge_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.close()
        else:
            self._tracked.fail(error)

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    def get_logdir(self) -> str:
        """Return the directory that the name is made of; nothing is written there."""
        return self.log_dir

    @hook
    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        *_: Any,
        **__: Any,
    ) -> None:
        """Log a row with one value."""
        value = scalar_value if isinstance(scalar_value, (int, float)) else as_array(scalar_value).item()
        log_values(self._tracked.start(), {tag: value}, global_step, **_at(walltime))

    @hook
    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log a row with several values."""
        values = {f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}
        log_values(self._tracked.start(), values, global_step, **_at(walltime))

    @hook
    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log a row with a text."""
        log_values(self._tracked.start(), {tag: str(text_string)}, global_step, **_at(walltime))

    @hook
    def add_tensor(
        self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log a row with the values of a tensor."""
        log_values(self._tracked.start(), {tag: as_array(tensor)}, global_step, **_at(walltime))

    @hook
    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: int | None = None,
        **_: Any,
    ) -> None:
        """Set parameters, and log a row with results."""
        experiment = self._tracked.start()
        set_params(experiment, hparam_dict)
        log_values(experiment, metric_dict, global_step)

    @hook
    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = None,
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Log a row with counts and edges of values."""
        count = bins if isinstance(bins, int) else max_bins or 64
        log_media(
            self._tracked.start(), tag, global_step, [Histogram(as_array(values), count)], **_at(walltime)
        )

    @hook
    def add_histogram_raw(  # noqa: PLR0917 - the signature is given
        self,
        tag: str,
        min: float,
        max: float,
        num: float,
        sum: float,
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log a row with counts and edges that are known."""
        edges = [min, *as_array(bucket_limits).tolist()]
        value = Histogram(counts=as_array(bucket_counts).tolist(), edges=edges)
        log_media(self._tracked.start(), tag, global_step, [value], **_at(walltime))

    @hook
    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Save an image."""
        self._save(tag, global_step, walltime, media.image(as_array(img_tensor), dataformats))

    @hook
    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Save several images."""
        import numpy as np

        several = (
            np.stack([as_array(each) for each in img_tensor])
            if isinstance(img_tensor, (list, tuple))
            else as_array(img_tensor)
        )
        images = np.moveaxis(several, dataformats.index("N"), 0)
        layout = dataformats.replace("N", "")
        self._save(tag, global_step, walltime, *[media.image(each, layout) for each in images])

    @hook
    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
        **_: Any,
    ) -> None:
        """Log an image with its boxes."""
        names = labels or []
        boxes = [
            {"box": corners, **({"label": str(names[at])} if at < len(names) else {})}
            for at, corners in enumerate(as_array(box_tensor).tolist())
        ]
        image = media.image(as_array(img_tensor), dataformats, boxes=boxes)
        self._save(tag, global_step, walltime, image)

    @hook
    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """Save a figure of matplotlib, or several, and close them."""
        figures = list(figure) if isinstance(figure, (list, tuple)) else [figure]
        self._save(tag, global_step, walltime, *[Figure(each) for each in figures])
        if close:
            import matplotlib.pyplot as plt

            for each in figures:
                plt.close(each)

    @hook
    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: int | None = None,
        fps: float = 4,
        walltime: float | None = None,
        dataformats: str = "NTCHW",
    ) -> None:
        """Save videos, beside each other, as MP4."""
        self._save(tag, global_step, walltime, media.video(vid_tensor, fps, dataformats))

    @hook
    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Save a sound, of the shape L, 1×L or L×C, as WAV."""
        self._save(tag, global_step, walltime, media.sound(snd_tensor, sample_rate))

    def add_graph(self, model: Any, *_: Any, **__: Any) -> None:
        """Save the text of a model, of which no graph is drawn."""
        _tell("add_graph() saves the model's text, and draws no graph")
        self._save("graph", None, None, Text(str(model)))

    def flush(self) -> None:
        """Wait until everything is on disk."""
        self._tracked.experiment.flush()

    def close(self) -> None:
        """End the run, if it is the writer's."""
        self._tracked.complete()

    def _save(self, tag: str, step: int | None, walltime: float | None, *several: MediaValue) -> None:
        log_media(self._tracked.start(), tag, step, several, **_at(walltime))


def _at(walltime: float | None) -> dict[str, Any]:
    return {} if walltime is None else {"_ts": float(walltime)}


def _tell(message: str) -> None:
    if is_news(message, _SAID):
        warn_user(message, UserWarning)


def _made_up(comment: str) -> str:
    return os.path.join("runs", f"{time.strftime('%b%d_%H-%M-%S')}_{platform.node()}{comment}")


def _prefix(log_dir: str) -> str:
    """Return ``<user>/runs/first`` for ``runs/first``, and of a path from the root on the last two parts."""
    parts = [
        part for part in os.path.normpath(log_dir).split(os.sep) if part not in {"", os.curdir, os.pardir}
    ]
    if os.path.isabs(log_dir):
        parts = parts[-2:]
    safe = [
        made_safe(part, fallback="run", limit=_SEGMENT).replace("{", "(").replace("}", ")") for part in parts
    ]
    return "/".join([current_user(), *(["runs"] if len(safe) < 2 else []), *(safe or ["run"])])
