"""What is asked of a place, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.query.listing.listed import ListedExperiment


class Place(Protocol):
    """A local root, or a server."""

    @property
    def name(self) -> str:
        """The root's path, or the server's URL."""

    def find(
        self, filter: str = "", order: str | None = None, limit: int | None = None
    ) -> Iterator[ListedExperiment]:
        """Yield the experiments that a filter asks for, as of now; they are read as they are taken.

        Args:
            filter: See `ml_dash.query.listing.filters`.
            order: By what they are sorted, see `ml_dash.query.listing.binding.bind_order`; None for the newest first.
            limit: How many at most; None for all.

        Raises:
            InvalidFilterError: Filter or order cannot be understood.
            InvalidArgumentError: There is no such root.
            ServerUnavailableError: The server cannot be reached.
            RemoteError: It refuses, or is too old to be asked so.
        """
