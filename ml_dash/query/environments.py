"""What surrounded each process of an experiment, folded from the ENVIRONMENT rows.

A row has ``attempt`` (the name in the start row of its run), ``host``, ``pid``, ``rank`` and ``environment``, a dict. A
process writes several, as soon as each part is known: of two with the same key the later one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.journal.blocks import as_list, block_rows
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.query.attempts import Attempt

ENVIRONMENT = Series(Kind.ENVIRONMENT, None)


def fold_environments(
    blocks: Iterable[tuple[int, Block]], attempts: Iterable[Attempt]
) -> list[dict[str, Any]]:
    """Return one dict for each process that wrote of its environment, the newest first.

    Args:
        blocks: of the series `ENVIRONMENT`, with the index of their first rows.
        attempts: those of the experiment, which number the names in start rows.

    Returns:
        Dicts with ``attempt`` (its number; None where its start is not known), ``rank``, ``host``, ``pid``,
        ``createdAt`` (of the first row) and ``environment``.
    """
    from ml_dash.query.attempts import text_of  # with all of it, for those who read

    numbers = {
        opening.name: attempt.number for attempt in attempts for opening in attempt.openings if opening.name
    }
    found: dict[tuple[str | None, str | None, int | None], dict[str, Any]] = {}
    for _, block in blocks:
        for time_ns, row in zip(as_list(block.times), block_rows(block), strict=True):
            parts = row.get("environment")
            if not isinstance(parts, dict):
                continue
            name, host, pid = text_of(row.get("attempt")), text_of(row.get("host")), _number(row.get("pid"))
            process = found.setdefault(
                (name, host, pid),
                {
                    "attempt": None if name is None else numbers.get(name),
                    "rank": _number(row.get("rank")),
                    "host": host,
                    "pid": pid,
                    "createdAt": iso_time(time_ns),
                    "environment": {},
                },
            )
            known = process["environment"]
            if isinstance(missing := parts.get("missing"), dict):
                parts = {**parts, "missing": {**known.get("missing", {}), **missing}}
            known |= parts
    return sorted(found.values(), key=_age, reverse=True)


def newest(processes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the environment of the newest attempt's first process; empty where nothing was captured.

    It has ``command``, ``script``, ``directory``, ``user``, ``python``, ``host``, ``os``, ``cpu``, ``memory`` (bytes),
    ``gpus``, ``variables``, ``git``, ``packages``, the ``traceback`` of a run that failed, and in ``missing`` why a
    part is not there; see `ml_dash.capture`.
    """
    environment: dict[str, Any] = processes[0]["environment"] if processes else {}
    return environment


def _age(process: Mapping[str, Any]) -> tuple[int, int, str]:
    # of one attempt, the process of rank 0 first
    return process["attempt"] or 0, -(process["rank"] or 0), process["createdAt"]


def _number(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if is_number else None
