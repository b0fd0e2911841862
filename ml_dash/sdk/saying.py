"""What is said of an experiment while its run goes on, and what is known of it before its server has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ml_dash.errors import ReadOnlyError
from ml_dash.protocol import SAID
from ml_dash.sdk.guidance.read_only import read_only

if TYPE_CHECKING:
    from ml_dash.sdk.session import Session

_C = TypeVar("_C", list[str], dict[str, Any])

_AT_SERVER = (
    *(
        "id",
        "prefix",
        "owner",
        "project",
        "folder",
        "name",
        "readme",
        "tags",
        "bindrs",
        "metadata",
        "status",
        "stale",
    ),
    *("createdAt", "updatedAt", "startedAt", "endedAt", "lastActivity", "host", "error", "rows", "deletedAt"),
    *("attempts", "entries", "alerts", "note", "stop"),
)
"""What a server's record of an experiment has."""


def say(session: Session, name: str, value: Any) -> None:
    """Change the readme, tags, bindrs or metadata of an experiment whose run is open.

    It is a row of the journal, as what the start has said, and goes to the server like that.

    Raises:
        InvalidArgumentError: the value is of the wrong kind, or too large.
        NotStartedError: the run is not open.
        ReadOnlyError: what is said of the experiment is fixed, as of `dxp`.
    """
    about = session.about
    if about.is_fixed:
        raise ReadOnlyError(
            f"{name} of {session.prefix!r} is fixed: pass {name}= to an Experiment of another name"
        )
    channel = session.opened()
    said = about.change(name, value, session.settings.frame_bytes)
    time_ns = channel.put_control({"event": "update", "experiment": said}, session.next_ns())
    session.snapshot()
    if channel.delivery is not None:
        channel.delivery.describe(lambda: {**said, SAID: {name: time_ns}})


def copy_of(session: Session, name: str, empty: _C, example: str) -> _C:
    """Return the tags, bindrs or metadata of an experiment, as a copy that says to be one where it is changed."""
    remedy = f"exp.{name} is a copy, and changing it would change nothing: write exp.{name} = {example}"
    copied: _C = read_only(type(empty)(session.said(name) or empty), remedy)
    return copied


def record_of(session: Session) -> dict[str, Any] | None:
    """Return the server's record of an experiment, and what is known here; None in local mode and before the start."""
    if session.destination.url is None or session.run_status is None:
        return None
    upload, identity = session.upload, session.identity
    record = (None if upload is None else upload.record) or {
        **dict.fromkeys(_AT_SERVER),
        "prefix": identity.prefix,
        "owner": identity.owner,
        "project": identity.project,
        "folder": identity.folder,
        "name": identity.name,
        **{name: session.said(name) for name in session.about.given},
    }
    given = {name: value for name, value in session.about.given.items() if value is not None}
    # The status as it is now: the server's answer is older than the run, and is not asked for again.
    return {**record, **given, "status": session.run_status}
