"""Whether there is an experiment to be read, and what to say where there is none."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ml_dash.errors import ExperimentMissingError, MLDashError
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.notices import warn_user
from ml_dash.storage.side_file import strange_side_file
from ml_dash.storage.standing import is_experiment

if TYPE_CHECKING:
    from ml_dash.sdk.session import Session

_SHOWN = 5
_CLOSE = 0.6
"""What `difflib.get_close_matches` takes for close."""
_LIKELY = 0.75


def exists(session: Session) -> bool:
    """Say whether an experiment is where its reads look: on this disk, else at the server."""
    if session.run_status is not None:
        return True
    if session.destination.keeps:
        return is_experiment(session.directory)
    return session.server_view().record() is not None


def require(session: Session) -> None:
    """Raise `ExperimentMissingError`, which names those that come near, unless there is such an experiment."""
    if exists(session):
        return
    if (strange := _strange(session)) is not None:
        raise ExperimentMissingError(strange)
    near = near_names(session)
    hint = f": did you mean {', '.join(near)}?" if near else f"; {_how_to_list(session)} lists all"
    raise ExperimentMissingError(f"{_nowhere(session)}{hint}")


def warn_of_nothing(session: Session) -> None:
    """Warn, once, that an experiment that is nowhere is read, and reads as an empty one."""
    session.tell_missing = _say_nothing
    if (strange := _strange(session)) is not None:
        warn_user(f"{strange}. What is read of it here is empty (said once)", UserWarning)
        return
    warn_user(
        f"{_nowhere(session)}: what is read of it is empty (said once). Check the name with exp.exists(), or open it "
        "by ml_dash.open(), which names those that come near",
        UserWarning,
    )


def warn_of_no_metric(session: Session, name: str | None) -> None:
    """Warn that a metric is read which has no rows, where it is clear which one is meant."""
    try:
        fields = {metric["name"]: metric["fields"] for metric in session.view.metrics() if metric["count"]}
    except (MLDashError, OSError):
        return  # what was read is empty, and more is not known
    meant = None if name in fields else _meant(name, fields)
    if meant is not None:
        shown = "unnamed metric" if name is None else f"metric {name!r}"
        warn_user(
            f"{session.prefix!r} has no rows of the {shown}: what is read of it is empty (said once). {meant}, and "
            "exp.metrics.list() has all there are",
            UserWarning,
        )


def _meant(name: str | None, fields: dict[str | None, list[str]]) -> str | None:
    """Return which of the metrics with these fields is meant by a name; None where that is not clear."""
    if name is None:
        return f"The only one is exp.metrics({next(iter(fields))!r})" if len(fields) == 1 else None
    metric, _, field = name.rpartition("/")  # as charts and tables have their titles
    for known, columns in fields.items():
        if (known == metric and field in columns) or (name in columns and len(fields) == 1):
            return f"{(field if known == metric else name)!r} is a field of exp.metrics({known!r})"
    from difflib import get_close_matches

    near = get_close_matches(name, [known for known in fields if known], 1, _LIKELY)
    return f"It is probably exp.metrics({near[0]!r}) that is meant" if near else None


def near_names(session: Session) -> list[str]:
    """Return the prefixes of experiments that have a name like this one, the likest first; none if unknown."""
    wanted = session.prefix
    try:
        known = (
            _prefixes_on_disk(session.destination.root)
            if session.destination.keeps
            else _prefixes_at_server(session)
        )
    except (MLDashError, OSError):
        return []
    from difflib import SequenceMatcher

    name = session.identity.name
    scores = {
        each: max(
            SequenceMatcher(None, wanted, each).ratio(),
            # the right name under another owner or project
            1.0 if each.rpartition("/")[2] == name else 0.0,
        )
        for each in known
    }
    return sorted((each for each in known if scores[each] >= _CLOSE), key=lambda each: -scores[each])[:_SHOWN]


def _prefixes_on_disk(root: str) -> list[str]:
    from ml_dash.storage.survey import survey

    return [each.prefix for each in survey(root, is_own=True).experiments] if os.path.isdir(root) else []


def _prefixes_at_server(session: Session) -> list[str]:
    return session.server_view().prefixes()


def _nowhere(session: Session) -> str:
    place = session.destination
    if place.keeps:
        elsewhere = f" (what {place.url} has is read with dash_root=None)" if place.url else ""
        return f"there is no experiment {session.prefix!r} under {place.root!r}{elsewhere}"
    return f"there is no experiment {session.prefix!r} at {place.url}, or its token may not see it"


def _strange(session: Session) -> str | None:
    """Return what to say where there is an experiment, but of the public package of the same name; else None."""
    directory = session.directory
    if not session.destination.keeps or strange_side_file(directory, ForeignDisk(directory)) is None:
        return None
    return (
        f"what lies in {directory!r} was not written by this ML-Dash. If the public package of the same name has, "
        f"`ml-dash import ml-dash {shlex.quote(directory)}` brings it in"
    )


def _how_to_list(session: Session) -> str:
    place = session.destination
    return f"`ml-dash ls {place.root}`" if place.keeps else f"the page {place.url}"


def _say_nothing() -> None:
    pass
