"""`wandb.init` and the run that it gives: an experiment, of which one row is collected by several calls of `log`."""

from __future__ import annotations

import atexit
import fnmatch
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from ml_dash.compat.wandb_artifact import Artifact, find_artifact
from ml_dash.compat.wandb_config import Config, Summary
from ml_dash.compat.wandb_described import Described
from ml_dash.compat.wandb_media import values_of
from ml_dash.compat.watching import Watch
from ml_dash.errors import InvalidArgumentError
from ml_dash.identity import current_user, made_safe
from ml_dash.integrations.tracked import log_values
from ml_dash.locks import MortalLock
from ml_dash.notices import logger, warn_user
from ml_dash.sdk.alerting.alerts import WAIT
from ml_dash.sdk.experiment import Experiment, open_experiment
from ml_dash.sdk.series_port import split_name
from ml_dash.storage.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from typing_extensions import Self

    from ml_dash.query.listing.listed import Best
    from ml_dash.sdk.starting.resuming import Resume

DEFAULTS: dict[str, Any] = {}
"""Arguments for each `Experiment` that is made here, as of `ml_dash.compat.install`."""

_RESUMES: dict[Any, Resume] = {
    None: "allow",
    True: "allow",
    False: "allow",
    "allow": "allow",
    "auto": "allow",
    "must": "must",
    "never": "never",
}
_GOALS: dict[str | None, Best] = {"minimize": "min", "maximize": "max"}
_SUMMARIES: dict[str | None, Best] = {"min": "min", "max": "max"}
_SEGMENT = 255  # bytes


