"""Pages of answers, bounded by bytes: items are encoded as they come, until there is no room for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack

from ml_dash.journal.objects import to_msgpack
from ml_dash.server.http.bodies import to_json, wants_msgpack

if TYPE_CHECKING:
    from aiohttp import web


class Page:
    """One answer while it is made, on any one thread.

    Items are measured as they are sent, and are encoded once. One by one: a large answer that is encoded by one call
    would hold the interpreter's lock, and so the event loop, for all of it.
    """

    def __init__(self, request: web.BaseRequest, limit: int) -> None:
        self._packed = wants_msgpack(request)
        self._encode = to_msgpack if self._packed else to_json
        self._room = limit
        self._items: list[bytes] = []
        self._is_full = False

    @property
    def count(self) -> int:
        """How many items it has."""
        return len(self._items)

    def take(self, item: Any) -> bool:
        """Take an item, if there is room for it or it is the first; see `ml_dash.query.pages.Take`."""
        return self._add(self._encode(item))

    def take_named(self, name: str, value: Any) -> bool:
        """Take an item of a map."""
        between = b"" if self._packed else b": "
        return self._add(self._encode(name) + between + self._encode(value))

    def body(self, field: str, rest: dict[str, Any], *, is_map: bool = False) -> bytes:
        """Return the answer: the items as its field of this name, a list or a map, and the rest of it."""
        if self._packed:
            header = msgpack.Packer()
            return b"".join(
                [
                    header.pack_map_header(len(rest) + 1),
                    to_msgpack(field),
                    (header.pack_map_header if is_map else header.pack_array_header)(self.count),
                    *self._items,
                    *(to_msgpack(each) for pair in rest.items() for each in pair),
                ]
            )
        start, end = (b"{", b"}") if is_map else (b"[", b"]")
        items = start + b", ".join(self._items) + end
        behind = b"}" if not rest else b", " + to_json(rest)[1:]
        return b"{" + to_json(field) + b": " + items + behind

    def _add(self, item: bytes) -> bool:
        self._room -= len(item)
        # the first one always: whoever reads page by page must get on
        self._is_full = self._is_full or (self._room < 0 and bool(self._items))
        if not self._is_full:
            self._items.append(item)
        return not self._is_full
