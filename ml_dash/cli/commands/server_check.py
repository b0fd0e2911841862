"""`ml-dash server check`: whether a server's database and its blob store belong together, and what is amiss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ml_dash.cli.output import Screen, table
from ml_dash.cli.select import AsJson
from ml_dash.cli.text import complain, count_text, print_json, size_text
from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.server.settings import DEFAULT_DATA, ServerSettings

if TYPE_CHECKING:
    from ml_dash.server.blobs.report import StoreReport
    from ml_dash.server.db.database import Database

Data = Annotated[str, typer.Option("--data", metavar="DIR", help="The server's data directory.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="URL", help="The server's database, if not in --data.", show_default=False
    ),
]
_SHOWN = 20


def check(
    *,
    data: Data = DEFAULT_DATA,
    database: DatabaseUrl = None,
    blobs: Annotated[
        str | None,
        typer.Option(
            "--blobs", metavar="URL", help="The server's blob store, if not in --data.", show_default=False
        ),
    ] = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Make the store this database's. Nothing is removed from it yet.")
    ] = False,
    recover: Annotated[
        bool, typer.Option("--recover", help="Bring back from the trash what the database names.")
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="What the database does not name may be removed: it is the right one."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that a server's database and its blob store belong together.

    Tells what is missing and what nobody names; changes nothing without --adopt, --recover or --confirm. A server may
    run meanwhile. The exit code is 1 where something is missing, or is to be decided.
    """
    settings = ServerSettings(data=data, database=database, blobs=blobs)
    with open_database(settings) as opened:
        report = _checked(opened, settings, adopt=adopt, recover=recover, confirm=confirm)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _show(report)
    if not report.is_sound:
        raise typer.Exit(1)


@contextmanager
def open_database(settings: ServerSettings) -> Iterator[Database]:
    """Open the database of a server that exists.

    Raises:
        InvalidArgumentError: There is none.
    """
    try:
        from ml_dash.server.db.database import Database
    except ModuleNotFoundError as error:
        raise MissingExtraError("ml-dash server", error.name or "sqlalchemy", "server") from error

    url = settings.database_url
    # opening would make an empty database, which is of no use to any server
    path = url.removeprefix("sqlite:///")
    if path != url and not os.path.isfile(path):
        raise InvalidArgumentError(
            f"there is no database of a server at {path!r}: name its data directory by --data, or start "
            "`ml-dash server` there first"
        )
    opened = Database.open(url)
    try:
        yield opened
    finally:
        opened.close()


def _checked(
    database: Database, settings: ServerSettings, *, adopt: bool, recover: bool, confirm: bool
) -> StoreReport:
    # not at the top: what the extra `server` installs is missing for most users, who must still get the help
    from ml_dash.server.blobs.keeper import StoreKeeper
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.blobs.report import bring_back_missing, check_store
    from ml_dash.server.telemetry import Telemetry

    objects = ObjectStore(settings.blobs_url, make=False)
    keeper = StoreKeeper(database, objects, SYSTEM_CLOCK, Telemetry())

    def look() -> StoreReport:
        return check_store(database, objects, keeper, SYSTEM_CLOCK, settings.orphan_age)

    if adopt and not keeper.is_own():
        keeper.adopt()
        complain("The store is this database's now.")
    report = look()
    if recover:
        if not keeper.is_own():
            raise InvalidArgumentError("--recover: the store is not this database's: --adopt comes first")
        complain(f"{count_text(bring_back_missing(objects, report), 'object')} brought back from the trash.")
    if confirm:
        keeper.confirm()
        complain("Confirmed: what the database does not name goes into the trash within an hour or two.")
    return look() if recover or confirm else report


def _show(report: StoreReport) -> None:
    trashed = sum(each.trashed is not None for each in report.missing)
    screen = Screen()
    facts = [
        ("store", report.store),
        ("belongs to", _belonging(report)),
        ("removing", "yes" if report.held is None else f"no: {report.held}"),
        ("named", f"{count_text(report.named, 'object')} by the database"),
        ("missing", f"{len(report.missing):,}" + (f", {trashed:,} of them in the trash" if trashed else "")),
        ("orphaned", f"{count_text(report.orphaned, 'object')} ({size_text(report.orphaned_bytes)})"),
        ("recent", f"{count_text(report.recent, 'object')} whose rows may be on their way"),
        ("in the trash", f"{count_text(report.trashed, 'object')} ({size_text(report.trashed_bytes)})"),
        ("not ML-Dash's", _strangers(report)),
    ]
    screen.show(table(["", ""], facts, header=False))
    if report.missing:
        lacking = [
            [each.name, each.of, "in the trash" if each.trashed else "lost"] for each in report.missing
        ]
        screen.show("", table(["missing", "of", ""], lacking[:_SHOWN]))
        if len(lacking) > _SHOWN:
            complain(f"… and {len(lacking) - _SHOWN} more; --json has all")
    for line in _advice(report, trashed):
        complain(line)


def _belonging(report: StoreReport) -> str:
    if report.store_id is None:
        return "nobody: it has no identity"
    if report.store_id == report.database_id:
        return f"this database ({report.store_id})"
    return f"another database ({report.store_id}; this one {report.database_id or 'has no id'})"


def _strangers(report: StoreReport) -> str:
    if not report.strangers:
        return "0"
    more = ", …" if report.strangers > len(report.examples) else ""
    return f"{report.strangers:,}, which are never touched: {', '.join(report.examples)}{more}"


def _advice(report: StoreReport, trashed: int) -> Iterator[str]:
    if report.store_id is None or report.store_id != report.database_id:
        yield (
            "If this is the store of this database, all the same: --adopt makes it so. A server that uses it goes on, "
            "and nothing is removed."
        )
        return
    if trashed:
        yield "--recover brings back what is in the trash and missing."
    if report.held is None:
        return
    if report.unknown:
        yield (
            f"{count_text(report.unknown, 'object')} of experiments that the database does not have: if it was "
            "restored from a backup, let those who have the journals run `ml-dash sync` first; if another server uses "
            "this store, give one of the two a store of its own, and do not confirm."
        )
    yield (
        "--confirm says that the database is the right one, and that no other server uses the store: what nobody names "
        "goes into the trash then."
    )
