"""Which writers and directories of this process are sent by the very runs that write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.forks import guarded_imports
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ml_dash.client.destination import Destination
    from ml_dash.pipeline.channel import Channel
    from ml_dash.pipeline.delivery import Threads
    from ml_dash.upload.outbox import Replay


class ChannelKey(NamedTuple):
    """What tells apart the channels of a process: each is one writer, to a server or none, of a rank or none."""

    directory: str
    url: str | None
    rank: int | None


def writers_of(channels: Iterable[Channel]) -> frozenset[str]:
    """Return the writers of channels, those of local mode too."""
    return frozenset(channel.writer_id for channel in channels)


def writers_to(channels: Iterable[Channel], url: str) -> frozenset[str]:
    """Return the writers of those channels that send to a server what they write."""
    return writers_of(
        channel for channel in channels if (delivery := channel.delivery) is not None and delivery.url == url
    )


def directories_to(keys: Iterable[ChannelKey], destination: Destination) -> frozenset[str]:
    """Return the directories, of channels' keys, of which a run sends what earlier runs have left, see `Earlier`."""
    if not destination.keeps:
        return frozenset()
    return frozenset(key.directory for key in keys if key.url == destination.url)


def replay_to(
    destination: Destination,
    born: Iterable[Channel],
    open_now: Callable[[], Collection[ChannelKey]],
    threads: Threads,
) -> Replay:
    """Return what sends what earlier runs have left below a root, but in directories of runs that are open.

    Args:
        destination: The root and the server.
        born: This process's channels.
        open_now: Gives the keys of those that are open.
        threads: For files and names.
    """
    with guarded_imports():
        from ml_dash.upload.outbox import Replay

    # Copies first: these are asked on another thread, and channels may be forgotten meanwhile.
    return Replay(
        destination,
        lambda: writers_of(tuple(born)),
        threads.read,
        threads.look_up,
        lambda: directories_to(tuple(open_now()), destination),
    )
