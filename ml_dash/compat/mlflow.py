"""A tracking store of MLflow's that logs to experiments: ``mlflow.set_tracking_uri("mldash://")``.

MLflow finds it by its entry points, where this package is installed. An experiment of MLflow's is a folder, a run
of its an experiment in it; its files are the experiment's files.
"""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_dash.compat.mlflow_names import (
    DEFAULT,
    Place,
    artifact_uri,
    experiment_id,
    experiment_name,
    name_of,
    place_of,
    prefix_in,
    prefix_of,
    run_id,
)
from ml_dash.errors import ExperimentMissingError, ResumeError, ServerUnavailableError
from ml_dash.identity import made_safe
from ml_dash.importers.mlflow.names import folder_of, typed
from ml_dash.integrations.frameworks import base_of
from ml_dash.integrations.tracked import log_values, save_directory, set_params
from ml_dash.locks import MortalLock
from ml_dash.sdk.experiment import Experiment, open_experiment
from ml_dash.sdk.listing.experiments import experiments
from ml_dash.sdk.series_port import split_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlflow.store.artifact.artifact_repo import ArtifactRepository as _Repository
    from mlflow.store.tracking.abstract_store import AbstractStore as _Store
else:
    _Store = base_of("mlflow", "mlflow.store.tracking.abstract_store:AbstractStore")
    _Repository = base_of("mlflow", "mlflow.store.artifact.artifact_repo:ArtifactRepository")

_SEGMENT = 255  # bytes
_NOTE = "mlflow.note.content"
_TAGS = "mlflow"
_ENDS = {"FINISHED": "COMPLETED", "FAILED": "FAILED", "KILLED": "CANCELLED"}
_STATUSES = {"RUNNING": "RUNNING", **{ours: theirs for theirs, ours in _ENDS.items()}}
_PLAIN = re.compile(r"[\w./-]+")

_OPEN: dict[str, Experiment] = {}
"""The experiments whose runs this process has started or gone on with, by their prefixes."""


class _Guard:
    """What is held while runs of this process are looked up and made."""

    lock = MortalLock()

    def __init__(self) -> None:
        self.lock = threading.RLock()


_GUARD = _Guard()


