"""Lightning and Fabric: ``Trainer(logger=DashLogger("alice/vision/resnet"))``, ``Fabric(loggers=DashLogger(…))``."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightning.pytorch.loggers import Logger as _Base

    from ml_dash.sdk.experiment import Experiment
else:
    _Base = base_of(
        "lightning",
        "lightning.pytorch.loggers:Logger",
        "pytorch_lightning.loggers:Logger",
        "lightning.fabric.loggers:Logger",
        "lightning_fabric.loggers:Logger",
    )


class DashLogger(_Base):
    """Logs what a module logs, its hyperparameters and, if asked for, its checkpoints.

    The process of rank zero logs, and no other. A training of one process stops where its run is asked to, at the
    next row that is logged. A run that the logger has started is FAILED when the training raises, and stays open
    behind one that does not, for ``test`` and ``predict``, until the script ends or completes it. A training with
    ``ckpt_path=`` goes on in its experiment: what was logged behind the checkpoint is superseded, see
    `RunManager.start`.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        checkpoints: whether the files of `ModelCheckpoint` are saved with the experiment, those that are kept.
        save_dir: where Lightning puts checkpoints that are not said where to go; None for ``default_root_dir``.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: Lightning is not installed.

    Example:
        >>> trainer = Trainer(logger=DashLogger("alice/vision/resnet"))
    """

    def __init__(
        self,
        experiment: Experiment | str | None = None,
        *,
        checkpoints: bool = False,
        save_dir: str | os.PathLike[str] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        self._save_dir = None if save_dir is None else os.fspath(save_dir)
        self._tracked = Tracked(experiment, arguments)
        self._checkpoints = checkpoints
        self._saved: dict[str, float] = {}
        self._resume_from: int | None = None
        # Until the first row: by then it is known where a training goes on.
        self._params: dict[str, Any] = {}
        self._trainer: Callable[[], Any] = _no_trainer

    def __getstate__(self) -> dict[str, Any]:
        # a reference to what refers to this cannot be copied, and the copy's trainer shows itself
        return {**self.__dict__, "_trainer": _no_trainer}

    @property
    def name(self) -> str | None:
        """The prefix but for its last part; None on other ranks than zero, which make no experiment."""
        return self._tracked.experiment.prefix.rpartition("/")[0] if _is_rank_zero() else None

    @property
    def version(self) -> str | None:
        """The last part of the prefix: Lightning puts checkpoints below ``<name>/<version>``."""
        return self._tracked.experiment.name if _is_rank_zero() else None

    @property
    def save_dir(self) -> str | None:
        """Where checkpoints go that are not said where to go; None for the trainer's ``default_root_dir``."""
        return self._save_dir

    @property
    def experiment(self) -> Any:
        """The experiment, with its run open; on other ranks what takes any call and does nothing."""
        if not _is_rank_zero():
            return _Nothing()
        # Lightning has a look at it before it has read the checkpoint, which says where the run goes on.
        if sys._getframe(1).f_code.co_name == "_call_setup_hook":  # noqa: SLF001
            return self._tracked.experiment
        return self._opened()

    @hook
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row."""
        if _is_rank_zero():
            log_values(self._opened(), metrics, step)
            trainer = self._trainer()
            # others would not stop at this step
            if trainer is not None and trainer.world_size == 1 and self._tracked.should_stop:
                trainer.should_stop = True

    @hook
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Set parameters."""
        if not _is_rank_zero():
            return
        fields = dict(params) if isinstance(params, dict) else vars(params)
        if self._tracked.experiment.run.is_open:
            set_params(self._tracked.experiment, fields)
        else:
            self._params.update(fields)

    @hook
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Learn where the training begins. It is the first time that the trainer shows itself; no graph is stored."""
        if _is_rank_zero():
            trainer = getattr(model, "_trainer", None)
            self._trainer = _no_trainer if trainer is None else weakref.ref(trainer)
            self._resume_from = _steps_done(trainer)
            self._opened()

    @hook
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Save the checkpoints that are new or have changed, if that is asked for."""
        if not (self._checkpoints and _is_rank_zero()):
            return
        scores = dict(getattr(checkpoint_callback, "best_k_models", None) or {})
        for path in (
            checkpoint_callback.best_model_path,
            getattr(checkpoint_callback, "last_model_path", ""),
        ):
            scores.setdefault(path, getattr(checkpoint_callback, "current_score", None))
        for path, score in scores.items():
            if not os.path.isfile(path) or self._saved.get(path) == os.path.getmtime(path):
                continue
            self._saved[path] = os.path.getmtime(path)
            tags = ["best"] if path == checkpoint_callback.best_model_path else []
            told = {"monitor": checkpoint_callback.monitor, "score": None if score is None else float(score)}
            self._opened().files("checkpoints").save(path, tags=tags, metadata=told)

    @hook
    def finalize(self, status: str) -> None:
        """End the run of a training that has failed."""
        if _is_rank_zero() and status not in {"success", "finished"}:
            self._tracked.fail(sys.exc_info()[1] or status)

    def _opened(self) -> Experiment:
        experiment = self._tracked.start(self._resume_from)
        if self._params:
            params, self._params = self._params, {}
            set_params(experiment, params)
        return experiment


class _Nothing:
    """Takes any attribute, call and item, and does nothing: what other ranks get for an experiment."""

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> _Nothing:
        return self

    def __getitem__(self, key: Any) -> _Nothing:
        return self


def _is_rank_zero() -> bool:
    """Say whether this is the process that logs, as Lightning has it, which learns of it when it starts the others."""
    for module in ("lightning.fabric.utilities.rank_zero", "lightning_fabric.utilities.rank_zero"):
        found = sys.modules.get(module)
        if found is not None:
            return not found.rank_zero_only.rank
    return True


def _no_trainer() -> None:
    """Stand for a trainer that has not shown itself, or is gone."""


def _steps_done(trainer: Any) -> int | None:
    """Return how many steps the checkpoint has that a training goes on from: the next one has this number."""
    if trainer is None or trainer.state.fn != "fit":
        return None
    checkpoint = getattr(getattr(trainer, "_checkpoint_connector", None), "_loaded_checkpoint", None) or {}
    done: int = checkpoint.get("global_step", 0)
    loops = checkpoint.get("loops", {}).get("fit_loop", {})
    counted = loops.get("epoch_loop.state_dict", {}).get("_batches_that_stepped")
    if counted is not None:
        # Within an epoch a checkpoint is saved before its last step is counted, and at the end of one behind that. And
        # of several optimizers, each has its own global steps.
        epochs = loops.get("epoch_progress", {}).get("total", {})
        is_at_end = "processed" in epochs and epochs["processed"] == epochs.get("ready")
        done = counted if is_at_end else min(done, counted + 1)
    return done or None
