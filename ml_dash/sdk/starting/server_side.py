"""What is asked of a server before a run starts, by whoever wants to be sure: is there such an experiment?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.errors import MLDashError
from ml_dash.forks import guarded_imports
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.protocol import ErrorCode
from ml_dash.query.times import iso_ns

if TYPE_CHECKING:
    from ml_dash.client.api import Client
    from ml_dash.client.destination import Destination


def take_at_server(place: Destination, prefix: str) -> bool:
    """Have a server create an experiment; False where it has one of this name.

    Raises:
        ServerUnavailableError: the server cannot be reached.
        RemoteError: it refuses.
    """
    with guarded_imports():
        from ml_dash.client.transport import ServerError

    try:
        RUNTIME.ask(_client(place).upsert(prefix, only_new=True))
    except ServerError as error:
        if error.code != ErrorCode.EXISTS:
            raise
        return False
    return True


def is_at_server(place: Destination, prefix: str) -> bool:
    """Whether a server has an experiment; raises as `take_at_server` does."""
    return RUNTIME.ask(_client(place).find(prefix)) is not None


def created_at_server(place: Destination, prefix: str) -> int | None:
    """Return when a server made an experiment; None where it has none. Raises as `take_at_server` does."""
    record = RUNTIME.ask(_client(place).find(prefix))
    return None if record is None else iso_ns(record.get("createdAt"))


def names_at_server(place: Destination, above: str) -> set[str] | None:
    """Return how the segments begin that follow these in a server's experiments; None where it cannot be asked."""
    if place.url is None:
        return None
    try:
        found = RUNTIME.ask(_client(place).prefixes(above))
    except MLDashError:
        return None  # whoever takes a name there is told
    return {prefix[len(above) + 1 :].partition("/")[0] for prefix in found}


def _client(place: Destination) -> Client:
    with guarded_imports():
        from ml_dash.client.api import Client
        from ml_dash.client.http import AiohttpTransport
        from ml_dash.tokens.current import token_for

    url = str(place.url)
    return Client(AiohttpTransport(url, lambda: token_for(url), RUNTIME.look_up))
