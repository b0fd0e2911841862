"""The calls of the API that send blobs of files."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from ml_dash import shapes
from ml_dash.client.answers import checked, not_understood
from ml_dash.client.api import Client, experiment_path
from ml_dash.client.paging import Pages
from ml_dash.protocol import BLOBS_ASKED_MAX, PARTS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.client.transport import Body

_COMPLETE_SECONDS = 60.0


class Upload(NamedTuple):
    """How far an upload in parts is: whether it is over, bytes a part, and the numbers of those that are there."""

    complete: bool
    part_bytes: int
    parts: frozenset[int]


class BlobClient:
    """The calls about the blobs of one experiment.

    Each method raises `ServerUnavailableError` or `RemoteError`, as those of `Client` do.
    """

    def __init__(self, client: Client, experiment_id: str) -> None:
        self._client = client
        self._id = experiment_id

    async def which_missing(self, blobs: Mapping[str, int]) -> list[str]:
        """Return which of these blobs, by checksum with their sizes, the server does not have."""
        found: list[str] = []
        asked = list(blobs)
        for start in range(0, len(asked), BLOBS_ASKED_MAX):
            some = asked[start : start + BLOBS_ASKED_MAX]
            contents = [{"checksum": checksum, "sizeBytes": blobs[checksum]} for checksum in some]
            answer = await self._client.post(self._path(), {"contents": contents})
            missing = set(checked(self._client.url, answer, shapes.LackingBlobs)["lacking"])
            # what was not asked for could be the path of any file
            if not missing <= set(some):
                raise not_understood(self._client.url, answer, "it was not asked about these")
            found += [checksum for checksum in some if checksum in missing]
        return found

    async def all_missing(self) -> dict[str, int]:
        """Return the blobs that rows of the experiment name and the server does not have, with their sizes."""
        found: dict[str, int] = {}
        pages = Pages(self._client.url)
        while not pages.over:
            query = {"cursor": pages.cursor} if pages.cursor else None
            answer = await self._client.get(self._path("missing"), query)
            # what is no checksum may be the path of any file, which would be sent
            rows = checked(self._client.url, answer, shapes.MissingBlobs)["data"]
            found |= {row["checksum"]: row["sizeBytes"] for row in rows}
            pages.follow(answer, (row["checksum"] for row in rows))
        return found

    async def put(self, checksum: str, body: Body) -> None:
        """Send a blob in one piece."""
        await self._client.put(self._path(checksum), body)

    async def begin(self, checksum: str, size: int) -> Upload:
        """Begin an upload in parts, or go on with it."""
        answer = await self._client.post(self._path(checksum, "upload"), {"sizeBytes": size})
        upload = checked(self._client.url, answer, shapes.Upload)
        part_bytes = upload["partBytes"]
        # A list of all parts is made: of a few bytes each it would fill this machine's memory.
        if not part_bytes or size > part_bytes * PARTS_MAX:
            raise not_understood(self._client.url, upload, f"{size} bytes in more than {PARTS_MAX} parts")
        there = (part for part in upload["parts"] if 0 < part <= -(-size // part_bytes))
        return Upload(upload["complete"], part_bytes, frozenset(there))

    async def put_part(self, checksum: str, number: int, body: Body, digest: bytes) -> None:
        """Send a part, which has this SHA-256; parts are numbered from 1 on."""
        path = self._path(checksum, "parts", str(number))
        # RFC 9530: the server refuses what was damaged on its way before it is stored
        headers = {"Content-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}
        await self._client.put(path, body, headers=headers)

    async def complete(self, checksum: str) -> None:
        """Make the server check the parts, and put them together."""
        await self._client.post(self._path(checksum, "complete"), {}, timeout=_COMPLETE_SECONDS)

    def _path(self, *parts: str) -> str:
        return experiment_path(self._id, "contents", *parts)
