"""What has become of the events that this process logged, in the words of `ExperimentStatus` and `FlushResult`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.pipeline.counters import Counters
from ml_dash.query.times import iso_time
from ml_dash.status import ExperimentStatus, FlushResult

if TYPE_CHECKING:
    from ml_dash.pipeline.channel import Channel
    from ml_dash.upload.uploader import UploadState


def status_of(
    channel: Channel | None, upload: UploadState | None, run_status: str | None
) -> ExperimentStatus:
    """Count the events of a channel; None is one that was never opened."""
    counters = channel.counters() if channel is not None else Counters()
    disk_error = channel.health.last_error if channel is not None else None
    unacknowledged_bytes = counters.pending_bytes if upload is None else upload.pending_bytes
    return ExperimentStatus(
        status=run_status,
        logged=counters.logged,
        durable=counters.durable,
        acknowledged=counters.acknowledged,
        pending=counters.pending,
        dropped=dict(counters.dropped),
        pending_bytes=unacknowledged_bytes + counters.pending_blob_bytes,
        pending_frames=0 if upload is None else upload.pending_frames,
        pending_files=counters.pending_files,
        online=upload is not None and upload.online,
        offline_since=None if upload is None else iso(upload.offline_since_ns),
        last_error=disk_error or (None if upload is None else upload.last_error),
        earlier_bytes=0 if channel is None or channel.delivery is None else channel.delivery.earlier_bytes,
        queue=None if channel is None else channel.queue.kind,
        recovered=0 if channel is None else channel.recovered,
        on_devices=counters.on_devices,
    )


def flush_result(channel: Channel | None, status: ExperimentStatus) -> FlushResult:
    """Return what a flush can vouch for."""
    return FlushResult(
        durable=status.durable,
        acknowledged=status.acknowledged,
        pending=status.pending,
        dropped=sum(status.dropped.values()),
        online=status.online,
        reason=_reason(channel, status),
    )


def _reason(channel: Channel | None, status: ExperimentStatus) -> str | None:
    """Say why something is pending."""
    if not status.pending:
        return _reason_earlier(channel)
    if channel is not None and channel.failing:
        return f"the disk refuses: {status.last_error}"
    # Dropped rows never become durable: waiting for them would never end.
    on_disk = status.durable >= status.logged - sum(status.dropped.values())
    if channel is None or channel.delivery is None or not on_disk:
        return "not yet on disk"
    if status.online:
        files = f", with the contents of {status.pending_files} file(s)" if status.pending_files else ""
        trouble = f" ({status.last_error})" if status.last_error else ""
        return f"on disk, and being sent to {channel.delivery.url}{files}{trouble}"
    if status.last_error is None:
        return f"on disk; {channel.delivery.url} has not answered yet"
    return f"on disk, and not sent since {status.offline_since}: {status.last_error}"


def _reason_earlier(channel: Channel | None) -> str | None:
    """Say what else than this run's events is still to be sent."""
    if channel is None or channel.delivery is None or channel.delivery.has_earlier:
        return None
    return (
        f"all of this run has arrived; what earlier runs have logged is being sent to {channel.delivery.url}"
    )


def iso(time_ns: int | None) -> str | None:
    """Return a time as ISO 8601; None as it is."""
    return None if time_ns is None else iso_time(time_ns)
