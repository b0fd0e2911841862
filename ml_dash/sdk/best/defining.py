"""What the best value of a metric's field is: said while a run is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.listing.definitions import checked_best, definition_row
from ml_dash.sdk.series_port import check_name
from ml_dash.series import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from ml_dash.sdk.session import Session

_LISTED = 10


class DefinitionPort:
    """Logs which value of a field is its best: as a row among those of the parameters, which goes to the server."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._port = session.port(Kind.PARAMS, None)

    def define(self, metric: str | None, field: str, best: Any) -> None:
        """Log it.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: an argument is not what it should be.
        """
        if metric is not None:
            check_name("metric", metric)
        check_name("field", field)
        self._port.write(self._session.next_ns(), definition_row(metric, field, checked_best(best, "best")))

    def define_title(self, title: Any, best: Any) -> None:
        """Log it of what is called ``metric/field``, or of a field of the unnamed metric."""
        if not isinstance(title, str):
            raise InvalidArgumentError(
                f"{title!r:.100} names no field of a metric: pass one such as 'val/acc'"
            )
        metric, slash, field = title.rpartition("/")
        self.define(metric if slash else None, field, best)


def unknown_field(label: str, field: str, known: Collection[str]) -> str:
    """Return what is said where a metric has no field of this name."""
    from ml_dash.query.listing.naming import nearest

    near = nearest(field, known)
    names = ", ".join(map(repr, near or [*known][:_LISTED]))
    return f"{label} has no field {field!r}: " + (f"did you mean {names}?" if near else f"there are {names}")
