"""A server, asked what `Place` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash import shapes
from ml_dash.client.answers import checked
from ml_dash.client.api import experiment_path
from ml_dash.client.paging import Pages
from ml_dash.client.transport import ServerError
from ml_dash.client.view import RemoteView
from ml_dash.places.choosing import chosen
from ml_dash.protocol import API, LISTED_MAX
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.times import iso_ns
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call


_TOLD = (
    *("id", "prefix", "owner", "project", "folder", "name", "readme", "note", "metadata", "status", "stale"),
    *("host", "error", "attempts", "rows", "problem"),
)
"""What a record says as it is."""


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
        listed = (self._complete(each) for each in self._records())
        return chosen([each for each in listed if each is not None], filter, order, limit)

    def _records(self) -> Iterator[dict[str, Any]]:
        pages = Pages(self._client.url)
        while not pages.over:
            query = {"limit": str(LISTED_MAX), **({"cursor": pages.cursor} if pages.cursor else {})}
            answer = self._call(self._client.get(f"{API}/experiments", query))
            records = checked(self._client.url, answer, shapes.Experiments)["data"]
            yield from records
            pages.follow(answer, [each["id"] for each in records])

    def _complete(self, record: Mapping[str, Any]) -> ListedExperiment | None:
        """Return a record with parameters and metrics; None where it was deleted meanwhile."""
        id_ = str(record["id"])
        view = RemoteView(self._client, self._call, lambda: id_, record["prefix"])
        try:
            record = checked(
                self._client.url, self._call(self._client.get(experiment_path(id_))), shapes.Experiment
            )
            metrics = {
                each["name"]: view.summaries(Series(Kind.METRIC, each["name"])) for each in view.metrics()
            }
            return listed(record, self.name, params=view.params(), metrics=metrics, best=view.definitions())
        except ServerError as error:
            if error.status not in {404, 410}:
                raise
            return None


def listed(record: Mapping[str, Any], place: str, **more: Any) -> ListedExperiment:
    """Return a server's record as lists have it."""
    told: dict[str, Any] = {name: record.get(name) for name in _TOLD}
    return ListedExperiment(
        **told,
        place=place,
        tags=tuple(record["tags"]),
        bindrs=tuple(record["bindrs"]),
        created_ns=iso_ns(record["createdAt"]),
        started_ns=iso_ns(record["startedAt"]),
        ended_ns=iso_ns(record["endedAt"]),
        active_ns=iso_ns(record["lastActivity"]),
        **more,
    )
