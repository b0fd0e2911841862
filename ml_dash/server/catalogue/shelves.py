"""Views of a project that people have saved: which runs, which charts, in which order.

What they hold is the pages' business. Each is a project's, for all who read it, or one person's own. A save names the
version that it is based on: of two who change one view, the second is told what the first has made of it, and nothing
is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml_dash.protocol import VIEWS_MAX, ErrorCode
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERYBODY = ""
"""Whose the views of a project are."""
ANY = "*"
"""As the version that a save is based on: whatever there is now, as somebody says who has seen it."""


class Shelf(NamedTuple):
    """Where views are: those of a project, and of a person's or everybody's."""

    owner: str
    project: str
    person: str


class NewSavedView(NamedTuple):
    """A view to save; `format` is that of the pages that made it."""

    name: str
    format: int
    default: bool
    state: dict[str, Any]


class ViewShelves(Protocol):
    """Keeps views. Methods may wait for a disk."""

    def all(self, shelf: Shelf) -> Sequence[dict[str, Any]]:
        """Return the views of a shelf, by name, without their states."""

    def get(self, shelf: Shelf, id_: str) -> dict[str, Any]:
        """Return a view.

        Raises:
            ApiError: 404.
        """

    def put(
        self, shelf: Shelf, id_: str, new: NewSavedView, based_on: str | None, who: str
    ) -> dict[str, Any]:
        """Save a view, and return it as it is then.

        Args:
            shelf: Where.
            id_: Its id.
            new: What it is to be.
            based_on: The version that it takes the place of; None for one that is new.
            who: What to call whoever saves it.

        Raises:
            ApiError: 412 `changed`, with the view that is there now: it is no longer, or not, what `based_on` says.
            ApiError: 400: there are too many already.
        """

    def delete(self, shelf: Shelf, id_: str, based_on: str) -> None:
        """Delete a view.

        Raises:
            ApiError: 404; 412 as of `put`.
        """


def no_such_view(id_: str) -> ApiError:
    """Return the error for a view that there is not."""
    return ApiError(404, ErrorCode.NOT_FOUND, f"there is no view {id_!r:.100} (any more)")


def changed(id_: str, current: dict[str, Any] | None) -> ApiError:
    """Return the error for a view that is another one than was meant; `current` is what it is now."""
    if current is None:
        what = "was deleted meanwhile: save it as a new one"
    else:
        what = f"was saved by {current['who'] or 'somebody'} meanwhile: save yours under another name, or over theirs"
    return ApiError(412, ErrorCode.CHANGED, f"the view {id_!r:.100} {what}", current=current)


def checked_base(id_: str, current: dict[str, Any] | None, based_on: str | None) -> str | None:
    """Return the version that is saved over, or deleted; None where there is none.

    Raises:
        ApiError: 412: there is another one than is meant.
    """
    version: str | None = None if current is None else current["version"]
    if based_on != version and (based_on != ANY or version is None):
        raise changed(id_, current)
    return version


def too_new(id_: str, current: dict[str, Any], new: NewSavedView) -> ApiError:
    """Return the error for a view that a newer version has saved."""
    return ApiError(
        412,
        ErrorCode.CHANGED,
        f"the view {id_!r:.100} was saved by a newer version of the pages (format {current['format']}, and this is "
        f"{new.format}): save yours under another name",
        current=current,
    )


def too_many_views() -> ApiError:
    """Return the error for one more view than a shelf may have."""
    return ApiError(400, ErrorCode.INVALID, f"there are {VIEWS_MAX} views already: delete some first")
