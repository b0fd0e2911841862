"""A server, asked what `Place` says: it filters and sorts by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.client import listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call
    from ml_dash.query.listing.listed import ListedExperiment


class RemotePlace:
    """The experiments of a server that its token may read."""

    def __init__(self, client: Client, call: Call) -> None:
        self._client = client
        self._call = call

    @property
    def name(self) -> str:
        """See `Place`."""
        return self._client.url

    def find(
        self, filter: str = "", order: str | None = None, limit: int | None = None
    ) -> Iterator[ListedExperiment]:
        """See `Place`."""
        return listing.find(self._client, self._call, filter, order, limit)
