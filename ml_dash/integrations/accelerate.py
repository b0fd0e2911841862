"""Hugging Face's accelerate: ``Accelerator(log_with=DashTracker("a/b/c"))``, or by its name after `register`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import MLDashError
from ml_dash.identity import current_user, made_safe
from ml_dash.integrations import media
from ml_dash.integrations.frameworks import base_of, hook, installed_version, load_module, real_class
from ml_dash.integrations.media import log_media
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate.tracking import GeneralTracker as _Base

    from ml_dash.sdk.experiment import Experiment
else:
    _Base = base_of("accelerate", "accelerate.tracking:GeneralTracker")

NAME = "ml_dash"
_SEGMENT = 255  # bytes


class DashTracker(_Base):
    """Logs what `Accelerator.log` is given, and the configuration of `init_trackers`, by the main process alone.

    Args:
        experiment: an `Experiment`, or the prefix of one; the name of a project, as `init_trackers` gives it, is the
            experiment ``<user>/<project>/run-1``, ``run-2``, ….
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: accelerate is not installed.

    Example:
        >>> accelerator = Accelerator(log_with=DashTracker("alice/vision/resnet"))
        >>> accelerator.init_trackers("vision", config={"lr": 0.1})
    """

    name = NAME
    requires_logging_directory = False
    main_process_only = True

    def __init__(self, experiment: Experiment | str, **arguments: Any) -> None:
        super().__init__()
        if isinstance(experiment, str) and "/" not in experiment:
            project = made_safe(experiment, fallback="scratch", limit=_SEGMENT)
            experiment = f"{current_user()}/{project}/run-{{n}}"
        self._tracked = Tracked(experiment, arguments)

    @property
    def tracker(self) -> Experiment | None:
        """The experiment, as ``accelerator.get_tracker("ml_dash", unwrap=True)`` gives it; None on other processes."""
        return self._tracked.experiment if _is_main() else None

    @hook
    def start(self) -> None:
        """Start the run."""
        if _is_main():
            self._tracked.start()

    @hook
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Set parameters."""
        if _is_main():
            set_params(self._tracked.start(), values)

    @hook
    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Log a row."""
        if _is_main():
            log_values(self._tracked.start(), values, step)

    @hook
    def log_images(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Log a row with images for each list of them."""
        if not _is_main():
            return
        for name, images in values.items():
            log_media(self._tracked.start(), name, step, [media.image(each) for each in images])

    @hook
    def finish(self) -> None:
        """End the run, if it is the tracker's."""
        if _is_main():
            self._tracked.complete()


def register() -> None:
    """Let ``Accelerator(log_with="ml_dash")`` be understood.

    Raises:
        MissingExtraError: accelerate is not installed.
        MLDashError: it is too old to take names: pass a `DashTracker` to it.
    """
    tracking = load_module("accelerate", "register()", "accelerate.tracking")
    if not hasattr(tracking, "register_tracker_class"):
        raise MLDashError(
            f"accelerate {installed_version('accelerate')} takes no names of trackers that it does not know: write "
            "Accelerator(log_with=DashTracker('owner/project/name'))"
        )
    if NAME not in tracking.LOGGER_TYPE_TO_CLASS:
        tracking.register_tracker_class(real_class(DashTracker))


def _is_main() -> bool:
    from accelerate.state import PartialState

    return bool(PartialState().is_main_process)
