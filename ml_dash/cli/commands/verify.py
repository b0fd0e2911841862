"""`ml-dash verify`: checks every byte of journals and of files, and repairs journals on demand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ml_dash.cli.arguments import DEFAULT_ROOT, AsJson, Root
from ml_dash.cli.text import count_text, json_text, size_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from ml_dash.cli.blobs import BlobsReport
    from ml_dash.cli.screen import Screen
    from ml_dash.journal.verify import RepairReport, SegmentReport, VerifyReport
    from ml_dash.storage.survey import Located, Survey

__all__ = ["verify"]


_COLUMNS: Sequence[tuple[str, Literal["left", "right"]]] = (
    ("segment", "left"),
    ("frames", "right"),
    ("rows", "right"),
    ("size", "right"),
    ("", "left"),
)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was found in one experiment, and what was done about it where that was asked for."""

    located: Located
    report: VerifyReport | None = None
    repair: RepairReport | None = None
    contents: BlobsReport | None = None
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost; what a running process is writing at this moment is not."""
        sound = self.report is not None and not self.report.damage and not self.torn
        return sound and self.contents is not None and not self.contents.faults

    @property
    def torn(self) -> dict[str, int]:
        """Bytes at the end of files that are no complete frame, and will not become one."""
        from ml_dash.journal.verify import seems_alive

        segments = self.report.segments if self.report else ()
        return {each.path: each.torn for each in segments if each.torn and not seems_alive(each.writer)}


def verify(
    exp: Annotated[
        str,
        typer.Argument(metavar="EXP|ROOT", help="An experiment, or a directory for all that are in it."),
    ] = "",
    *,
    root: Root = DEFAULT_ROOT,
    repair: Annotated[
        bool, typer.Option("--repair", help="Cut out what is bad; the original stays beside, as FILE.torn.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --repair: even where a process seems to be writing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check journals and files, and repair journals on demand.

    Every frame of an experiment's journal and every content of its files is checked, or of all experiments under a
    directory (--root by default).
    Exits with 1 where something is damaged, missing or torn, even if it is repaired at once. A repair cannot
    bring back what is lost: frames that are missing between others are reported by later checks, too.
    """
    from ml_dash.cli.screen import Screen, complain

    meant = _meant(exp, root)
    verdicts = [_check(located, mend=repair, force=force) for located in meant.experiments]
    if as_json:
        print(json_text([_record(each) for each in verdicts], indent=2))  # noqa: T201 - the command's output
    elif verdicts:
        screen = Screen()
        for number, each in enumerate(verdicts):
            _show(screen, each, first=number == 0)
    else:
        complain(f"no experiments under {exp or root!r}")
    for path, reason in meant.refused.items():
        complain(f"Warning: cannot look into {path!r}: {reason}")
    if meant.refused or not all(each.is_sound for each in verdicts):
        raise typer.Exit(1)


def _meant(exp: str, root: str) -> Survey:
    from ml_dash.cli.locate import find_experiment
    from ml_dash.errors import InvalidArgumentError
    from ml_dash.storage.survey import Survey, is_experiment, survey

    if not exp:
        return survey(root)
    try:
        return Survey([find_experiment(exp, root)])
    except InvalidArgumentError:
        # a directory of experiments, such as a root or one owner's
        for directory in (exp, os.path.join(root, exp)):
            if os.path.isdir(directory) and not is_experiment(directory):
                return survey(directory)
        raise


def _check(located: Located, *, mend: bool, force: bool) -> _Verdict:
    from ml_dash.cli.blobs import check_blobs
    from ml_dash.errors import JournalError
    from ml_dash.journal.verify import repair, verify as check

    try:
        report = check(located.journal)
        contents = check_blobs(located)
        if not mend or report.ok:
            return _Verdict(located, report, None, contents)
        return _Verdict(located, report, repair(located.journal, force=force), contents)
    except (JournalError, OSError) as error:
        return _Verdict(located, problem=str(error))


def _record(each: _Verdict) -> dict[str, Any]:
    report = each.report
    return {
        "prefix": each.located.prefix,
        "directory": each.located.directory,
        "ok": each.is_sound,
        "problem": each.problem,
        "frames": report and report.frames,
        "rows": report and report.rows,
        "bytes": report and report.bytes,
        "segments": [segment._asdict() for segment in report.segments] if report else [],
        "damage": [damage._asdict() for damage in report.damage] if report else [],
        "contents": each.contents and each.contents.record(),
        "repaired": [repaired._asdict() for repaired in each.repair.repaired] if each.repair else [],
        "refused": each.repair.refused if each.repair else {},
    }


def _show(screen: Screen, each: _Verdict, *, first: bool) -> None:
    from rich.text import Text

    from ml_dash.cli.screen import table

    word = "unreadable" if each.problem else "sound" if each.is_sound else "damaged"
    verdict = Text(word, "green" if each.is_sound else "red")
    screen.show(Text.assemble("" if first else "\n", (visible(each.located.prefix), "bold"), "  ", verdict))
    if each.problem:
        screen.show(Text(f"  {visible(each.problem)}"))
    if each.report and each.report.segments:
        rows = [_row(each, segment) for segment in each.report.segments]
        screen.show(table(_COLUMNS, rows, indent=2))
    if each.contents and (each.contents.checked or each.contents.elsewhere):
        screen.show(Text(f"  {_blobs_text(each.contents)}"))
    for line in _remarks(each):
        screen.show(Text(f"  {visible(line)}"))


def _row(each: _Verdict, segment: SegmentReport) -> list[str | Text]:
    from rich.text import Text

    states = []
    if any(damage.path == segment.path for damage in each.report.damage) if each.report else False:
        states.append("damaged")
    if segment.torn:
        tail = "torn tail" if segment.path in each.torn else "being written"
        states.append(f"{tail}, {size_text(segment.torn)}")
    name = os.path.basename(segment.path)
    numbers = [f"{segment.frames:,}", f"{segment.rows:,}", size_text(segment.bytes)]
    return [name, *numbers, Text(", ".join(states) or "ok", "red" if states else "green")]


def _blobs_text(contents: BlobsReport) -> str:
    words = f"{count_text(contents.checked, 'content')} of files ok, {size_text(contents.bytes)}"
    if contents.elsewhere:
        words += f"; {contents.elsewhere:,} more at the server only"
    return words


def _remarks(each: _Verdict) -> Iterator[str]:
    """Yield what is wrong, and what was done about it. Files are in the journal's directory."""
    from ml_dash.cli.reading import describe

    if each.report is None:
        return
    for damage in each.report.damage:
        yield describe(damage._replace(path=os.path.basename(damage.path)))
    for path, size in each.torn.items():
        yield f"{os.path.basename(path)}: the last {size:,} bytes are no complete frame"
    for name, reason in each.contents.faults if each.contents else ():
        yield f"{name}: {reason}"
    if each.contents and each.contents.unnamed:
        yield f"{count_text(each.contents.unnamed, 'content')} in files/ that no row names"
    if each.repair:
        yield from _repairs(each.repair)
    elif each.torn or any(damage.length for damage in each.report.damage):
        yield "`ml-dash verify --repair` cuts out what is bad, and keeps the original beside it"


def _repairs(repair: RepairReport) -> Iterator[str]:
    for done in repair.repaired:
        kept = f"{count_text(done.frames_kept, 'frame')} kept, {done.bytes_cut:,} bytes cut out"
        yield f"repaired {os.path.basename(done.path)}: {kept}; the original is {done.original}"
    for path, reason in repair.refused.items():
        yield f"not repaired: {os.path.basename(path)}: {reason}"
