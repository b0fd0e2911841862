"""`RunStatus` in the places to which a status goes: whoever wrote or printed a string before sees the same."""

import json
import pickle

import msgpack
import msgspec
import pytest

from ml_dash.status import RunStatus


@pytest.mark.parametrize("status", RunStatus)
def test_that_a_status_is_written_like_the_string_that_it_is(status: RunStatus) -> None:
    plain = status.value
    assert type(plain) is str
    assert status == plain
    assert {plain: 1}[status] == 1
    assert [str(status), f"{status}", f"{status:>12}", "%s" % status, repr(status)] == [  # noqa: UP031
        plain,
        plain,
        f"{plain:>12}",
        plain,
        repr(plain),
    ]
    assert json.dumps({"status": status}) == json.dumps({"status": plain})
    assert msgpack.packb(status) == msgspec.msgpack.encode(status) == msgpack.packb(plain)
    assert pickle.loads(pickle.dumps(status)) is status
