"""Bringing in a source, run by run."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError, InvalidPrefixError, MLDashError
from ml_dash.identity import current_user, parse_prefix
from ml_dash.importers.report import RunReport
from ml_dash.importers.target import NameTakenError, Target
from ml_dash.journal.disk import REAL_DISK
from ml_dash.sdk.directory import check_folding
from ml_dash.storage.file_locks import try_lock
from ml_dash.storage.side_file import strange_side_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.identity import Identity
    from ml_dash.importers.source import Source, SourceRun
    from ml_dash.journal.disk import Disk

DEFAULT_ROOT = ".dash-imported"
"""Not the root of a script: where the public package has written into that, its directories have the same names."""
_LOCK = ".import.lock"


def import_runs(
    source: Source,
    root: str,
    *,
    name: str | None = None,
    disk: Disk = REAL_DISK,
    on_run: Callable[[int, int, str], None] = lambda _number, _count, _place: None,
) -> Iterator[RunReport]:
    """Bring in all runs of a source, one after the other, and yield what has become of each.

    It may be interrupted at any point and run again: what is here is not brought in twice. The source is only read.

    Args:
        source: What is brought in.
        root: Where to, as the `dash_root` of an `Experiment`.
        name: The prefix of the one run that there is; None for each run's own.
        disk: The file system that is written to.
        on_run: Called before each run, with its number from 1 on, how many there are, and where it lies.

    Raises:
        InvalidArgumentError: There is nothing to bring in, a name is given to several runs, or another import is at
            work in that root.
        OSError: It cannot be written there. What was written stays, and the next import goes on behind it.
    """
    runs = list(source.runs())
    if name is not None and len(runs) != 1:
        raise InvalidArgumentError(
            f"--as {name} is a name for one run, and there are {len(runs)}: name the directory of one"
        )
    reports = [RunReport(run.place) for run in runs]
    identities = [_refusing(report, run, root, name) for report, run in zip(reports, runs, strict=True)]
    # Only where something is to be written: the root may be the source's.
    with _held(root) if any(identities) else nullcontext():
        for number, (run, identity, report) in enumerate(zip(runs, identities, reports, strict=True), 1):
            on_run(number, len(runs), run.place)
            if identity is not None:
                try:
                    other = None if name is not None else _other_identity(run, identity)
                    _import_run(run, _target(identity, other, root, run, report, disk), report)
                except MLDashError as error:
                    report.refused = str(error)
            yield report


def _refusing(report: RunReport, run: SourceRun, root: str, name: str | None) -> Identity | None:
    """Return what a run is to be called; None where it cannot be brought in, and the report says why."""
    try:
        identity = _identity(run, name)
        _check_place(identity.directory(root), run.place)
        check_folding(identity, root)
    except MLDashError as error:
        report.refused = str(error)
        return None
    return identity


def _other_identity(run: SourceRun, identity: Identity) -> Identity | None:
    """Return what a run is called where its name is taken; None where it has nothing that tells it apart."""
    if run.short is None:
        return None
    try:
        return parse_prefix(f"{identity.prefix}-{run.short}", user=current_user, now_ns=int)
    except InvalidPrefixError:
        return None


def _target(
    identity: Identity, other: Identity | None, root: str, run: SourceRun, report: RunReport, disk: Disk
) -> Target:
    """Return where a run is brought to: under its own name, or under the other one where that is another's."""
    if other is not None and os.path.isdir(other.directory(root)):
        # it was taken by an earlier import, whoever has it now
        return Target(other, root, _key(run), report, disk=disk)
    try:
        return Target(identity, root, _key(run), report, disk=disk)
    except NameTakenError:
        if other is None:
            raise
        return Target(other, root, _key(run), report, disk=disk)


def _key(run: SourceRun) -> str:
    return run.key or f"{run.prefix} in {os.path.basename(os.path.abspath(run.place))}"


def _import_run(run: SourceRun, target: Target, report: RunReport) -> None:
    report.prefix = target.identity.prefix
    with target:
        described = run.describe(report)
        target.begin(described)
        for part in run.parts(report):
            if left_out := target.left_out[part.name]:
                report.note(
                    report.path_of(part.name),
                    f"{left_out:,} lines or values were left out before, as was told",
                )
            for item in part.items(target, target.positions.get(part.name), report):
                target.put(part.name, item)
        target.end(described.status)


def _identity(run: SourceRun, name: str | None) -> Identity:
    prefix = name or run.prefix
    if prefix is None:
        raise InvalidArgumentError("nothing says what it is called: name it (--as PREFIX)")
    try:
        return parse_prefix(prefix, user=current_user, now_ns=int)
    except InvalidPrefixError as error:
        raise InvalidPrefixError(f"{error}; or import it under another name (--as PREFIX)") from error


def _check_place(directory: str, place: str) -> None:
    """Refuse to write into what is only read."""
    real, source = os.path.realpath(directory), os.path.join(os.path.realpath(place), "")
    if os.path.join(real, "").startswith(source) or strange_side_file(directory, REAL_DISK) is not None:
        raise InvalidArgumentError(
            f"it would be written to {directory!r}, where the source is, which is only read: name another --root"
        )


@contextmanager
def _held(root: str) -> Iterator[None]:
    """Keep another import from writing the same runs at the same time."""
    os.makedirs(root, exist_ok=True)
    path = os.path.join(root, _LOCK)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not try_lock(descriptor):
            raise InvalidArgumentError(
                f"another import writes to {root!r}: wait for its end ({path!r} is locked)"
            )
        yield
    finally:
        os.close(descriptor)