class DashStore(_Store):
    """Experiments, runs, metrics, parameters and tags of MLflow's.

    A metric's value is a row with its step and time; parameters have the types that their texts tell; tags are
    metadata, but for the note, which is the readme. What is deleted is deleted with `ml-dash`, and models are
    registered nowhere.

    Args:
        store_uri: where: ``mldash://``, ``mldash:///directory``, ``mldash://host:port``.
        artifact_uri: not used: artifacts are the experiment's files.
    """

    def __init__(self, store_uri: str = "mldash://", artifact_uri: str | None = None) -> None:
        super().__init__()
        self._place = place_of(store_uri)
        self._named: set[str] = set()

    def create_experiment(
        self, name: str, artifact_location: Any = None, tags: Any = None, *_: Any, **__: Any
    ) -> str:
        """Return the id of an experiment: it is there with its first run."""
        self._named.add(name)
        return experiment_id(name)

    def get_experiment(self, experiment_id: str) -> Any:
        """Return an experiment."""
        return self._experiment(experiment_name(str(experiment_id)))

    def get_experiment_by_name(self, experiment_name: str) -> Any:
        """Return an experiment, or None where it has no run and nobody has made it."""
        is_known = (
            experiment_name in self._named or experiment_name == DEFAULT[1] or self._prefixes(experiment_name)
        )
        return self._experiment(experiment_name) if is_known else None

    def search_experiments(
        self,
        view_type: Any = None,
        max_results: int = 1000,
        filter_string: str | None = None,
        order_by: Any = None,
        page_token: Any = None,
    ) -> Any:
        """Return the experiments that a filter of MLflow's asks for."""
        from mlflow.store.entities.paged_list import PagedList
        from mlflow.utils.search_utils import SearchExperimentsUtils as Search

        names = {name_of(each.prefix) for each in _listed(self._place, None)} | self._named
        found = Search.filter([self._experiment(name) for name in sorted(names)], filter_string)
        return PagedList(Search.sort(found, order_by or ["name ASC"])[:max_results], None)

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: Sequence[Any], run_name: str | None
    ) -> Any:
        """Start a run: an experiment of its name, or where there is one, of its name with a number."""
        folder = folder_of(experiment_name(str(experiment_id)))
        told = {tag.key: tag.value for tag in tags or []}
        safe = made_safe(run_name or told.get("mlflow.runName") or "run", fallback="run", limit=_SEGMENT - 10)
        name = safe.replace("{", "(").replace("}", ")")
        experiment = _begun(f"{folder}/{name}", self._place)
        with _GUARD.lock:
            _OPEN[experiment.prefix] = experiment
        self._set_tags(experiment, {**told, "mlflow.runName": name, "mlflow.user": user_id})
        return self.get_run(run_id(experiment.prefix))

    def get_run(self, run_id: str) -> Any:
        """Return a run, with the last values of its metrics."""
        from mlflow.entities import Metric, Param, Run, RunData, RunTag

        experiment = _read(self._place, run_id)
        tags = dict(experiment.metadata.get(_TAGS) or {})
        if experiment.readme:
            tags[_NOTE] = experiment.readme
        metrics = [Metric(name, *last) for name, last in _last_values(experiment).items()]
        params = [Param(name, str(value)) for name, value in experiment.params.get().items()]
        told = [RunTag(name, str(value)) for name, value in tags.items()]
        return Run(self._info(experiment, tags), RunData(metrics, params, told))

    def update_run_info(
        self, run_id: str, run_status: Any, end_time: int | None, run_name: str | None
    ) -> Any:
        """End a run, or go on with one."""
        from mlflow.entities import RunStatus

        status = RunStatus.to_string(run_status) if isinstance(run_status, int) else run_status
        if run_name:
            self._set_tags(_written(self._place, run_id), {"mlflow.runName": run_name})
        if status in _ENDS:
            experiment = _written(self._place, run_id)
            end = {"FAILED": experiment.run.fail, "KILLED": experiment.run.cancel}.get(
                status, experiment.run.complete
            )
            end()
            with _GUARD.lock:
                _OPEN.pop(experiment.prefix, None)
        elif status == "RUNNING":
            _written(self._place, run_id)
        return self.get_run(run_id).info

    def log_batch(
        self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]
    ) -> None:
        """Log values, set parameters and tags: values of one step and time are one row."""
        experiment = _written(self._place, run_id)
        rows: dict[tuple[Any, Any], dict[str, Any]] = {}
        for metric in metrics:
            rows.setdefault((metric.step, metric.timestamp), {})[metric.key] = metric.value
        for (step, timestamp), values in rows.items():
            log_values(experiment, values, step, _ts=timestamp / 1000)
        if params:
            set_params(experiment, {param.key: typed(param.value) for param in params})
        if tags:
            self._set_tags(experiment, {tag.key: tag.value for tag in tags})

    def delete_tag(self, run_id: str, key: str) -> None:
        """Forget a tag."""
        experiment = _written(self._place, run_id)
        tags = {name: value for name, value in (experiment.metadata.get(_TAGS) or {}).items() if name != key}
        experiment.metadata = {**experiment.metadata, _TAGS: tags}

    def get_metric_history(
        self, run_id: str, metric_key: str, max_results: int | None = None, page_token: Any = None
    ) -> Any:
        """Return all values of a metric."""
        from mlflow.entities import Metric
        from mlflow.store.entities.paged_list import PagedList

        name, field = split_name(metric_key)
        columns = _read(self._place, run_id).metrics(name).to_numpy()
        values: Any = columns.get(field, [])
        steps = columns.get("step", [0] * len(values))
        found = [
            Metric(metric_key, float(value), int(at * 1000), int(step) if step == step else 0)  # noqa: PLR0124 - NaN
            for value, at, step in zip(values, columns.get("_ts", []), steps, strict=False)
        ]
        return PagedList(found[:max_results], None)

    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None, *_: Any, **__: Any) -> None:
        """Set what a run was given, as parameters ``inputs.…``."""
        told = {
            each.dataset.name: {"digest": each.dataset.digest, "source": each.dataset.source}
            for each in datasets or []
        }
        if told:
            set_params(_written(self._place, run_id), {"inputs": told})

    def search_logged_models(self, *_: Any, **__: Any) -> Any:
        """Return none: a model is files of its run."""
        from mlflow.store.entities.paged_list import PagedList

        return PagedList([], None)

    def delete_experiment(self, experiment_id: str) -> None:
        """Refuse: what is deleted is deleted by ML-Dash."""
        raise _refusal("delete an experiment")

    def restore_experiment(self, experiment_id: str) -> None:
        """Refuse."""
        raise _refusal("restore an experiment")

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Refuse."""
        raise _refusal("rename an experiment")

    def delete_run(self, run_id: str) -> None:
        """Refuse."""
        raise _refusal("delete a run")

    def restore_run(self, run_id: str) -> None:
        """Refuse."""
        raise _refusal("restore a run")

    def link_traces_to_run(self, trace_ids: list[str], run_id: str) -> None:
        """Refuse."""
        raise _refusal("store traces")

    def _search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None,
        run_view_type: Any,
        max_results: int,
        order_by: Any,
        page_token: Any,
    ) -> tuple[list[Any], None]:
        from mlflow.utils.search_utils import SearchUtils as Search

        prefixes = [
            prefix for each in experiment_ids for prefix in self._prefixes(experiment_name(str(each)))
        ]
        found = Search.filter([self.get_run(run_id(prefix)) for prefix in prefixes], filter_string)
        return Search.sort(found, order_by)[:max_results], None

    def _prefixes(self, name: str) -> list[str]:
        """Return the prefixes of an experiment's runs."""
        folder = folder_of(name)
        return [
            each.prefix for each in _listed(self._place, folder) if each.prefix.rpartition("/")[0] == folder
        ]

    def _experiment(self, name: str) -> Any:
        from mlflow.entities import Experiment as Entity, LifecycleStage

        now = int(time.time() * 1000)
        place = artifact_uri(self._place, folder_of(name))
        return Entity(experiment_id(name), name, place, LifecycleStage.ACTIVE, [], now, now)

    def _info(self, experiment: Experiment, tags: dict[str, Any]) -> Any:
        from mlflow.entities import LifecycleStage, RunInfo

        attempts = experiment.view.attempts()
        return RunInfo(
            run_id(experiment.prefix),
            experiment_id(name_of(experiment.prefix)),
            str(tags.get("mlflow.user") or experiment.owner),
            _STATUSES.get(str(attempts[-1]["status"]), "RUNNING") if attempts else "SCHEDULED",
            (_milliseconds(attempts[0]["startedAt"]) if attempts else None) or 0,
            _milliseconds(attempts[-1]["endedAt"]) if attempts else None,
            LifecycleStage.ACTIVE,
            artifact_uri(self._place, experiment.prefix),
            str(tags.get("mlflow.runName") or experiment.name),
        )

    def _set_tags(self, experiment: Experiment, tags: dict[str, Any]) -> None:
        note = tags.pop(_NOTE, None)
        if note is not None:
            experiment.readme = str(note)
        if tags:
            before = experiment.metadata
            experiment.metadata = {**before, _TAGS: {**(before.get(_TAGS) or {}), **tags}}


