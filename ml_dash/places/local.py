"""A local root, asked what `Place` says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import JournalError
from ml_dash.journal.disk import NOT_THERE
from ml_dash.notices import warn_user
from ml_dash.places.choosing import chosen
from ml_dash.protocol import DESCRIBED
from ml_dash.query.journal_view import JournalView
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.series import Kind
from ml_dash.storage.side_file import is_sound, read_side_file
from ml_dash.storage.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.query.listing.summary import Summaries
    from ml_dash.storage.survey import Located


class LocalPlace:
    """A directory of journals; of the user's own, so that links in it are followed."""

    def __init__(self, root: str, *, stale_after: float) -> None:
        self._root = root
        self._stale_after = stale_after

    @property
    def name(self) -> str:
        """See `Place`."""
        return self._root

    def find(
        self, filter: str = "", order: str | None = None, limit: int | None = None
    ) -> Iterator[ListedExperiment]:
        """See `Place`. Of a directory that may not be read a warning tells, and the others are found."""
        found = survey(self._root, is_own=True)
        if found.refused:
            path, reason = next(iter(found.refused.items()))
            more = f", and {len(found.refused) - 1:,} more" if len(found.refused) > 1 else ""
            warn_user(f"what is in {path!r} is not listed: {reason}{more}", UserWarning)
        listed = (self._listed(each) for each in found.experiments)
        return chosen([each for each in listed if each is not None], filter, order, limit)

    def _listed(self, located: Located) -> ListedExperiment | None:
        """Return what is known of an experiment; None where it is gone meanwhile."""
        said = read_side_file(located.directory, located.disk)
        owner, project, folder, name = _parts(located.prefix)
        known: dict[str, Any] = {}
        try:
            known = self._of_journal(located, said)
        except NOT_THERE:
            return None
        except (JournalError, OSError) as error:
            known = {"problem": str(error)}
        return ListedExperiment(located.prefix, owner, project, folder, name, self._root, **known)

    def _of_journal(self, located: Located, said: dict[str, Any]) -> dict[str, Any]:
        view = JournalView(located.journal, disk=located.disk, warns=False, stale_after=self._stale_after)
        run = view.run()
        about = {
            **said,
            **{name: value for name, value in (run.experiment or {}).items() if is_sound(name, value)},
        }
        metrics: dict[str | None, Summaries] = {}
        with view.reading() as index:
            series = index.series(Kind.METRIC)
            rows = sum(map(index.count, series))
            damage = index.damage
        for each in series:
            metrics[each.name] = view.summaries(each)
        return {
            **{name: about.get(name) for name in DESCRIBED},
            "tags": tuple(about.get("tags") or ()),
            "bindrs": tuple(about.get("bindrs") or ()),
            "status": run.status,
            "stale": run.stale,
            "created_ns": run.started_at or os.stat(located.journal).st_ctime_ns,
            "started_ns": run.started_at,
            "ended_ns": run.ended_at,
            "active_ns": run.last_activity,
            "host": run.host,
            "error": run.error,
            "attempts": run.attempts,
            "rows": rows,
            "params": view.params(),
            "metrics": metrics,
            "best": view.definitions(),
            "problem": f"{len(damage)} places are damaged: `ml-dash verify` lists them" if damage else None,
        }


def _parts(prefix: str) -> tuple[str, str, str, str]:
    """Return owner, project, folder and name; a root in the middle of a tree gives fewer segments than a prefix has."""
    owner, *rest = prefix.split("/")
    if not rest:
        return "", "", "", owner
    project, *folders = rest[:-1] or [""]
    return owner, project, "/".join(folders), rest[-1]
