"""A server, changed as `Changes` says."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ml_dash.client.verb_api import VerbApi
from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import ExperimentMissingError, StopError
from ml_dash.identity import current_user, parse_prefix
from ml_dash.places.changing import Deleted, Stop, checked_reason, checked_text

if TYPE_CHECKING:
    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call
    from ml_dash.places.changing import NewTags


class RemoteChanges:
    """Changes the experiments of one server; see `ml_dash.places.changing.Changes`."""

    def __init__(self, client: Client, call: Call) -> None:
        self._api = VerbApi(client)
        self._call = call

    def delete(self, prefix: str, *, force: bool = False) -> Deleted:
        """See `Changes.delete`."""
        gone = self._call(self._api.delete(_full(prefix), unless_running=not force))
        return Deleted(gone.prefix, gone.id, _time_ns(gone.deleted_at), _time_ns(gone.purge_at))

    def restore(self, prefix: str, to: str | None = None) -> str:
        """See `Changes.restore`."""
        name = _full(prefix)
        found = next((each for each in self._call(self._api.trash()) if each.prefix == name), None)
        if found is None:
            raise ExperimentMissingError(
                f"there is no {name!r} in the trash of {self._api.url}: `ml-dash trash` lists what is"
            )
        return self._call(self._api.restore(found.id, name, None if to is None else _full(to))).prefix

    def move(self, prefix: str, to: str) -> str:
        """See `Changes.move`."""
        return self._call(self._api.move(_full(prefix), _full(to))).prefix

    def tag(self, prefix: str, news: NewTags) -> list[str]:
        """See `Changes.tag`."""
        news.applied(())  # what no server takes is told before one is asked
        return self._call(self._api.tag(_full(prefix), news.add, news.remove, news.only)).tags

    def note(self, prefix: str, text: str, before: str | None = None) -> None:
        """See `Changes.note`."""
        self._call(self._api.write(_full(prefix), "note", checked_text("note", text), before))

    def read_note(self, prefix: str) -> str | None:
        """See `Changes.read_note`."""
        return self._call(self._api.read(_full(prefix), "note"))

    def readme(self, prefix: str, text: str, before: str | None = None) -> None:
        """See `Changes.readme`."""
        self._call(self._api.write(_full(prefix), "readme", checked_text("readme", text), before))

    def read_readme(self, prefix: str) -> str | None:
        """See `Changes.read_readme`."""
        return self._call(self._api.read(_full(prefix), "readme"))

    def stop(self, prefix: str, reason: str | None = None) -> Stop:
        """See `Changes.stop`."""
        found = self._call(self._api.stop(_full(prefix), checked_reason(reason)))
        stop = found.stop
        if stop is None:  # taken back by another one in between: as if it had been behind this
            raise StopError(f"{found.prefix!r} is not asked to stop: somebody has just taken that back")
        return Stop(found.prefix, _time_ns(stop.at) or 0, stop.by, stop.reason, _time_ns(stop.seen_at))

    def cancel_stop(self, prefix: str) -> None:
        """See `Changes.cancel_stop`."""
        self._call(self._api.stop(_full(prefix), None, cancel=True))

    def trash(self) -> list[Deleted]:
        """See `Changes.trash`."""
        return [
            Deleted(each.prefix, each.id, _time_ns(each.deleted_at), _time_ns(each.purge_at), each.deleted_by)
            for each in self._call(self._api.trash())
        ]


def _full(prefix: str) -> str:
    return parse_prefix(prefix, user=current_user, now_ns=SYSTEM_CLOCK.time_ns).prefix


def _time_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        # Python 3.10 does not take the Z; later versions do
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return int(moment.timestamp()) * 1_000_000_000
    except (ValueError, OverflowError, OSError):
        return None
