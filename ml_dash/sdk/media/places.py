"""Where the contents of a media value go among an experiment's files."""

from __future__ import annotations

import re

from ml_dash.sdk.files.names import Place, place_of

FOLDER = "media"
_ODD = re.compile(r"[^\w.=@+ -]")
_SEGMENT_MAX = 80


def media_place(metric: str | None, field: str, step: int, token: str, extension: str) -> Place:
    """Return where a value's file goes; its metadata say exactly what it is of, for names may be anything."""
    folders = [_segment(part) for name in (metric or "", field) for part in name.split("/") if part]
    return place_of("/".join([FOLDER, *folders]), f"{step:08d}-{token}.{extension}")


def _segment(name: str) -> str:
    return (_ODD.sub("_", name).strip(" ").lstrip(".") or "_")[:_SEGMENT_MAX].rstrip(" .") or "_"
