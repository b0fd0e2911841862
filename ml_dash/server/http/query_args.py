"""A request's arguments: each is checked against what its route takes, and none is ignored."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, inspect

from ml_dash.protocol import CLOCK_HEADER, INDEX_MAX, ErrorCode
from ml_dash.query.files import is_checksum
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from aiohttp import web
    from msgspec.structs import FieldInfo

S = TypeVar("S", bound=Struct)


class Query(Struct):
    """The arguments of a route, by name. A tuple's may be given more than once, all others once."""


class FieldType(NamedTuple):
    """A field of a struct: what it takes, and the type of that."""

    info: FieldInfo
    type: inspect.Type
    extra: dict[str, Any]


def invalid(name: str, value: object, remedy: str) -> ApiError:
    """Return the answer to an argument, or a field, that is not allowed."""
    return ApiError(400, ErrorCode.INVALID, f"{name}={value!r:.200}: {remedy}", field=name, remedy=remedy)


def valid_checksum(name: str, text: str) -> str:
    """Return a SHA-256 that a request gives under this name.

    Raises:
        ApiError: 400: it is invalid.
    """
    if not is_checksum(text):
        raise invalid(name, text, "give a SHA-256 in 64 lower-case hexadecimal digits")
    return text


def read_query(request: web.Request, shape: type[S]) -> S:
    """Return a request's arguments.

    Raises:
        ApiError: 400: one is not known, given twice, missing or not allowed.
    """
    fields = field_types(shape)
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        field = fields.get(name)
        if field is None:
            remedy = f"give {', '.join(fields)}" if fields else "give none"
            raise invalid(name, value, f"this path has no such argument: {remedy}")
        if isinstance(field.type, inspect.VarTupleType):
            values.setdefault(name, []).append(value)
        elif name in values:
            raise invalid(name, value, "it is given twice: give it once")
        else:
            values[name] = _parsed(value, field.type)
    return checked(values, shape)


def checked(values: dict[str, Any], shape: type[S]) -> S:
    """Return the struct of these values, by their names in JSON.

    It is made field by field, so that an error can name the field and show its value, and not only its type.

    Raises:
        ApiError: 400: a value is missing or not allowed.
    """
    found: dict[str, Any] = {}
    for name, field in field_types(shape).items():
        value = values.get(name)
        if name not in values:
            if field.info.required:
                raise invalid(name, None, remedy(field))
            continue
        try:
            found[field.info.name] = msgspec.convert(value, field.info.type)
        except (msgspec.ValidationError, UnicodeError):
            # of half a surrogate pair where no text belongs, msgspec cannot even say what is wrong
            raise invalid(name, "…" if field.extra.get("secret") else value, remedy(field)) from None
    return shape(**found)


@cache
def field_types(shape: type[Struct]) -> dict[str, FieldType]:
    """Return a struct's fields, by their names in JSON."""
    infos = {info.name: info for info in msgspec.structs.fields(shape)}
    described = inspect.type_info(shape)
    if not isinstance(described, inspect.StructType):
        raise TypeError(f"{shape!r} is not a struct")
    return {field.encode_name: FieldType(infos[field.name], *_bare(field.type)) for field in described.fields}


def _bare(described: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return a type without the null that stands for its absence, and the `extra` of its `Meta`."""
    extra: dict[str, Any] = {}
    while True:
        if isinstance(described, inspect.Metadata):
            extra |= described.extra or {}
            described = described.type
        elif isinstance(described, inspect.UnionType):
            rest = [each for each in described.types if not isinstance(each, inspect.NoneType)]
            if len(rest) != 1:
                return described, extra
            described = rest[0]
        else:
            return described, extra


def _parsed(text: str, described: inspect.Type) -> Any:
    """Return what a text in a URL stands for; the text itself where it does not stand for such a value."""
    # not msgspec's lax mode, which takes more spellings than the document allows
    if isinstance(described, (inspect.IntType, inspect.EnumType)):
        return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else text
    if isinstance(described, inspect.BoolType):
        return {"true": True, "false": False}.get(text, text)
    if isinstance(described, inspect.FloatType):
        return _number(text)
    return text


def _number(text: str) -> float | str:
    # Python also takes 1_000, and digits of other scripts
    if len(text) > 64 or not text.isascii() or "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def remedy(field: FieldType) -> str:
    """Return what to tell a person to give."""
    own: str | None = field.extra.get("remedy")
    return own or f"give {_expected(field.type)}"


def _expected(described: inspect.Type) -> str:
    described, _ = _bare(described)
    text = "an object"
    match described:
        case inspect.StrType(min_length=least, max_length=most) if most is not None:
            text = f"{least} to {most} characters" if least else f"a text of at most {most} characters"
        case inspect.StrType():
            text = "a text"
        case inspect.IntType(ge=least, le=most):
            text = f"a whole number from {least or 0} {'on' if most is None else f'to {most}'}"
        case inspect.FloatType(gt=least):
            text = "a finite number" if least is None else f"a number above {least:g}"
        case inspect.BoolType():
            text = "true or false"
        case inspect.LiteralType(values=values):
            text = f"one of {', '.join(map(str, values))}"
        case inspect.EnumType(cls=kinds):
            text = f"one of {', '.join(f'{each.value} ({each.name.lower()})' for each in kinds)}"
        case inspect.StructType(fields=fields):
            text = f"an object of {' and '.join(field.encode_name for field in fields)}"
        case (
            inspect.ListType(item_type=item, max_length=most)
            | inspect.VarTupleType(item_type=item, max_length=most)
        ):
            text = f"a list{'' if most is None else f' of at most {most}'}, each {_expected(item)}"
    return text


def sent_ns(request: web.Request) -> int | None:
    """Return the sender's time; None where it does not say it, or says nonsense: nothing is refused for that."""
    text = request.headers.get(CLOCK_HEADER, "")
    found = int(text) if len(text) < 20 and text.isascii() and text.isdecimal() else None
    return found if found is not None and found <= INDEX_MAX else None
