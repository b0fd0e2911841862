"""Arguments and fields: what is wrong with one is told with its name, its value and what to give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec import Meta, Struct

from ml_dash.series import Kind
from ml_dash.server.errors import ApiError
from ml_dash.server.http.query_args import Query, checked, field_types, read_query
from ml_dash.shapes import NewSession, NewToken


class Asked(Query):
    limit: Annotated[int, Meta(ge=0, le=10)] = 5
    since: float | None = None
    deleted: bool = False
    name: Annotated[str, Meta(max_length=3)] | None = None
    status: Literal["RUNNING", "FAILED"] | None = None
    kind: Kind | None = None
    tag: tuple[str, ...] = ()


class Needed(Query):
    field: Annotated[str, Meta(extra={"remedy": "give the name of a field"})]


def read(query: str, shape: type[Any] = Asked) -> Any:
    return read_query(make_mocked_request("GET", f"/?{query}"), shape)


def refused(query: str, shape: type[Any] = Asked) -> str:
    with pytest.raises(ApiError) as caught:
        read(query, shape)
    assert (caught.value.status, caught.value.code) == (400, "invalid")
    return caught.value.message


def test_arguments_become_what_their_route_takes() -> None:
    assert read("") == Asked()
    given = read("limit=7&since=-1.5e3&deleted=true&name=abc&status=FAILED&kind=2&tag=a&tag=b")
    assert given == Asked(
        limit=7, since=-1500.0, deleted=True, name="abc", status="FAILED", kind=Kind.TRACK, tag=("a", "b")
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=11", "limit=11: give a whole number from 0 to 10"),
        ("limit=-1", "limit='-1': give a whole number from 0 to 10"),
        ("limit=1.0", "limit='1.0': give a whole number from 0 to 10"),
        ("since=nan", "since='nan': give a finite number"),
        ("since=1_000", "since='1_000': give a finite number"),
        ("deleted=yes", "deleted='yes': give true or false"),
        ("name=abcd", "name='abcd': give a text of at most 3 characters"),
        ("status=running", "status='running': give one of FAILED, RUNNING"),
        (
            "kind=10",
            (
                "kind=10: give one of 1 (metric), 2 (track), 3 (log), 4 (params), 5 (run), 6 (file), "
                "7 (environment), 8 (console), 9 (alert)"
            ),
        ),
        ("name=a&name=b", "name='b': it is given twice: give it once"),
        (
            "nam=a",
            "nam='a': this path has no such argument: give limit, since, deleted, name, status, kind, tag",
        ),
    ],
)
def test_an_argument_that_is_not_allowed_is_named_with_its_value_and_the_remedy(
    query: str, message: str
) -> None:
    assert refused(query) == message


def test_an_argument_that_is_needed_or_not_known_at_all() -> None:
    assert refused("", Needed) == "field=None: give the name of a field"
    assert refused("a=1", Query) == "a='1': this path has no such argument: give none"


def check(values: dict[str, Any], shape: type[Struct]) -> str:
    with pytest.raises(ApiError) as caught:
        checked(values, shape)
    return caught.value.message


def test_fields_of_a_body_are_told_like_arguments_and_secrets_are_not_shown() -> None:
    assert checked({"name": "n", "expiresIn": None}, NewToken) == NewToken(name="n")
    assert check({"name": "n", "expiresIn": "3"}, NewToken) == (
        "expiresIn='3': give a number of seconds, or null"
    )
    assert check({"name": "n", "admin": 1}, NewToken) == "admin=1: give true or false"
    assert check({}, NewToken) == "name=None: give 1 to 255 printable characters"
    assert check({"name": "n", "grants": {}}, NewToken) == (
        "grants={}: give a list, each an object of owner and scope"
    )
    assert check({"token": 12345}, NewSession) == "token='…': send one object with a text of this name"


@pytest.mark.parametrize("field", field_types(Asked))
@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"\ud800": 1}, {"a": "\ud800"}], ids=ascii)
def test_half_a_surrogate_pair_where_no_text_belongs_is_refused_like_anything_else(
    field: str, value: Any
) -> None:
    """In JSON it is an escape like others, and msgspec, which checks types, cannot write it down."""
    if (field, type(value)) in {("name", str), ("tag", list)}:
        assert getattr(checked({field: value}, Asked), field) == (tuple(value) if field == "tag" else value)
        return
    with pytest.raises(ApiError) as caught:
        checked({field: value}, Asked)
    assert (caught.value.status, caught.value.code) == (400, "invalid")
