"""What there is of an experiment before a run of it starts, and what is said of that.

A start opens an attempt (`ml_dash.query.attempts`), unless the run is going on already in another process of this
machine: then it takes part in that.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ml_dash.errors import InvalidArgumentError, JournalError, ResumeError
from ml_dash.forks import guarded_imports
from ml_dash.journal.frame import has_segments
from ml_dash.processes import process_space
from ml_dash.records import NamedTuple
from ml_dash.sdk.starting.prefixes import leave_on_disk, take_on_disk
from ml_dash.sdk.starting.ranks import Start, is_one_training, is_recent
from ml_dash.sdk.starting.server_side import created_at_server, is_at_server, take_at_server
from ml_dash.series import Kind

if TYPE_CHECKING:
    from ml_dash.query.attempts import Attempt, Opening
    from ml_dash.sdk.session import Session


Resume: TypeAlias = Literal["allow", "must", "never"]

_FIRST_SECONDS = 5.0
_FIRST_POLL = 0.02


def check_resume(value: Any) -> Resume:
    """Return `value` if it can be given as ``resume=``, else raise `InvalidArgumentError`."""
    for known in ("allow", "must", "never"):
        if value == known:
            return known
    raise InvalidArgumentError(
        f"resume={value!r} is not known: use 'allow' (go on with what there is), 'must' (there has to be something) or "
        "'never' (there must be nothing)"
    )


def checked_step(value: Any) -> float | None:
    """Return `value` as a step, else raise `InvalidArgumentError`; numpy's numbers and tensors of one will do."""
    if value is None:
        return None
    try:
        number = value if isinstance(value, (int, float)) else value.item()
        is_step = isinstance(number, (int, float)) and not isinstance(number, bool)
        if is_step and 0 <= number < 2**63:
            return number
    except Exception:  # noqa: BLE001, S110 - foreign code: whatever it raises, this is no step
        pass
    raise InvalidArgumentError(
        f"resume_from={value!r:.200} is not a step: give the number of the first step that is logged now, from 0 on; 0 "
        "takes the place of all that was logged with a step"
    )


class Earlier(NamedTuple):
    """What there is of an experiment.

    Attributes:
        attempts: How many attempts there were before.
        rows: How many rows its metrics have.
        joined: The name of the attempt that goes on now, or of the training of which this process is a rank: a run here
            would be part of it.
        newest: The name of the newest attempt.
        starts: All starts of runs that there were.
    """

    attempts: int = 0
    rows: int = 0
    joined: str | None = None
    newest: str | None = None
    starts: tuple[Start, ...] = ()


def earlier(session: Session) -> Earlier:
    """Return what the journal on this disk has; what cannot be read keeps no run from starting."""
    found = _look(session)
    going_on = [attempt.name for attempt, is_here in found.attempts if is_here and attempt.name is not None]
    newest = found.attempts[-1][0].name if found.attempts else None
    return Earlier(len(found.attempts), found.rows, going_on[-1] if going_on else None, newest, found.starts)


def check_earlier(session: Session, before: Earlier, resume: Resume) -> Earlier:
    """Raise `ResumeError` where there is not what ``resume=`` wants, before anything is written.

    Where there is a server, it is asked, and raises `ServerUnavailableError` or `RemoteError` as reads do. With
    ``"never"`` the name is taken: of two processes that start at once, one gets it, unless they are ranks of one
    training. Returns what there is then.
    """
    place, prefix = session.destination, session.prefix
    if resume == "must" and not before.attempts and not (place.url and is_at_server(place, prefix)):
        where = place.root if place.keeps else place.url
        raise ResumeError(
            f"there is no run of {prefix!r} to go on with in {where}, and resume='must' wants one: check prefix and "
            "dash_root=, or leave out resume="
        )
    rank = None if session.settings.rank is None else str(session.settings.rank)
    if resume != "never" or (before.joined and rank not in (None, "0")):
        return before
    is_new = not before.attempts
    if is_new and place.keeps:
        is_new = take_on_disk(session.directory, prefix)
        if not is_new and rank is not None:
            before = _wait_for_first(session)
    if not is_new and rank is not None and is_one_training(rank, before.starts):
        return before._replace(joined=before.newest)
    if is_new and place.url is not None:
        try:
            is_new = False
            is_new = take_at_server(place, prefix) or (rank is not None and _is_recent_at_server(session))
        finally:
            if not is_new:
                leave_on_disk(session.directory, place)
    if not is_new:
        what = _what_there_is(before) if before.attempts else "it is taken"
        raise ResumeError(
            f"there is an experiment {prefix!r} ({what}), and resume='never' wants a new one: choose another prefix, "
            "for example one that ends with -{n}"
        )
    return before


