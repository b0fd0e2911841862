"""What a client that wishes us ill could log: rows of every kind that are formed well enough to be stored.

Bytes that are merely broken are refused early. What reaches the code that reads is sound frames whose rows are not what
their kind should have, so that these are made here: most of a row is as it should be, and some of it is anything.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import msgpack

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame
from ml_dash.series import Kind, Series
from tests.support.rows import as_text

__all__ = ["any_block", "any_frames", "any_value", "as_utf8", "shown", "spoiled"]

NOON = 1_700_000_000_000_000_000
_NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(0.0, -0.0, 0.5, 5e-324, 1e308, float("nan"), float("inf"), float("-inf")),
    *(True, False, None),
)
_TEXTS = (
    *(
        "",
        " ",
        "a",
        "a.b",
        ".",
        "..",
        "a.",
        ".a",
        "a..b",
        "/",
        "../../x",
        "a/b",
        "~",
        "*",
        "%",
        "_",
        "\\",
        "'",
        '"',
    ),
    *(
        "\0",
        "a\0b",
        "\n",
        "\r\n",
        "\x1b[31m",
        "ünï©ødé",
        "ß",
        "\u202e",
        "\ufeff",
        "lone \ud800",
        "\udfff",
        "😀" * 9,
    ),
    *(
        "timestamp",
        "_ts",
        "index",
        "time",
        "id",
        "__float__",
        "__repr__",
        "NaN",
        "exp_x",
        "-1",
        "1e999",
        "x" * 1024,
    ),
)
_EVENTS = ("start", "end", "heartbeat", "save", "update", "delete")
_STATUSES = ("RUNNING", "COMPLETED", "FAILED", "CANCELLED", "STALE")
_TIMES = (0, 1, -1, NOON, NOON + 1, NOON * 2, 2**63 - 1, -(2**63), 253_402_300_800_000_000_000 // 100)
_FIELDS = ("loss", "step", "x", "y", *_TEXTS[:12], "nested", "lone \ud800", "timestamp", "_ts", "index")
_CHECKSUM = hashlib.sha256(b"weights").hexdigest()


def any_value(rng: random.Random, depth: int = 0) -> Any:
    """Return anything that msgpack carries."""
    kind = rng.randrange(12 if depth < 4 else 8)
    if kind < 4:
        return rng.choice(_NUMBERS)
    if kind < 7:
        return rng.choice(_TEXTS)
    if kind == 7:
        return rng.choice(
            (
                b"",
                b"\xf1mD\x9a",
                rng.randbytes(9),
                msgpack.Timestamp(1, 5),
                msgpack.ExtType(rng.randrange(127), b"x"),
            )
        )
    count = rng.randrange(4)
    if kind < 10:
        return [any_value(rng, depth + 1) for _ in range(count)]
    return {_key(rng): any_value(rng, depth + 1) for _ in range(count)}


def _key(rng: random.Random) -> Any:
    # keys of any type that Python can hash; nearly all are texts
    return (
        rng.choice(_TEXTS) if rng.random() < 0.9 else rng.choice((*_NUMBERS, b"k", msgpack.Timestamp(1, 0)))
    )


def _some_series(rng: random.Random, kind: Kind) -> Series:
    """Return a series of a kind, of few names, so that later blocks meet earlier ones."""
    if kind in {Kind.METRIC, Kind.TRACK}:
        names = ("train", "pose", "a.b", *_TEXTS) if kind is Kind.TRACK else ("train", "a.b", None, *_TEXTS)
        return Series(kind, rng.choice(names[:3]) if rng.random() < 0.8 else rng.choice(names))
    return Series(kind, None if rng.random() < 0.95 else "named")


def spoiled(rng: random.Random, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a row of which each part may be missing, or anything."""
    kept = dict(fields)
    for name in fields:
        luck = rng.random()
        if luck < 0.05:
            del kept[name]
        elif luck < 0.2:
            kept[name] = any_value(rng)
    if rng.random() < 0.1:
        kept[rng.choice(_FIELDS)] = any_value(rng)
    return kept


def _metric(rng: random.Random) -> dict[str, Any]:
    row = {"step": rng.choice(_NUMBERS), "loss": rng.random(), "nested": {"a": {"b": rng.choice(_NUMBERS)}}}
    return {**row, **{rng.choice(_FIELDS): any_value(rng) for _ in range(rng.randrange(3))}}


def _log(rng: random.Random) -> dict[str, Any]:
    return {
        "level": rng.choice(("info", "warn", "error")),
        "message": rng.choice(_TEXTS),
        "metadata": {"n": 1},
    }


