"""Tracks: `exp.tracks(topic)`, values sampled at times of their own (a robot's pose, a sensor)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.sdk.guidance.calls import explained, merged
from ml_dash.sdk.guidance.guided import Guided, keep
from ml_dash.sdk.parts import Part
from ml_dash.sdk.series_port import LATEST, check_name, row_time
from ml_dash.series import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.sdk.session import Session


class TracksManager(Part, written="exp.tracks"):
    """`exp.tracks`: gives the tracks by their topics."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "tracks")
        self._builders: dict[str, TrackBuilder] = {}

    @explained("exp.tracks('pose')")
    def __call__(self, topic: str, /) -> TrackBuilder:
        """Return the track of a topic; the same names are allowed as for metrics."""
        check_name("topic", topic)
        with self._session.lock:
            known = self._builders.get(topic)
            if known is None:
                known = self._builders[topic] = TrackBuilder(self._session, topic)
            return known

    @explained("exp.tracks.flush(), or exp.flush(timeout=10)")
    def flush(self) -> None:
        """Wait until everything logged so far is on disk."""
        self._session.flush()


class TrackBuilder(Part, written="exp.tracks('pose')", is_hot=True):
    """One track: entries of the same time are merged when they are read, and the later one's fields win."""

    __slots__ = ("_port", "_topic")

    def __init__(self, session: Session, topic: str) -> None:
        super().__init__(session, "tracks", (topic,))
        self._port = session.port(Kind.TRACK, topic)
        self._topic = topic

    def append(self, /, *fields: Mapping[str, Any], **data: Any) -> TrackBuilder:
        """Append an entry.

        Args:
            *fields: the entry's fields as a dict; keyword arguments win over equal keys.
            **data: as for `MetricBuilder.log`; ``_ts`` is its time in seconds since the epoch.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: ``_ts`` is not a time.
            InvalidCallError: what is given by position is not a dict.
        """
        if fields:
            data = merged(fields, data, f"exp.tracks({self._topic!r:.100}).append")
        time = row_time(data.pop("_ts", None))
        self._port.write(time, data)
        LATEST.time_ns = time
        return self

    @explained("exp.tracks('pose').flush(), or exp.flush(timeout=10)")
    def flush(self) -> None:
        """Wait until everything logged so far is on disk."""
        self._session.flush()

    @explained("exp.tracks('pose').read(start_timestamp=0.0, end_timestamp=9.0, columns=['x'])")
    def read(
        self,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: str = "json",
    ) -> Any:
        """Read entries in order of time; sees everything appended before.

        Args:
            start_timestamp: the first time, in seconds, included.
            end_timestamp: the last time, included.
            columns: only these fields.
            format: ``"json"`` gives ``{"entries": [{"timestamp", fields…}], "count"}``, ``"jsonl"`` a string of
                lines, ``"parquet"`` bytes (needs ``pip install pyarrow``).
        """
        return self._session.view.track(self._topic, start_timestamp, end_timestamp, columns, format)

    @explained("exp.tracks('pose').slice(start, end)")
    def slice(self, start: float | None = None, end: float | None = None) -> TrackSlice:
        """Return the entries from `start` to `end`, in seconds, both included, for looking up by time."""
        return TrackSlice(self.read(start, end)["entries"])


class TrackSlice(Guided, written="track_slice"):
    """Entries of a track, read once, in order of time."""

    entries: list[dict[str, Any]]

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        keep(self, entries=entries)

    def __repr__(self) -> str:
        return f"<TrackSlice of {len(self.entries)} entries>"

    def __len__(self) -> int:
        return len(self.entries)

    @explained("track_slice.findByTime(1.5)")
    def findByTime(self, timestamp: float) -> dict[str, Any] | None:  # noqa: N802 - the public contract
        """Return the entry at a time, else the last one before it; None where there is none."""
        from ml_dash.query.tracks import find_by_time

        return find_by_time(self.entries, timestamp)
