"""A module of the shape of ``wandb``, whose runs are experiments: ``import ml_dash.compat.wandb as wandb``.

A run is ``entity/project/group/name``, and `Run.experiment` what it logs to. What is not here raises, and says what
to write. `ml_dash.compat.install` lets frameworks find this module by the other's name.
"""

from __future__ import annotations

import secrets
import sys
import types
from enum import Enum
from typing import TYPE_CHECKING, Any

from ml_dash.compat.wandb_artifact import Artifact
from ml_dash.compat.wandb_config import Config, ConfigError, Summary
from ml_dash.compat.wandb_media import Audio, Histogram, Html, Image, Object3D, Table, Video
from ml_dash.compat.wandb_run import Run, make_run
from ml_dash.errors import InvalidCallError, MLDashError, UnknownNameError
from ml_dash.notices import say

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

__all__ = [
    "AlertLevel",
    "Artifact",
    "Audio",
    "Config",
    "Histogram",
    "Html",
    "Image",
    "Object3D",
    "Run",
    "Settings",
    "Summary",
    "Table",
    "Video",
    "alert",
    "config",
    "define_metric",
    "finish",
    "init",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "run",
    "save",
    "summary",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
]

__version__ = "0.31.0"
"""The version of wandb's API that this is shaped after: frameworks ask for it."""


class AlertLevel(Enum):
    """How urgent an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


Settings = types.SimpleNamespace
Error = MLDashError
UsageError = CommError = ConfigError

run: Run | None = None
"""The run of this process; None before `init` and after `finish`."""
config = Config(None)
"""The configuration of the run; what is set before `init` is kept nowhere."""
summary = Summary(None)
"""The results of the run."""


def init(
    project: str | None = None,
    entity: str | None = None,
    name: str | None = None,
    id: str | None = None,
    *,
    config: Any = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] | None = None,
    notes: str | None = None,
    resume: bool | str | None = None,
    mode: str | None = None,
    reinit: bool | str | None = None,
    dir: Any = None,  # noqa: ARG001
    settings: Any = None,  # noqa: ARG001
    dash_url: str | bool | None = None,
    dash_root: str | os.PathLike[str] | None = None,
    **_: Any,
) -> Run:
    """Start a run: the experiment ``entity/project/group/name``. Where one is open, that one is returned.

    Args:
        project: the project, else ``WANDB_PROJECT``, else ``uncategorized``.
        entity: the owner, else ``WANDB_ENTITY``, else the user.
        name: the name; without one and without an id, ``run-1``, ``run-2``, ….
        id: counts before the name where `resume` is given.
        config: parameters.
        group: a folder.
        job_type: kept in the experiment's metadata.
        tags: for search.
        notes: the readme.
        resume: ``"allow"``, ``"must"`` or ``"never"``: steps go on where earlier ones have ended.
        mode: ``"disabled"`` logs nothing, ``"offline"`` to this disk only.
        reinit: whether an open run is ended first.
        dir: not used.
        settings: not used.
        dash_url: as for `Experiment`.
        dash_root: as for `Experiment`.
        **_: other settings of wandb's, which mean nothing here.

    Raises:
        ResumeError: there is not what `resume` wants.
        InvalidArgumentError: an argument has a value that is not known.
    """
    if run is not None:
        if not reinit or reinit in {"return_previous", "default"}:
            if config:
                run.config.update(config)
            return run
        run.finish()
    said = {"project": project, "entity": entity, "name": name, "id": id, "config": config, "group": group}
    said |= {"job_type": job_type, "tags": tags, "notes": notes, "resume": resume, "mode": mode}
    where = {"dash_url": dash_url, "dash_root": dash_root}
    made = make_run(said, {name: value for name, value in where.items() if value is not None})
    made.on_end = _forget
    _put(made, made.config, made.summary)
    return made


def _forget(ended: Run) -> None:
    """Take back a run that has ended."""
    if run is ended:
        _put(None, Config(None), Summary(None))


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the run, if there is one."""
    if run is not None:
        run.finish(exit_code, quiet)


def log(
    data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, sync: Any = None
) -> None:
    """Log values to the run; see `Run.log`."""
    _open("log").log(data, step, commit, sync)


def login(*_: Any, **__: Any) -> bool:
    """Do nothing: ``ml-dash login`` handles tokens."""
    return True


def generate_id(length: int = 8) -> str:
    """Return an id that nobody has."""
    return secrets.token_hex(length)[:length]


def termlog(string: str = "", *_: Any, **__: Any) -> None:
    """Print a line of a framework's."""
    say(string, sys.stderr)


termwarn = termerror = termlog


def setup(*_: Any, **__: Any) -> None:
    """Do nothing."""


require = teardown = setup


def _put(*values: Any) -> None:
    global run, config, summary
    run, config, summary = values


def _open(what: str) -> Run:
    if run is None:
        raise InvalidCallError(f"wandb.{what}() was called before wandb.init(): there is no run to log to")
    return run


def _of_run(name: str) -> Any:
    """Return a function that does what the method of the run that is open does."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(_open(name), name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = getattr(Run, name).__doc__
    return call


alert = _of_run("alert")
define_metric = _of_run("define_metric")
log_artifact = _of_run("log_artifact")
log_code = _of_run("log_code")
log_model = _of_run("log_model")
mark_preempting = _of_run("mark_preempting")
save = _of_run("save")
unwatch = _of_run("unwatch")
use_artifact = _of_run("use_artifact")
use_model = _of_run("use_model")
watch = _of_run("watch")

_INSTEAD = {
    "Api": "ml_dash.open('owner/project/name') reads a run, and `ml-dash ls --json` lists them",
    "sweep": "there is no sweep controller: use your scheduler or Optuna, see ml_dash.integrations.optuna",
    "agent": "there is no sweep controller: use your scheduler or Optuna, see ml_dash.integrations.optuna",
    "controller": "there is no sweep controller: use your scheduler or Optuna, see ml_dash.integrations.optuna",
    "plot": "log the numbers that are to be drawn, or a figure: wandb.log({'curve': figure})",
    "plot_table": "log the numbers that are to be drawn, or a figure: wandb.log({'curve': figure})",
    "Plotly": "log the figure itself: wandb.log({'curve': figure})",
    "Molecule": "save the file: run.experiment.files('molecules').save('a.pdb')",
    "Graph": "save a picture or a text of it: run.experiment.files('graphs').save('model.txt')",
    "link_artifact": "there is no registry: give the artifact an alias, log_artifact(artifact, aliases=['production'])",
    "link_model": "there is no registry: give the model an alias, log_model(path, aliases=['production'])",
    "restore": "wandb.use_artifact('name').download(), or run.experiment.files('model.pt').download()",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        way = _INSTEAD.get(name, "run.experiment is the Experiment of the run, which may have what is meant")
        raise UnknownNameError(f"ml_dash.compat.wandb has no {name!r}: {way}", name)
