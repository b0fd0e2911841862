"""`ml-dash verify`: checks every byte of journals and of files, and repairs journals on demand."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from ml_dash.cli.output import Screen, table
from ml_dash.cli.overview import describe, open_index, status_of
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, Root, find_experiment, strange_hint, survey_all
from ml_dash.cli.text import complain, count_text, print_json, size_text
from ml_dash.errors import InvalidArgumentError, JournalError, MLDashError
from ml_dash.journal.disk import NOT_THERE
from ml_dash.journal.verify import (
    RepairReport,
    SegmentReport,
    VerifyReport,
    repair,
    seems_alive,
    verify as check,
)
from ml_dash.processes import process_space
from ml_dash.query.files import FileQuery, FilesReader, full_name, is_checksum
from ml_dash.query.runs import WriterRuns, is_process_gone, writer_runs
from ml_dash.status import RunStatus
from ml_dash.storage.blobs import Staging, markers
from ml_dash.storage.hashing import checksum_of
from ml_dash.storage.manifest import Manifest
from ml_dash.storage.marks import mark_changed
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.survey import Located, Survey, survey
from ml_dash.storage.unrecovered import missing_of
from ml_dash.visible import visible

_COLUMNS = ("segment", ">frames", ">rows", ">events", ">size", "")


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was found in one experiment, and what was done about it where that was asked for."""

    located: Located
    report: VerifyReport | None = None
    repair: RepairReport | None = None
    blobs: BlobsReport | None = None
    problem: str | None = None
    alive: frozenset[str] = frozenset()  # writers that may be writing now
    missing: tuple[str, ...] = ()  # rows that dead processes may have left in shared memory

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost; what a running process is writing at this moment is not."""
        sound = self.report is not None and not self.report.damage and not self.torn
        return sound and self.blobs is not None and not self.blobs.faults and not self.missing

    @property
    def is_incomplete(self) -> bool:
        """Whether all that is there is right, and rows are not."""
        return bool(self.missing) and replace(self, missing=()).is_sound

    @property
    def is_unread(self) -> bool:
        """Whether something cannot be read, and nothing that can is known to be damaged."""
        if self.report is None or self.problem:
            return True
        faults = self.torn or (self.blobs and self.blobs.faults)
        return bool(self.report.damage) and not faults and all(each.unread for each in self.report.damage)

    @property
    def torn(self) -> dict[str, int]:
        """Bytes at the end of files that are no complete frame, and will not become one."""
        segments = self.report.segments if self.report else ()
        return {each.path: each.torn for each in segments if each.torn and each.writer not in self.alive}


def verify(
    exp: Annotated[
        str,
        typer.Argument(metavar="EXP|ROOT", help="An experiment, or a directory of experiments."),
    ] = "",
    *,
    root: Root = DEFAULT_ROOT,
    repair: Annotated[
        bool, typer.Option("--repair", help="Cut out what is damaged; the original is kept as FILE.torn.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --repair: even if a process seems to be writing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check journals and files, and repair journals on demand.

    Every frame of the journal and every byte of the files is read, of one experiment or of all under a directory
    (--root by default). Rows are those of metrics; events are all that was logged: rows, messages, parameters, files.
    Exit code 1: something is damaged, missing or torn, even if it is repaired at once. A repair cannot bring back
    what is lost: later checks report missing frames again.
    """
    meant = _meant(exp, root)
    verdicts = [_check(located, mend=repair, force=force) for located in meant.experiments]
    if as_json:
        print_json([_record(each) for each in verdicts])
    elif verdicts:
        screen = Screen()
        for number, each in enumerate(verdicts):
            _show(screen, each, first=number == 0)
    else:
        complain(f"no experiments under {exp or root!r}")
    if hint := strange_hint(meant.strange, exp or root):
        complain(f"Note: {hint}")
    for path, reason in meant.refused.items():
        complain(f"Warning: cannot read {path!r}: {reason}")
    if meant.refused or not all(each.is_sound for each in verdicts):
        raise typer.Exit(1)


def _meant(exp: str, root: str) -> Survey:
    if not exp:
        return survey_all(root)
    try:
        return Survey([find_experiment(exp, root)])
    except InvalidArgumentError:
        # a directory of experiments, such as a root or one owner's
        for directory in (exp, os.path.join(root, exp)):
            if os.path.isdir(directory) and not is_experiment(directory):
                return survey(directory)
        raise


