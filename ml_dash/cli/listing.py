"""The experiments of roots or of a server, as `ml-dash ls` lists them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ml_dash.cli.overview import Overview, overview_of
from ml_dash.cli.progress import Counter
from ml_dash.cli.text import value_text
from ml_dash.places.choosing import chosen
from ml_dash.query.listing.binding import bind, bind_name, bind_order, value_of
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.listing.naming import TIMES, KnownNames, ParamTarget, RecordTarget, Target, title_of
from ml_dash.query.times import duration_text, iso_time
from ml_dash.settings import Settings
from ml_dash.storage.summaries.asking import records, selected_records, unreadable
from ml_dash.storage.summaries.records import Record
from ml_dash.storage.summaries.root import RootIndex
from ml_dash.storage.summaries.store import Store


@dataclass(frozen=True)
class Line:
    """An experiment in a list.

    Attributes:
        place: The root or the URL that it is in.
        overview: What its journal says, of one on this disk.
        listed: What a filter may ask for; None where nothing was asked that needs it.
    """

    place: str
    overview: Overview | None = None
    listed: ListedExperiment | None = None

    @property
    def prefix(self) -> str:
        """What it is called."""
        return self.overview.located.prefix if self.overview else self._listed.prefix

    @property
    def label(self) -> str:
        """Its status in a word."""
        if self.overview is not None:
            return self.overview.label
        if self._listed.stale:
            return "STALE"
        return self._listed.status or ("UNKNOWN" if self._listed.ended_ns is not None else "NOT STARTED")

    @property
    def rows(self) -> int:
        """Rows of its metrics."""
        return self.overview.rows if self.overview else self._listed.rows

    @property
    def metrics(self) -> int:
        """How many metrics it has."""
        return self.overview.metrics if self.overview else len(self._listed.metrics)

    @property
    def bytes(self) -> int | None:
        """The size of its journal, where that is on this disk."""
        return self.overview.bytes if self.overview else None

    @property
    def active_ns(self) -> int:
        """When its last row came; 0 where none has."""
        if self.overview is not None:
            return (self.overview.run and self.overview.run.last_activity) or 0
        return self._listed.active_ns or 0

    @property
    def problem(self) -> str | None:
        """Why it cannot be read."""
        return self.overview.problem if self.overview else self._listed.problem

    @property
    def _listed(self) -> ListedExperiment:
        if self.listed is None:
            raise RuntimeError("an experiment without anything that is known of it")
        return self.listed


@dataclass
class Listing:
    """What was found.

    Attributes:
        lines: The experiments, in order.
        refused: Why directories could not be looked into, by path.
        strange: Directories of another program, see `ml_dash.storage.survey`, by root.
    """

    lines: list[Line] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    strange: list[tuple[str, Sequence[str]]] = field(default_factory=list)


def list_roots(
    roots: Sequence[str], filter: str, order: str | None, limit: int | None, *, needs_all: bool
) -> Listing:
    """List what is under roots.

    Args:
        roots: Directories; there must be one.
        filter: See `ml_dash.query.listing.filters`.
        order: See `ml_dash.query.listing.binding.bind_order`; None for any.
        limit: How many at most; None for all.
        needs_all: Whether parameters and metrics are needed, which a plain list does not read.
    """
    listing = Listing()
    is_asked = bool(filter or order or limit is not None or needs_all)
    # names of several roots are known together, and not one by one
    is_single = len(roots) == 1
    found: list[tuple[Overview, ListedExperiment]] = []
    unread: list[Line] = []

    def asked(index: RootIndex, store: Store) -> list[tuple[Record, ListedExperiment]]:
        if not is_single:
            return selected_records(index, bind(parse(""), store.names), None)
        bound = bind(parse(filter), store.names).checked()
        by = None if order is None else bind_order(order, store.names)
        return selected_records(index, bound, by, limit=limit)

    for root in roots:
        with closing(RootIndex(root, Settings.from_environment().stale_after)) as index:
            with Counter("journals read") as counter:
                look = index.look(progress=counter.show)
            listing.refused |= look.refused
            listing.strange.append((root, look.strange))
            if not is_asked:
                everything = index.ask(partial(_without_tables, records, index))
                listing.lines += [Line(root, overview_of(each)) for each in everything]
                continue
            pairs = index.ask(partial(asked, index))
            found += [(overview_of(record), listed) for record, listed in pairs]
            gone = index.ask(partial(_without_tables, unreadable, index))
            unread += [Line(root, overview_of(each)) for each in gone]
    if not is_asked:
        return listing
    overviews = {(listed.place, listed.prefix): overview for overview, listed in found}
    shown = [listed for _, listed in found]
    if not is_single:
        shown = list(chosen(shown, filter, order, limit))
    listing.lines = [Line(each.place, overviews[each.place, each.prefix], each) for each in shown]
    # of one that cannot be read nothing can be asked: it is listed where nothing is
    if not filter:
        seen = {(each.place, each.prefix) for each in shown}
        listing.lines += [line for line in unread if (line.place, line.prefix) not in seen]
    return listing


def _without_tables(
    question: Callable[[RootIndex], list[Record]], index: RootIndex, _: Store
) -> list[Record]:
    """Ask a question that finds the tables by itself."""
    return question(index)


def list_server(url: str, filter: str, order: str | None, limit: int | None) -> Listing:
    """List what a server has that this token may read."""
    from ml_dash.cli.remote import open_line
    from ml_dash.places.remote import RemotePlace

    with open_line(url, named=True) as (client, call):
        found = list(RemotePlace(client, call).find(filter, order, limit))
    return Listing([Line(client.url, None, each) for each in found])


class Columns:
    """Further columns of a list, called what a filter calls them."""

    def __init__(self, wanted: Sequence[str], lines: Sequence[Line]) -> None:
        listed = [line.listed for line in lines if line.listed is not None]
        names = KnownNames(listed)
        self._now = time.time_ns()
        self._targets: dict[str, Target | None] = {}
        for name in (part.strip() for text in wanted for part in text.split(",")):
            if name == "params":
                self._targets |= {f"params.{each}": ParamTarget(each) for each in names.params()}
            elif name == "metrics":
                self._targets |= {
                    title_of(*each): bind_name(title_of(*each), names) for each in names.fields()
                }
            elif name:
                self._targets[name] = bind_name(name, names)

    @property
    def titles(self) -> list[str]:
        """What they are called; numbers are aligned to the right."""
        return [
            title if isinstance(target, RecordTarget) else f">{title}"
            for title, target in self._targets.items()
        ]

    def cells(self, line: Line) -> list[str]:
        """Return the cells of an experiment."""
        return [self._cell(target, line.listed) for target in self._targets.values()]

    def _cell(self, target: Target | None, listed: ListedExperiment | None) -> str:
        value: Any = None
        if listed is not None and target is not None:
            value = value_of(target, listed, self._now)
            if isinstance(target, ParamTarget):  # as it was set, and not as it is compared
                value = listed.params.get(target.name)
        if value is None:
            return "-"
        if isinstance(target, RecordTarget):
            if target.key in TIMES:
                return iso_time(value)
            if target.key == "duration":
                return duration_text(int(value * 1e9))
        return ", ".join(map(str, value)) if isinstance(value, tuple) else value_text(value)


def known_record(listed: ListedExperiment) -> dict[str, Any]:
    """Return what is known of an experiment for programs, besides what its journal says."""
    return {
        "id": listed.id,
        "owner": listed.owner,
        "project": listed.project,
        "folder": listed.folder,
        "name": listed.name,
        "tags": list(listed.tags),
        "bindrs": list(listed.bindrs),
        "readme": listed.readme,
        "note": listed.note,
        "metadata": listed.metadata,
        "attempts": listed.attempts,
        "createdAt": None if listed.created_ns is None else iso_time(listed.created_ns),
        "params": dict(listed.params),
        "values": {
            title_of(metric, name): summary.to_json()
            for metric, fields in listed.metrics.items()
            for name, summary in fields.items()
        },
        "best": {title_of(*of): best for of, best in listed.best.items()},
    }
