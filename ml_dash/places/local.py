"""A local root, asked what `Place` says: its summaries answer, and no row is read for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.notices import warn_user
from ml_dash.query.listing.binding import bind, bind_order
from ml_dash.query.listing.filters import parse
from ml_dash.storage.summaries.asking import found, listed_of, unreadable
from ml_dash.storage.summaries.root import RootIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.storage.summaries.store import Store


class LocalPlace:
    """A directory of journals; of the user's own, so that links in it are followed."""

    def __init__(self, root: str, *, stale_after: float) -> None:
        self._root = root
        self._stale_after = stale_after

    @property
    def name(self) -> str:
        """See `Place`."""
        return self._root

    def find(
        self, filter: str = "", order: str | None = None, limit: int | None = None
    ) -> Iterator[ListedExperiment]:
        """See `Place`. Of directories and journals that cannot be read a warning tells, and the others are found."""

        def asked(store: Store) -> list[tuple[int, str]]:
            bound = bind(parse(filter), store.names).checked()
            by = None if order is None else bind_order(order, store.names)
            return [(each.id, each.path) for each in found(index, bound, by, limit=limit)]

        index = RootIndex(self._root, self._stale_after, is_own=True)
        try:
            refused = index.look().refused
            with index.reading():
                broken = {each.prefix: str(each.failure) for each in unreadable(index)}
            _tell_of("what is in {} is not listed", refused)
            _tell_of(
                "the journal of {} cannot be read, and what filters and tables ask of it is not known", broken
            )
            for id_, path in index.ask(asked):
                with index.reading():
                    listed = listed_of(index, id_, path)
                if listed is not None:  # gone meanwhile, by the look of another process
                    yield listed
        finally:
            index.close()


def _tell_of(what: str, reasons: Mapping[str, str]) -> None:
    if reasons:
        name, reason = next(iter(reasons.items()))
        more = f"; and {len(reasons) - 1:,} more" if len(reasons) > 1 else ""
        warn_user(f"{what.format(repr(name))}: {reason}{more}", UserWarning)