class DashArtifacts(_Repository):
    """The files of a run.

    Args:
        artifact_uri: which run's, and below which path.
        *_: other arguments of MLflow's, which mean nothing here.
    """

    def __init__(self, artifact_uri: str, *_: Any, **__: Any) -> None:
        super().__init__(artifact_uri)
        self._place = place_of(artifact_uri)
        self._run = run_id(prefix_in(artifact_uri))
        self._above = urlsplit(artifact_uri).path.strip("/")

    def log_artifact(self, local_file: Any, artifact_path: str | None = None) -> None:
        """Save a file."""
        _written(self._place, self._run).files(self._path(artifact_path)).save(local_file)

    def log_artifacts(self, local_dir: Any, artifact_path: str | None = None) -> None:
        """Save all files below a directory."""
        save_directory(_written(self._place, self._run), local_dir, self._path(artifact_path) or "")

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """Return what lies directly below a path."""
        from mlflow.entities import FileInfo

        above = self._path(path)
        found: dict[str, Any] = {}
        for name, size in self._names(above):
            below = name.removeprefix(f"{above}/") if above else name
            if below == above:
                continue  # it is a file
            first, _, rest = below.partition("/")
            shown = f"{path.strip('/')}/{first}" if path else first
            found[shown] = FileInfo(shown, bool(rest), None if rest else size)
        return [found[name] for name in sorted(found)]

    def _download_file(self, remote_file_path: str, local_path: Any) -> None:
        experiment = _read(self._place, self._run)
        experiment.files(self._path(remote_file_path)).download(os.fspath(local_path), allow_dotfiles=True)

    def _names(self, above: str | None) -> Iterable[tuple[str, int]]:
        for row in _read(self._place, self._run).files(above).list():
            yield f"{row['path']}/{row['filename']}".replace("//", "/").strip("/"), row["sizeBytes"]

    def _path(self, path: str | None) -> str | None:
        return "/".join(part.strip("/") for part in (self._above, path or "") if part.strip("/")) or None