class Run(Described):
    """A run of the shape of wandb's. `experiment` is what it logs to, for everything that is not here.

    Args:
        experiment: an experiment; None for a run that logs nothing.
        resumes: whether steps go on where those of earlier attempts have ended.
        said: what `init` was told, for those who ask.
    """

    _lock = MortalLock()

    def __init__(self, experiment: Experiment | None, *, resumes: bool = False, **said: Any) -> None:
        super().__init__(experiment, said)
        self._row: dict[str, Any] = {}
        self._step = 0
        self._axes: dict[str, str] = {}
        self._lock = threading.RLock()
        self._watched: list[Watch] = []
        self.start_time = time.time()
        self.on_end: Callable[[Run], None] = lambda _: None
        self.resumed = False
        if experiment is not None:
            experiment.run.start()
            if resumes:
                self._step = _next_step(experiment)
                self.resumed = self._step > 0
            atexit.register(_commit_at_exit, weakref.ref(self))
        self.config = Config(experiment)
        self.summary = Summary(experiment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
        else:
            self._end(error)

    def __repr__(self) -> str:
        return f"<run {self.path} of ml_dash.compat.wandb>"

    @property
    def step(self) -> int:
        """The step of the row that is being collected."""
        return self._step

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: Any = None,
    ) -> None:
        """Log values: a row is what was logged until one call commits it.

        Args:
            data: values by their names: numbers, texts, dicts, media.
            step: the row's step. Where it is another than that of the row before, that one is committed.
            commit: whether the row is complete; by default, where no step is given.
            sync: not used.

        Raises:
            InvalidArgumentError: what is logged is no dict, or a name no text.
        """
        if not hasattr(data, "items") or any(not isinstance(name, str) for name in data):
            raise InvalidArgumentError(f"log() takes a dict with texts for names, not {data!r:.200}")
        if self.experiment is None:
            return
        with self._lock:
            if step is not None and step != self._step:
                self._commit()
                self._step = int(step)  # lower ones, too: no row is dropped for its step
            self._row.update(data)
            if commit if commit is not None else step is None:
                self._commit()
                self._step += 1

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        summary: str | None = None,
        goal: str | None = None,
        **_: Any,
    ) -> None:
        """Say by which other value the rows of a metric count, and which of its values is the best.

        Args:
            name: the metric; ``*`` stands for any text in it.
            step_metric: the other value's name.
            summary: ``"min"``, ``"max"`` or ``"best"``, of a metric without ``*``; others say nothing here.
            goal: ``"minimize"`` or ``"maximize"``, for ``"best"``.
            **_: other settings, which mean nothing here.
        """
        if step_metric is not None:
            self._axes[name] = getattr(step_metric, "name", step_metric)
        wanted = _GOALS.get(goal) if summary == "best" else _SUMMARIES.get(summary)
        if self.experiment is not None and "*" not in name and wanted is not None:
            self.experiment.metrics.define(name, best=wanted)

    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: str | None = "gradients",
        log_freq: int = 1000,
        **_: Any,
    ) -> None:
        """Log histograms of gradients, of parameters or of ``"all"`` of a torch module, each `log_freq` steps."""
        if self.experiment is None or log is None:
            return
        for model in models if isinstance(models, (list, tuple)) else [models]:
            self._watched.append(Watch(self.experiment, model, log, log_freq))

    def unwatch(self, models: Any = None) -> None:
        """Log no more of them."""
        for watch in self._watched:
            watch.close()
        self._watched.clear()

    def save(self, glob_str: str | os.PathLike[str], base_path: Any = None, policy: Any = None) -> list[str]:
        """Save the files of a pattern, as they are now."""
        import glob

        paths = [path for path in glob.glob(os.fspath(glob_str), recursive=True) if os.path.isfile(path)]
        for path in paths:
            if self.experiment is None:
                break
            below = os.path.relpath(path, base_path or os.path.dirname(path) or os.curdir).replace(
                os.sep, "/"
            )
            self.experiment.files.save(path, to=below)
        return paths

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        **_: Any,
    ) -> Artifact:
        """Save the files of an artifact, of a directory, or a file, as the next version of its name."""
        artifact = artifact_or_path
        if not isinstance(artifact, Artifact):
            path = os.fspath(artifact_or_path)
            artifact = Artifact(name or os.path.basename(path.rstrip("/")), type or "unspecified")
            artifact.add_dir(path) if os.path.isdir(path) else artifact.add_file(path)
        return artifact if self.experiment is None else artifact.log(self.experiment, aliases)

    upsert_artifact = finish_artifact = log_artifact

    def log_model(self, path: Any, name: str | None = None, aliases: Sequence[str] | None = None) -> Artifact:
        """Save a model's file or directory."""
        return self.log_artifact(path, name or f"run-{self.id}-model", "model", aliases)

    def use_artifact(self, artifact_or_name: Any, type: str | None = None, **_: Any) -> Artifact:
        """Return a version of an artifact: of this experiment, else of the newest one of its project on this disk.

        Raises:
            FileMissingError: there is none.
        """
        if isinstance(artifact_or_name, Artifact):
            return artifact_or_name
        if self.experiment is None:
            raise InvalidArgumentError("a run that is disabled has no artifacts")
        return find_artifact([self.experiment, *_others(self.experiment)], artifact_or_name)

    def use_model(self, name: str) -> str:
        """Return the path of a model that is stored, or of the directory of its files, copied to this disk."""
        return self.use_artifact(name).download()

    def alert(
        self,
        title: str,
        text: str = "",
        level: Any = None,
        wait_duration: float | timedelta | None = None,
        **_: Any,
    ) -> None:
        """Log an alert, of level info where none is given; the same title once in `wait_duration` seconds, else 60."""
        if self.experiment is not None:
            name = "info" if level is None else str(getattr(level, "value", level))
            self.experiment.alert(title, text, name, wait=WAIT if wait_duration is None else wait_duration)

    def log_code(self, *_: Any, **__: Any) -> None:
        """Warn: code is not saved."""
        warn_user(
            "log_code() saves nothing: write run.experiment.files('code').save('train.py')", UserWarning
        )

    def mark_preempting(self) -> None:
        """Do nothing: how a run that was preempted ended is known by its next attempt."""

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run: FAILED with an exit code other than 0."""
        self._end(f"exit code {exit_code}" if exit_code else None)

    def _end(self, error: BaseException | str | None) -> None:
        self.unwatch()
        if self.experiment is not None:
            with self._lock:
                self._commit()
            if error is None:
                self.experiment.run.complete()
            else:
                self.experiment.run.fail(error)
        self.on_end(self)

    def _label(self, *_: Any, **__: Any) -> None:
        """Take what frameworks say of themselves."""

    def to_html(self, *_: Any, **__: Any) -> str:
        """Return a link."""
        return f"<a href={self.url!r}>{self.path}</a>"

    def _commit(self) -> None:
        """Log the row that was collected, as a row for each metric and step."""
        row, self._row = self._row, {}
        if not row or self.experiment is None or not self.experiment.run.is_open:
            return
        self.summary.note(
            {name: value for name, value in row.items() if isinstance(value, (bool, int, float, str))}
        )
        by_step: dict[float, dict[str, Any]] = {}
        for name, value in row.items():
            if self._is_step_of_others(name, row):
                continue
            by_step.setdefault(self._step_of(name), {})[name] = value
        for step, values in by_step.items():
            kept: dict[str, Any] = {}
            for name, value in values.items():
                try:
                    kept.update(values_of(name, value))
                except Exception as error:  # noqa: BLE001 - an image that cannot be encoded must not cost the row
                    logger().warning("%s of step %s was not saved: %s", name, step, error)
            log_values(self.experiment, kept, step)

    def _is_step_of_others(self, name: str, row: Mapping[str, Any]) -> bool:
        """Return whether a value is but the step of others, in whose rows it is: alone it would be a row of its own."""
        metric = split_name(name)[0]
        return (
            name in self._axes.values()
            and len(row) > 1
            and sum(split_name(each)[0] == metric for each in row) == 1
        )

    def _step_of(self, name: str) -> float:
        """Return the step of a value: that of the metric that it was defined to count by, once that has been logged."""
        patterns = [pattern for pattern in self._axes if fnmatch.fnmatchcase(name, pattern)]
        axis = self._axes.get(name) or (self._axes[max(patterns, key=len)] if patterns else None)
        if axis is None:
            return self._step
        value = self.summary.get(axis)
        return value if isinstance(value, (int, float)) else self._step


class DisabledRun(Run):
    """What ``mode="disabled"`` gives: it takes everything, and logs nothing."""


def make_run(said: Mapping[str, Any], arguments: Mapping[str, Any]) -> Run:
    """Make a run of what `wandb.init` was told; see there."""
    mode = said.get("mode") or os.environ.get("WANDB_MODE")
    if mode == "disabled":
        disabled = DisabledRun(None, **said)
        disabled.config.update(said.get("config"))
        return disabled
    resume = said.get("resume") if said.get("resume") is not None else os.environ.get("WANDB_RESUME")
    if resume not in _RESUMES:
        raise InvalidArgumentError(f"resume={resume!r} is not known: pass 'allow', 'must' or 'never'")
    merged = {**DEFAULTS, **arguments}
    if mode in {"offline", "dryrun"}:
        merged["dash_url"] = None
    if said.get("tags"):
        merged["tags"] = list(said["tags"])
    if said.get("notes"):
        merged["readme"] = said["notes"]
    told = {name: said[name] for name in ("name", "job_type") if said.get(name)}
    if told:
        merged["metadata"] = {**(merged.get("metadata") or {}), **told}
    prefix = _prefix(said, is_resumed=resume not in {None, False})
    run = Run(Experiment(prefix, resume=_RESUMES[resume], **merged), resumes=bool(resume), **said)
    if said.get("config"):
        run.config.update(said["config"])
    return run


def _prefix(said: Mapping[str, Any], *, is_resumed: bool) -> str:
    """Return ``entity/project/group/name``: the id counts before the name where a run is to be found again by it."""
    given, identity = (
        said.get("name") or os.environ.get("WANDB_NAME"),
        said.get("id") or os.environ.get("WANDB_RUN_ID"),
    )
    names = (identity, given) if is_resumed else (given, identity)
    parts = [
        said.get("entity") or os.environ.get("WANDB_ENTITY") or current_user(),
        said.get("project") or os.environ.get("WANDB_PROJECT") or "uncategorized",
        said.get("group") or os.environ.get("WANDB_RUN_GROUP"),
        names[0] or names[1],
    ]
    segments = [made_safe(str(part), fallback="run", limit=_SEGMENT) for part in parts if part]
    safe = [segment.replace("{", "(").replace("}", ")") for segment in segments]
    return "/".join(safe if parts[-1] else [*safe, "run-{n}"])


def _next_step(experiment: Experiment) -> int:
    """Return the step behind all that earlier attempts have logged."""
    last = -1.0
    for metric in experiment.metrics.list():
        fields = experiment.metrics(metric["name"]).stats()["fields"]
        largest = fields.get("step", {}).get("max")
        if isinstance(largest, (int, float)):
            last = max(last, largest)
    return int(last) + 1


def _others(experiment: Experiment) -> list[Experiment]:
    """Return the other experiments of the project on this disk, the newest first."""
    root = experiment.directory
    for _ in experiment.prefix.split("/"):
        root = os.path.dirname(root)
    project = os.path.join(root, experiment.owner, experiment.project)
    found = [each for each in survey(project).experiments if each.directory != experiment.directory]
    found.sort(key=lambda each: os.path.getmtime(each.directory), reverse=True)
    return [
        open_experiment(os.path.relpath(each.directory, root).replace(os.sep, "/"), root) for each in found
    ]


def _commit_at_exit(run: weakref.ref[Run]) -> None:
    """Log the row that a script has left incomplete when it ends."""
    found = run()
    if found is not None:
        with found._lock:  # noqa: SLF001 - its own module
            found._commit()  # noqa: SLF001