def _check(located: Located, *, mend: bool, force: bool) -> _Verdict:
    try:
        report = check(located.journal, disk=located.disk)
        report = replace(report, damage=(*located.odd_entries(), *report.damage))
        # Before the repair, which takes rows out: their blobs would look as if nobody had named them.
        blobs = check_blobs(located)
        runs = writer_runs(open_index(located))
        alive = _alive(runs)
        missing = tuple(missing_of(status_of(runs.values()), dead_only=True))
        if not mend or report.ok:
            return _Verdict(located, report, None, blobs, alive=alive, missing=missing)
        done = repair(located.journal, disk=located.disk, live=alive.__contains__, force=force)
        mark_changed(located.directory)
        return _Verdict(located, report, done, blobs, alive=alive, missing=missing)
    except (JournalError, OSError) as error:
        return _Verdict(located, problem=str(error))


def _alive(runs: Mapping[str, WriterRuns]) -> frozenset[str]:
    """Return the writers that may be writing now."""
    return frozenset(
        writer
        for writer, own in runs.items()
        if (seems_alive(writer) and not is_process_gone(own)) or _runs_elsewhere(own)
    )


def _runs_elsewhere(writer: WriterRuns) -> bool:
    """Whether a run is open in another container or on another machine, whose process numbers mean nothing here."""
    spaces = {fields["space"] for _, fields in writer.rows if isinstance(fields.get("space"), str)}
    run = status_of([writer])
    return bool(spaces - {process_space()}) and run.status == RunStatus.RUNNING and not run.stale


def _record(each: _Verdict) -> dict[str, Any]:
    report = each.report
    return {
        "prefix": each.located.prefix,
        "directory": each.located.directory,
        "ok": each.is_sound,
        "problem": each.problem,
        "frames": report and report.frames,
        "rows": report and report.rows,
        "events": report and report.events,
        "bytes": report and report.bytes,
        "segments": [segment._asdict() for segment in report.segments] if report else [],
        "damage": [damage._asdict() for damage in report.damage] if report else [],
        "missing": list(each.missing),
        "contents": each.blobs and _blobs_record(each.blobs),
        "repaired": [repaired._asdict() for repaired in each.repair.repaired] if each.repair else [],
        "refused": each.repair.refused if each.repair else {},
    }


def _show(screen: Screen, each: _Verdict, *, first: bool) -> None:
    word = "unreadable" if each.is_unread else "sound" if each.is_sound else "damaged"
    word = "incomplete" if each.is_incomplete else word
    verdict = Text(word, "green" if each.is_sound else "red")
    screen.show(Text.assemble("" if first else "\n", (visible(each.located.prefix), "bold"), "  ", verdict))
    if each.problem:
        screen.show(Text(f"  {visible(each.problem)}"))
    if each.report and each.report.segments:
        rows = [_row(each, segment) for segment in each.report.segments]
        screen.show(table(_COLUMNS, rows, indent=2))
    if each.blobs and (each.blobs.checked or each.blobs.elsewhere):
        words = f"contents of files: {each.blobs.checked:,} ok, {size_text(each.blobs.bytes)}"
        if each.blobs.elsewhere:
            words += f"; {each.blobs.elsewhere:,} more at the server only"
        screen.show(Text(f"  {words}"))
    for line in _remarks(each):
        screen.show(Text(f"  {visible(line)}"))


def _row(each: _Verdict, segment: SegmentReport) -> list[str | Text]:
    states = []
    found = (
        [damage.unread for damage in each.report.damage if damage.path == segment.path] if each.report else []
    )
    if found:
        states.append("cannot be read" if all(found) else "damaged")
    if segment.torn:
        tail = "torn tail" if segment.path in each.torn else "being written"
        states.append(f"{tail}, {size_text(segment.torn)}")
    # Names only: the heading says which experiment, and the window is narrow.
    name = os.path.basename(segment.path)
    counts = [f"{number:,}" for number in (segment.frames, segment.rows, segment.events)]
    return [
        name,
        *counts,
        size_text(segment.bytes),
        Text(", ".join(states) or "ok", "red" if states else "green"),
    ]


