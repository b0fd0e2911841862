"""Runs of MLflow, wherever they are kept.

=====================================  ==============================================================================
there                                  here
=====================================  ==============================================================================
experiment ``vision``, run ``first``   the prefix ``<user>/vision/first``, as `ml_dash.compat.mlflow` has it
metric ``train/loss``                  a row ``{"step", "loss"}`` of the metric ``train``, at its time
params                                 parameters, with the types that their texts stand for
tags                                   metadata; ``mlflow.note.content`` is the readme
status                                 COMPLETED, FAILED, CANCELLED; none while it is said to run
artifacts                              files, where they can be reached
=====================================  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.importers.mlflow.names import folder_of, segment_of, typed
from ml_dash.importers.source import Described, Item, Part, Position, Row
from ml_dash.sdk.about import About
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store

MILLISECOND = 1_000_000
"""Nanoseconds; times of MLflow are in milliseconds."""
_PARAMS = Series(Kind.PARAMS, None)
_NOTE = "mlflow.note.content"
_STATUS = {
    "FINISHED": RunStatus.COMPLETED,
    "FAILED": RunStatus.FAILED,
    "KILLED": RunStatus.CANCELLED,
}
_SHORT = 8


@dataclass(slots=True)
class RunRecord:
    """What a store says of a run."""

    place: str
    run_id: str
    experiment: str
    name: str | None = None
    status: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    user: str | None = None
    artifact_uri: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class MlflowRun:
    """One run.

    Args:
        record: What is said of it.
        more: Gives its parts besides parameters: metrics and artifacts.
    """

    def __init__(self, record: RunRecord, more: Callable[[RunRecord, RunReport], Iterable[Part]]) -> None:
        self.record, self._more = record, more
        self.place = record.place
        name = record.name or record.tags.get("mlflow.runName") or record.run_id
        self.prefix = f"{folder_of(record.experiment)}/{segment_of(name, 'run')}"
        self.key = record.run_id
        self.short = record.run_id[:_SHORT]

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        record = self.record
        metadata: dict[str, Any] = {"mlflow_run_id": record.run_id}
        metadata |= {name: value for name, value in record.tags.items() if name != _NOTE}
        if record.user:
            metadata.setdefault("mlflow.user", record.user)
        said: dict[str, Any] = {}
        given = {"readme": record.tags.get(_NOTE), "metadata": metadata}
        for name, value in given.items():
            if value is None:
                continue
            arguments: dict[str, Any] = {
                "readme": None,
                "tags": None,
                "bindrs": None,
                "metadata": None,
                name: value,
            }
            try:
                said |= About(self.place, description=None, **arguments).record()
            except InvalidArgumentError as error:
                report.note(self.place, f"{name} is left out: {error}")
        status = _STATUS.get(record.status or "")
        return Described(said, (record.start_ms or 0) * MILLISECOND, status)

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        yield ParamsPart(self.record)
        yield from self._more(self.record, report)


class ParamsPart:
    """The parameters, set again where they have changed; and when the run ended."""

    name = "params"

    def __init__(self, record: RunRecord) -> None:
        self._record = record

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        record = self._record
        try:
            params = flatten_params({name: typed(text) for name, text in record.params.items()})
        except InvalidParameterError as error:
            report.note(record.place, f"parameters are left out: {error}")
            return
        now = {"params": dict(record.params), "end": record.end_ms}
        if position != now:
            rows: tuple[Row, ...] = ()
            if params and (position or {}).get("params") != now["params"]:
                rows = (Row(_PARAMS, (record.start_ms or 0) * MILLISECOND, {"set": params}),)
            yield Item(rows, now, None if record.end_ms is None else record.end_ms * MILLISECOND)
