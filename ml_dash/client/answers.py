"""What a server has answered, decoded and looked at: it may be anybody's, and nothing of it is believed before that."""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec

from ml_dash.client.transport import NotMlDashError
from ml_dash.errors import NEWER
from ml_dash.journal.objects import CONTAINERS_MAX, DEPTH_MAX, check_containers, from_msgpack, is_shallow
from ml_dash.protocol import JSON, MSGPACK
from ml_dash.shapes import Count  # noqa: TC001 - msgspec looks it up
from ml_dash.values.counting import count_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.client.transport import Answer

# a logged value lies some levels deep in a page of rows
_DEPTH_MAX = DEPTH_MAX + 16
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60
_SHOWN.maxlevel = 3
_SHOWN_MAX = 200


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of an answer, without its parameters; empty where it has none."""
    return headers.get("content-type", "").split(";", 1)[0].strip().lower()


def decoded(answer: Answer) -> Any:
    """Return the data in a body of one of the API's media types; None where it is something else.

    What would become many times its size is something else: it is told by its bytes, before they are decoded. So are
    values nested so deep that whoever walks over them would run out of stack.
    """
    kind = media_type(answer.headers)
    try:
        if kind == MSGPACK:
            check_containers(answer.body)
            data = from_msgpack(answer.body)
        elif kind == JSON:
            count_json(answer.body, CONTAINERS_MAX)
            data = json.loads(answer.body)
        else:
            return None
    except (ValueError, RecursionError):
        return None
    return data if is_shallow([data], _DEPTH_MAX) else None


_Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[\w.-]{1,200}\Z")]
"""The id of an experiment, which becomes a part of paths at the server, and of messages."""


class Described(msgspec.Struct, rename="camel"):
    """What is believed of a server's record of an experiment; the rest of it is for people."""

    id: _Id
    status: str | None = None
    readme: str | None = None
    tags: list[str] | None = None
    bindrs: list[str] | None = None
    metadata: dict[Any, Any] | None = None


class Listed(msgspec.Struct):
    """A page of a list of experiments."""

    data: list[Described]


class Introduced(Described, kw_only=True):
    """An experiment that was made known to a server: up to which number it has the frames of each writer."""

    created: bool
    watermarks: dict[str, Count]
    watermarks_cursor: str | None = None
    latest_ns: int | None = None


def checked(url: str, data: Any, shape: type[msgspec.Struct]) -> dict[str, Any]:
    """Return data as they came, if they are an answer of this shape; fields that it does not have are let be.

    Raises:
        NotMlDashError: They are not.
    """
    try:
        msgspec.convert(data, shape)
    except (msgspec.ValidationError, UnicodeError) as error:  # a field's name may hold half a surrogate pair
        raise not_understood(url, data, str(error)) from None
    found: dict[str, Any] = data
    return found


def is_sendable(text: str) -> bool:
    """Say whether a text that came from a server can be a part of a URL: one with half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_understood(url: str, data: Any, why: str) -> NotMlDashError:
    """Return what is said of an answer that makes no sense."""
    return NotMlDashError(
        f"{url} answers {shown(data)}, which this version of ML-Dash does not understand ({why}): here or there, "
        f"{NEWER}"
    )


def shown(data: Any) -> str:
    """Return what a message shows of an answer, however large and deep that is."""
    return _SHOWN.repr(data)[:_SHOWN_MAX]
