"""Files of a source that become files of an experiment, once each.

Which are here already is told by their ids: an id is made of the name and the content, so that a file is brought in
again only where it has changed, and then as its next version.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ml_dash.errors import MLDashError
from ml_dash.importers.source import Item, Row
from ml_dash.query.files import FILES
from ml_dash.sdk.files.details import Details, save_row
from ml_dash.sdk.files.names import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store
    from ml_dash.storage.blobs import Staged
    from ml_dash.storage.hashing import Opener

_ID = 20
"""Characters, as of the ids that are drawn."""


def saved_file(
    store: Store, path: str, opener: Opener, name: str, time_ns: int, report: RunReport
) -> Iterator[Item]:
    """Yield an item with a file, unless it is here already; what cannot be read is noted."""
    try:
        blob = store.staging.capture(path, opener=opener)
        yield from file_row(store, blob, name, time_ns)
    except (MLDashError, OSError) as error:
        report.note(path, f"it is left out: {error}")


def file_row(store: Store, blob: Staged, name: str, time_ns: int) -> Iterator[Item]:
    """Yield an item with a file whose content is stored, unless it is here; MLDashError for a name that is none."""
    place = place_of(None, name)
    identity = hashlib.sha256(f"{name}\0{blob.checksum}".encode()).hexdigest()[:_ID]
    row = {**save_row(place, Details(), blob), "id": f"file_{identity}"}
    if store.files.get(row["id"]) is None:
        yield Item((Row(FILES, time_ns, row),), blobs=(blob.path,))