def _remarks(each: _Verdict) -> Iterator[str]:
    """Yield what is wrong, and what was done about it. Files are in the journal's directory."""
    if each.report is None:
        return
    for damage in each.report.damage:
        yield describe(damage._replace(path=os.path.basename(damage.path)))
    for path, size in each.torn.items():
        yield f"{os.path.basename(path)}: the last {size:,} bytes are not a complete frame"
    for name, reason in each.blobs.faults if each.blobs else ():
        yield f"{name}: {reason}"
    yield from each.missing
    if each.blobs and each.blobs.unnamed:
        yield f"{count_text(each.blobs.unnamed, 'blob')} in files/ that no file has"
    if each.repair:
        for done in each.repair.repaired:
            kept = f"{count_text(done.frames_kept, 'frame')} kept, {done.bytes_cut:,} bytes cut out"
            yield f"repaired {os.path.basename(done.path)}: {kept}; the original is {done.original}"
        for path, reason in each.repair.refused.items():
            yield f"not repaired: {os.path.basename(path)}: {reason}"
    elif each.torn or any(damage.length and not damage.unread for damage in each.report.damage):
        yield "`ml-dash verify --repair` cuts out what is damaged, and keeps the original"


class BlobsReport(NamedTuple):
    """What was found of the blobs, which are the contents of files."""

    checked: int = 0  # blobs that were read, and are right
    bytes: int = 0  # in these
    faults: tuple[tuple[str, str], ...] = ()  # what is wrong with the others, by the names of their files
    elsewhere: int = 0  # blobs that are not on this disk, and that a server has
    unnamed: int = 0  # blobs on this disk that no row names


def _blobs_record(blobs: BlobsReport) -> dict[str, Any]:
    faults = [{"file": name, "reason": reason} for name, reason in blobs.faults]
    return {**blobs._asdict(), "faults": faults}


def check_blobs(located: Located) -> BlobsReport:
    """Read every blob that a row names, those of deleted files and older versions too.

    A missing blob is a fault, unless a server has it: an experiment that is sent somewhere keeps a marker for each blob
    that has not arrived.
    """
    index = open_index(located)
    rows = FilesReader().table(index).rows(FileQuery(versions=True, deleted=True))
    staging = Staging(located.directory)
    named = {(row["checksum"], row["sizeBytes"]): full_name(row) for row in reversed(rows)}
    checked = size = elsewhere = 0
    faults: list[tuple[str, str]] = []
    is_sent = any(Manifest(located.directory, disk=located.disk).meant_for().values()) if named else False
    try:
        pending = {marker.checksum for marker in markers(located.directory, disk=located.disk)}
    except OSError as error:
        pending = {checksum for checksum, _ in named}
        faults.append(("files/unsent", f"what is still to be sent is not known: {error}"))
    for (checksum, wanted), name in named.items():
        path = staging.path_of(checksum)
        if is_sent and checksum not in pending and not _is_there(path):
            elsewhere += 1
        elif reason := _fault(located, path, checksum, wanted):
            faults.append((name, reason))
        else:
            checked, size = checked + 1, size + wanted
    found = set(_stored(located))
    # Rows that cannot be read may name the others.
    unnamed = 0 if index.unreadable else len(found - {checksum for checksum, _ in named})
    return BlobsReport(checked, size, tuple(faults), elsewhere, unnamed)


def _is_there(path: str) -> bool:
    """Whether there is a file; OSError where nobody can tell."""
    try:
        os.lstat(path)
    except NOT_THERE:
        return False
    return True


def _fault(located: Located, path: str, checksum: str, size: int) -> str | None:
    if not _is_there(path):
        return f"its contents are missing ({path})"
    try:
        found = checksum_of(path, opener=located.disk.open)
    except MLDashError as error:
        return str(error)
    if found.size != size:
        return f"its contents have {found.size:,} bytes instead of {size:,} ({path})"
    return None if found.checksum == checksum else f"its contents are damaged ({path})"


def _stored(located: Located) -> Iterator[str]:
    """Yield the checksums of the blobs that lie in an experiment's directory."""
    files, disk = os.path.join(located.directory, "files"), located.disk
    # What cannot be listed is told of by the files whose blobs should be there.
    with contextlib.suppress(OSError):
        # Blobs lie in directories by the first two digits of their checksums; what else is here is no blob, or not yet.
        for name in [name for name in disk.list(files) if len(name) == 2]:
            with contextlib.suppress(OSError):
                yield from filter(is_checksum, disk.list(os.path.join(files, name)))
