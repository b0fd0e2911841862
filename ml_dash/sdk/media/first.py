"""The media of a session's rows, before there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.spawning import is_last_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.sdk.files.saving import FileSaver
    from ml_dash.sdk.session import Session


def first_media(
    session: Session, saver: Callable[[], FileSaver]
) -> Callable[[str | None, dict[str, Any]], dict[str, Any]]:
    """Return what takes the media of a session's rows: imported with the first row that is not plain."""

    def taken(metric: str | None, fields: dict[str, Any]) -> dict[str, Any]:
        if is_last_thread():  # nothing can be imported any more, and no media value be made
            return fields
        from ml_dash.sdk.media.store import MediaStore

        store = MediaStore(session, saver())
        session.media = store.taken
        return store.taken(metric, fields)

    return taken