def _params(rng: random.Random) -> dict[str, Any]:
    settings = {rng.choice(_TEXTS): any_value(rng) for _ in range(rng.randrange(4))}
    return {"set": settings, "clear": rng.random() < 0.1}


def _run(rng: random.Random) -> dict[str, Any]:
    about = {"prefix": "alice/p/x", "readme": "r", "tags": ["a"], "bindrs": [], "metadata": {"seed": 1}}
    return {
        "event": rng.choice(_EVENTS[:3]),
        "status": rng.choice(_STATUSES),
        "host": "node",
        "pid": rng.choice((1, 7, -1, 0, 2**31, 2**63)),
        "handle": rng.choice(("h", "i")),
        "space": rng.choice(("s", None)),
        "error": rng.choice((None, "it broke")),
        "experiment": spoiled(rng, about),
    }


def _file(rng: random.Random) -> dict[str, Any]:
    return {
        "event": rng.choice(_EVENTS[3:] if rng.random() < 0.4 else ("save",)),
        "id": rng.choice(("f1", "f2", "f3")),
        "path": rng.choice(("/", "/models", "/a/b", "/../x")),
        "filename": rng.choice(("a.pt", "b", *_TEXTS)),
        "description": None,
        "tags": ["t"],
        "bindrs": [],
        "contentType": rng.choice(("text/plain", "x\r\ny: z", "")),
        "sizeBytes": rng.choice((7, 0, 2**63, 2**64 - 1)),
        "checksum": _CHECKSUM,
        "metadata": None,
    }


def _environment(rng: random.Random) -> dict[str, Any]:
    parts = {
        "command": ["python", "t.py"],
        "git": {"commit": "c0ffee", "diff": rng.choice(_TEXTS)},
        "cpu": {"count": 2},
    }
    return {
        "attempt": rng.choice(("h", None)),
        "rank": rng.choice((0, 1, -1, 2**63)),
        "host": "node",
        "pid": rng.choice((1, 2**63)),
        "environment": spoiled(rng, parts),
    }


def _line(rng: random.Random) -> dict[str, Any]:
    return {
        "stream": rng.choice(("stdout", "stderr", "other")),
        "text": rng.choice(_TEXTS),
        "rank": rng.choice((0, 1)),
    }


def _alert(rng: random.Random) -> dict[str, Any]:
    return {
        "title": rng.choice(_TEXTS),
        "text": rng.choice(_TEXTS),
        "level": rng.choice(("info", "warning", "error")),
        "held": rng.choice((0, 7)),
    }


_ROWS: dict[Kind, Callable[[random.Random], dict[str, Any]]] = {
    Kind.METRIC: _metric,
    Kind.TRACK: _metric,
    Kind.LOG: _log,
    Kind.PARAMS: _params,
    Kind.RUN: _run,
    Kind.FILE: _file,
    Kind.ENVIRONMENT: _environment,
    Kind.CONSOLE: _line,
    Kind.ALERT: _alert,
}


def any_block(rng: random.Random, kind: Kind | None = None) -> Block:
    """Return a block of one to four rows."""
    kind = rng.choice(list(Kind)) if kind is None else kind
    rows = [spoiled(rng, _ROWS[kind](rng)) for _ in range(rng.randrange(1, 5))]
    times = [rng.choice(_TIMES) if rng.random() < 0.2 else NOON + rng.randrange(10**12) for _ in rows]
    columns: list[Column] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        columns += _columns(
            rng, name, {at: row[name] for at, row in enumerate(rows) if name in row}, len(rows)
        )
    return Block(_some_series(rng, kind), times, columns)


def _columns(rng: random.Random, field: str, values: dict[int, Any], count: int) -> list[Column]:
    """Return the columns of one field: of numbers a column of their own type, often."""
    by_type: dict[str, dict[int, Any]] = {}
    apart = rng.random() < 0.7
    for at, value in values.items():
        by_type.setdefault(_type(value) if apart else "o", {})[at] = value
    return [
        Column(
            field,
            kind,
            None if len(found) == count and rng.random() < 0.8 else list(found),
            list(found.values()),
        )
        for kind, found in by_type.items()
    ]


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, float):
        return "f"
    return "i" if isinstance(value, int) and -(2**63) <= value < 2**63 else "o"


def any_frames(rng: random.Random, first: int, count: int) -> list[bytes]:
    """Return sound frames, numbered from `first` on."""
    return [
        encode_frame(seq, [any_block(rng) for _ in range(rng.randrange(4))])
        for seq in range(first, first + count)
    ]


def as_utf8(text: str) -> bool:
    """Whether a URL can have it in it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def shown(row: tuple[int, dict[str, Any]]) -> str:
    """A row as a text that is equal where rows are: the order of its fields means nothing."""
    return f"{row[0]} {as_text(row[1])}"
