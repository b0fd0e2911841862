"""The details of a file (description, tags, bindrs and metadata), and the row that saves it."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.files import LATEST, is_alias
from ml_dash.sdk.about import checked_mapping, checked_text, checked_texts
from ml_dash.sdk.files.content_types import content_type
from ml_dash.values.pack import PACK_ERRORS, DeferredEvent, pack, pack_event, unpack

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from ml_dash.sdk.files.names import Place
    from ml_dash.storage.blobs import Staged

DETAILS = ("description", "tags", "bindrs", "metadata")

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 20  # over 100 bits: writers on different machines never draw the same


class DetailArguments(TypedDict, total=False):
    """What is said about a file."""

    description: str | None
    tags: Sequence[str] | None
    bindrs: Sequence[str] | None
    metadata: dict[str, Any] | None


class SaveArguments(DetailArguments, total=False):
    """What the methods that save take as ``**details``."""

    aliases: Sequence[str] | None


class BuilderArguments(DetailArguments, total=False):
    """What `exp.files(…)` takes by keyword."""

    alias: str | None
    file_id: str | None
    dest_path: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Details:
    """What was given, checked; None for what was not."""

    description: str | None = None
    tags: Sequence[str] | None = None
    bindrs: Sequence[str] | None = None
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        checked_text("description", self.description)
        # Lists of ours: a generator is used up by the first look, and the caller's list may change.
        object.__setattr__(self, "tags", checked_texts("tags", self.tags))
        object.__setattr__(self, "bindrs", checked_texts("bindrs", self.bindrs))
        checked_mapping("metadata", self.metadata)

    def over(self, other: Details) -> Details:
        """Return these, and for what was not given the others."""
        return Details(**(other.given() | self.given()))

    def given(self) -> dict[str, Any]:
        """Return those that were given; an empty list, dict or text is one, too."""
        return {name: value for name in DETAILS if (value := getattr(self, name)) is not None}

    def all(self) -> dict[str, Any]:
        """Return all of them as a new file has them."""
        return {"description": None, "tags": [], "bindrs": [], "metadata": None} | self.given()


def checked_aliases(given: Any) -> list[str]:
    """Return aliases that are to be given, without the one that every newest version has.

    Raises:
        InvalidArgumentError: One can be none.
    """
    if given is None:
        return []
    if isinstance(given, str):
        raise InvalidArgumentError(
            f"aliases={given!r:.200} is one text: pass a list, as in aliases=[{given!r:.100}]"
        )
    names = checked_texts("aliases", given) or []
    for name in names:
        if name != LATEST and not is_alias(name):
            raise InvalidArgumentError(
                f"alias {name!r:.200} cannot be one: use 1 to 64 characters that can be seen, such as 'best'"
            )
    return [name for name in dict.fromkeys(names) if name != LATEST]


def save_row(place: Place, details: Details, blob: Staged, aliases: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of a new file, with an id of its own; see `ml_dash.query.files`."""
    # rows of files without aliases are as they always were
    named = {"aliases": [*aliases]} if aliases else {}
    return {
        "event": "save",
        "id": "file_" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH)),
        "path": place.path,
        "filename": place.filename,
        **details.all(),
        "contentType": content_type(place.filename),
        "sizeBytes": blob.size,
        "checksum": blob.checksum,
        **named,
    }


def stored_form(fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return fields as they are read back, and of which something can only be stored as its `repr`, with its type."""
    try:
        return unpack(pack(fields)), {}
    except PACK_ERRORS:
        event, unstorable = pack_event(0, 0, fields)
        return unpack(event.pack() if isinstance(event, DeferredEvent) else event)[2], unstorable
