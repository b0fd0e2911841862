"""The journal's row of a file that is saved."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING, Any

from ml_dash.sdk.files.content_types import content_type

if TYPE_CHECKING:
    from ml_dash.sdk.files.details import Details
    from ml_dash.sdk.files.names import Place
    from ml_dash.storage.blobs import Staged

__all__ = ["save_row"]

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 20


def save_row(place: Place, details: Details, content: Staged) -> dict[str, Any]:
    """Return the fields of a new file, with an id of its own; see `ml_dash.query.files`."""
    return {
        "event": "save",
        "id": "file_" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH)),
        "path": place.path,
        "filename": place.filename,
        **details.all(),
        "contentType": content_type(place.filename),
        "sizeBytes": content.size,
        "checksum": content.checksum,
    }
