"""CSV and JSON lines.

CSV: numbers as Python writes them (``nan``, ``inf`` and ``-inf`` included; read back, each float is the same),
``true`` and ``false``, texts always in quotes, lists and the like as JSON in quotes, and nothing where a row
has no value or None.

JSON lines: an object a row, with dicts and lists as they were logged. NaN and infinities are ``NaN``,
``Infinity`` and ``-Infinity``, as Python's `json` writes and reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from ml_dash.cli.exporting.source import Content, Part, Source
from ml_dash.cli.text import ByteSink
from ml_dash.journal.blocks import Column, as_list, block_rows
from ml_dash.query.json_text import json_text
from ml_dash.query.times import NANOSECONDS, iso_time

# What needs quotes by RFC 4180, section 2. Titles get them only then, and texts always, to differ from numbers.
_QUOTED_IN_HEADER = frozenset(',"\r\n')


def write_csv(source: Source, out: ByteSink) -> int:
    """Write all rows; return how many there were. The journal is read twice: first for the columns' names."""
    fields = list(
        dict.fromkeys(column.field for part in source.parts() for column in source.columns(part.block))
    )
    places = {field: place for place, field in enumerate(fields, len(source.lead))}
    out.write(_encoded(",".join(map(_title, [*source.lead, *fields])) + "\n"))
    rows = 0
    for part in source.parts():
        cells = [*_lead_cells(source, part), *([""] * part.block.count for _ in fields)]
        for column in source.columns(part.block):
            _fill(cells[places[column.field]], column)
        out.write(_encoded("".join(f"{','.join(row)}\n" for row in zip(*cells, strict=True))))
        rows += part.block.count
    return rows


def write_jsonl(source: Source, out: ByteSink) -> int:
    """Write all rows; return how many there were."""
    rows = 0
    for part in source.parts():
        out.write("".join(_json_lines(source, part)).encode())
        rows += part.block.count
    return rows


def _lead_cells(source: Source, part: Part) -> list[list[str]]:
    block, rows = part.block, part.block.count
    columns = []
    if source.with_name and source.content.name_column:
        columns.append([_csv_cell(block.series.name)] * rows)
    if source.content.index_column:
        columns.append([str(row) for row in range(part.start, part.start + rows)])
    columns.append([_time_text(source)(int(time_ns)) for time_ns in block.times])
    return columns


def _time_text(source: Source) -> Callable[[int], str]:
    return iso_exact if source.content is Content.LOGS else seconds_exact


def _fill(cells: list[str], column: Column) -> None:
    values = as_list(column.values)
    texts = map(_CELLS.get(column.type, _csv_cell), values)
    if column.rows is None:
        cells[:] = texts
    else:
        for row, text in zip(column.rows, texts, strict=True):
            if text:
                cells[row] = text


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = value if isinstance(value, str) else json_text(value)
    return '"' + text.replace('"', '""') + '"'


# Of a column of one type every cell is written alike: `_csv_cell` would ask for the type of each again.
_CELLS: dict[str, Callable[[Any], str]] = {"f": repr, "i": repr, "b": ("false", "true").__getitem__}


def _title(name: str) -> str:
    return _csv_cell(name) if _QUOTED_IN_HEADER.intersection(name) else name


def _encoded(text: str) -> bytes:
    """Return UTF-8, which has no halves of surrogate pairs: those are written as escapes."""
    return text.encode("utf-8", "backslashreplace")


def _json_lines(source: Source, part: Part) -> Iterator[str]:
    content, block = source.content, part.block
    time_text = _time_text(source)
    name = ""
    if source.with_name and content.name_column:
        name = f'"{content.name_column}": {json.dumps(block.series.name)}, '
    rows = block_rows(block)
    clashes = [column.field for column in block.columns if source.renamed(column.field) != column.field]
    for number, time_ns, fields in zip(count(part.start), block.times, rows, strict=False):
        index = "" if content.index_column is None else f'"{content.index_column}": {number}, '
        moment = time_text(int(time_ns))
        moment = f'"{moment}"' if content is Content.LOGS else moment
        if clashes:
            fields = {source.renamed(field): value for field, value in fields.items()}  # noqa: PLW2901
        rest = json_text(fields)[1:]
        comma = "" if rest == "}" else ", "
        yield f'{{{name}{index}"{content.time_column}": {moment}{comma}{rest}\n'


def seconds_exact(time_ns: int) -> str:
    """Return seconds with nine decimals; read as a float64, it is the same number that the API gives."""
    # By integers: a float has no room for the nanoseconds of this century.
    whole, rest = divmod(abs(time_ns), NANOSECONDS)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:09d}"


def iso_exact(time_ns: int) -> str:
    """Return ISO-8601 UTC with nine decimals."""
    return f"{iso_time(time_ns)[:-1]}{time_ns % 1000:03d}Z"
