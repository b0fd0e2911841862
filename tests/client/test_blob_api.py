"""What a server says of contents is checked before anything is done by it."""

from __future__ import annotations

import pytest

from ml_dash.client.api import Client
from ml_dash.client.blob_api import BlobClient
from ml_dash.errors import RemoteError
from tests.client.canned import Canned, packed

ONE = "1" * 64


def calls(*answers: object) -> BlobClient:
    return BlobClient(Client(Canned(*map(packed, answers))), "exp_1")


async def test_what_is_missing_comes_in_pages() -> None:
    first = {"data": [{"checksum": ONE, "sizeBytes": 7}], "hasMore": True, "cursor": ONE}
    second = {"data": [{"checksum": "2" * 64, "sizeBytes": 8}], "hasMore": False, "cursor": None}
    assert await calls(first, second).all_missing() == {ONE: 7, "2" * 64: 8}


@pytest.mark.parametrize(
    "checksum", ["../../../.ssh/id_rsa", "/etc/passwd", ONE[1:], ONE.replace("1", "A"), 7, None]
)
async def test_a_server_cannot_ask_for_any_other_file_of_this_disk(checksum: object) -> None:
    """A checksum becomes a part of a path, and what lies there is sent: one that is none must not get so far."""
    asked = {"data": [{"checksum": checksum, "sizeBytes": 7}], "hasMore": False, "cursor": None}
    with pytest.raises(RemoteError, match="does not understand"):
        await calls(asked).all_missing()


async def test_a_server_lacks_only_what_it_was_asked_about() -> None:
    with pytest.raises(RemoteError, match="does not understand"):
        await calls({"lacking": ["2" * 64]}).which_missing({ONE: 7})


@pytest.mark.parametrize("part_bytes", [-1, 0, 1, 1000])
async def test_a_server_cannot_ask_for_billions_of_parts(part_bytes: int) -> None:
    answer = {"complete": False, "partBytes": part_bytes, "parts": []}
    with pytest.raises(RemoteError, match="does not understand"):
        await calls(answer).begin(ONE, 5 << 40)