def _begun(prefix: str, place: Place) -> Experiment:
    """Return an experiment of this name that nobody has, or of this name with a number, with its run open."""
    experiment = Experiment(prefix, resume="never", **place.arguments)
    try:
        return experiment.run.start()
    except ResumeError:
        experiment = Experiment(f"{prefix}-{{n}}", **place.arguments)
    except ServerUnavailableError:  # whether it has one of this name is not worth a training
        experiment = Experiment(prefix, **place.arguments)
    return experiment.run.start()


def _written(place: Place, run: str) -> Experiment:
    """Return the experiment of a run, with its run open."""
    prefix = prefix_of(run)
    with _GUARD.lock:
        experiment = _OPEN.get(prefix)
        if experiment is None:
            experiment = _OPEN[prefix] = Experiment(prefix, resume="must", **place.arguments)
    experiment.run.start()
    return experiment


def _read(place: Place, run: str) -> Experiment:
    """Return the experiment of a run, as it is here or where the store has it."""
    from mlflow.exceptions import MlflowException

    prefix = prefix_of(run)
    with _GUARD.lock:
        experiment = _OPEN.get(prefix)
    if experiment is not None:
        return experiment
    try:
        return open_experiment(prefix, place.where)
    except ExperimentMissingError as error:
        raise MlflowException(f"Run '{run}' not found: {error}") from error


def _listed(place: Place, folder: str | None) -> Iterable[Experiment]:
    if place.url is None and not os.path.isdir(place.root):
        return []
    # A folder with other letters would have to be quoted: then all are looked at.
    return experiments(place.where, f"{folder}/*" if folder and _PLAIN.fullmatch(folder) else None)


def _last_values(experiment: Experiment) -> dict[str, tuple[float, int, int]]:
    """Return of each metric's field its last value, time in milliseconds and step."""
    found = {}
    for metric in experiment.metrics.list():
        stats = experiment.metrics(metric["name"]).stats()
        fields = stats["fields"]
        step = fields.get("step", {}).get("last") or 0
        at = _milliseconds(stats["lastDataAt"]) or 0
        for field, numbers in fields.items():
            if field != "step" and isinstance(numbers.get("last"), (int, float)):
                name = field if metric["name"] is None else f"{metric['name']}/{field}"
                found[name] = (float(numbers["last"]), at, int(step))
    return found


def _milliseconds(moment: str | None) -> int | None:
    if moment is None:
        return None
    return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)


def _refusal(what: str) -> Exception:
    from mlflow.exceptions import MlflowException

    refusal: Exception = MlflowException(
        f"ML-Dash does not {what} by way of MLflow: use the command `ml-dash`, or the dashboard"
    )
    return refusal