def _wait_for_first(session: Session) -> Earlier:
    """Return what there is when the process that has just taken the name has begun; it may do so any moment."""
    deadline = time.monotonic() + _FIRST_SECONDS
    before = earlier(session)
    # a name that was taken long ago, and never used, is nobody's first start
    while not before.attempts and _is_fresh(session) and time.monotonic() < deadline:
        time.sleep(_FIRST_POLL)
        before = earlier(session)
    return before


def _is_fresh(session: Session) -> bool:
    try:
        made_ns = os.stat(os.path.join(session.directory, "journal")).st_mtime_ns
    except OSError:
        return False
    return is_recent(made_ns)


def _is_recent_at_server(session: Session) -> bool:
    """Whether another rank has made the experiment that the server has: there are no starts to tell it by."""
    created = created_at_server(session.destination, session.prefix)
    return created is not None and is_recent(created)


def first_beside(session: Session, own: str) -> str:
    """Return the name of the attempt that goes on, where two processes may have started at once without seeing another.

    Each has written its start before it looks: whichever was second sees both.
    """
    channel = session.channel
    if channel is not None and not has_segments(channel.journal, but_of=channel.writer_id):
        return own
    going_on = [
        attempt.name
        for attempt, is_here in _look(session).attempts
        if attempt.name is not None and (is_here or attempt.name == own)
    ]
    return going_on[0] if going_on else own


class _Found(NamedTuple):
    """What is in a journal: attempts, each with whether it goes on in another process of this machine, and so on."""

    attempts: list[tuple[Attempt, bool]]
    rows: int
    starts: tuple[Start, ...]


def _look(session: Session) -> _Found:
    if not has_segments(os.path.join(session.directory, "journal")):
        return _Found([], 0, ())
    with guarded_imports():
        from ml_dash.query.attempts import text_of
        from ml_dash.query.runs import attempts_now, writer_runs

    try:
        with session.written.reading(quietly=True) as index:
            rows = sum(map(index.count, index.series(Kind.METRIC)))
            writers = writer_runs(index)
            attempts, is_alive = attempts_now(writers, stale_after=session.settings.stale_after)
    except (JournalError, OSError):
        return _Found([], 0, ())
    space = process_space()
    starts = tuple(
        Start(time_ns, text_of(row.get("rank")))
        for writer in writers.values()
        for time_ns, row in writer.rows
        if row.get("event") == "start"
    )

    def is_here(opening: Opening) -> bool:
        # of the runs of this process the runtime knows
        is_other = opening.row["pid"] != os.getpid()
        return is_other and opening.row["space"] == space is not None and is_alive(opening)

    return _Found([(attempt, any(map(is_here, attempt.openings))) for attempt in attempts], rows, starts)


def earlier_at_server(session: Session) -> Earlier:
    """Return what the server had when it was reached first; nothing where it was not."""
    record = None if session.upload is None else session.upload.record
    found = [0 if record is None else record.get(name) for name in ("attempts", "rows")]
    attempts, rows = (number if isinstance(number, int) else 0 for number in found)
    return Earlier(attempts, rows)


def goes_on_text(prefix: str, before: Earlier, resume_from: float | None) -> str | None:
    """Return the line that tells of a run with what it goes on; None where that is nothing."""
    if not before.attempts:
        return None
    if resume_from is not None:  # that it goes on is what was asked for
        return f"goes on with {prefix} from step {resume_from}: {_what_there_is(before)}"
    return (
        f"goes on with {prefix}: {_what_there_is(before)}; {{n}} in the prefix makes a new one, "
        'resume="never" refuses'
    )


def _what_there_is(before: Earlier) -> str:
    attempts = "1 earlier attempt" if before.attempts == 1 else f"{before.attempts:,} earlier attempts"
    return f"{attempts}, {'1 row' if before.rows == 1 else f'{before.rows:,} rows'}"
