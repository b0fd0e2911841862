"""Places by what scripts call them, and the experiments that were found in them, opened for reading."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.client.destination import destination, is_server, server_url
from ml_dash.errors import InvalidArgumentError
from ml_dash.forks import guarded_imports
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.sdk.guidance.calls import shown
from ml_dash.settings import Settings
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.survey import stored_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.places.place import Place
    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.sdk.experiment import Experiment

_SEGMENTS_LEAST = 3
"""Of a prefix: owner, project, name."""


def place_of(where: Any) -> Place:
    """Return a root or a server.

    Raises:
        InvalidArgumentError: It can be neither.
    """
    settings = Settings.from_environment()
    with guarded_imports():
        if is_server(where):
            from ml_dash.client.api import Client
            from ml_dash.client.http import AiohttpTransport
            from ml_dash.places.remote import RemotePlace
            from ml_dash.tokens.current import token_for

            url = server_url(where)
            client = Client(AiohttpTransport(url, lambda: token_for(url), RUNTIME.look_up))
            return RemotePlace(client, RUNTIME.ask)
        if not isinstance(where, (str, os.PathLike)):
            raise InvalidArgumentError(
                f"where={shown(where)} is no place: pass a directory such as '.dash', a server's URL, or True for the "
                "default server"
            )
        from ml_dash.places.local import LocalPlace

        return LocalPlace(destination(None, where).root, stale_after=settings.stale_after)


def experiment_of(found: ListedExperiment) -> Experiment:
    """Return an experiment that was found, opened for reading."""
    from ml_dash.sdk.experiment import reopen

    at_server = is_server(found.place)
    arguments = {"dash_url": found.place, "dash_root": None} if at_server else _by_root(found)
    experiment = reopen({"prefix": found.prefix, "echo": None, **arguments})
    experiment._listed = found  # noqa: SLF001 - no argument: completion on `Experiment(` shows what users pass
    return experiment


def settle_own(places: Sequence[Place]) -> None:
    """Have what this process has logged until now written, and sent where it is asked for: so a reader finds it."""
    urls = {place.name for place in places}
    timeout = Settings.from_environment().flush_timeout
    for channel in list(RUNTIME.open_channels()):
        delivery = channel.delivery
        if delivery is None or delivery.url not in urls:
            RUNTIME.write_queued(channel)
        elif RUNTIME.flush(channel, timeout):
            # in vain where the server is away: then it cannot be asked, either
            delivery.begin_wait().wait(timeout)


def _by_root(found: ListedExperiment) -> dict[str, Any]:
    """Return what opens an experiment of a root: of a root within a tree, its own prefix is longer."""
    directory = os.path.join(found.place, *found.prefix.split("/"))
    if not is_experiment(directory) and is_experiment(found.place):
        directory = found.place  # the root is the experiment itself
    elif found.prefix.count("/") + 1 >= _SEGMENTS_LEAST:
        return {"dash_root": found.place}
    prefix = stored_prefix(directory)
    ending = os.path.join("", *prefix.split("/"))
    if directory.endswith(os.sep + ending):
        return {"prefix": prefix, "dash_root": directory[: -len(ending) - 1] or os.sep}
    return {"dash_root": found.place}
