"""One experiment as a view, of this disk or of a server, whichever the command line says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ml_dash.cli.overview import damage_of, open_index
from ml_dash.cli.select import find_experiment, full_prefix
from ml_dash.journal.damage import Damage
from ml_dash.query.journal_view import JournalView
from ml_dash.query.view import View
from ml_dash.settings import Settings


class Viewed(NamedTuple):
    """An experiment: what it is called, a view of it, and what cannot be read of it on this disk."""

    prefix: str
    view: View
    damage: list[Damage]


@contextmanager
def open_view(exp: str, root: str, url: str | None) -> Iterator[Viewed]:
    """Give a view of an experiment, which is one in a root, or at a server if a URL is given."""
    if url is None:
        located = find_experiment(exp, root)
        damage = damage_of(located, open_index(located))
        settings = Settings.from_environment()
        view = JournalView(located.journal, disk=located.disk, warns=False, stale_after=settings.stale_after)
        yield Viewed(located.prefix, view, damage)
        return
    from ml_dash.cli.remote import open_remote
    from ml_dash.client.destination import server_url

    prefix = full_prefix(exp)
    with open_remote(server_url(url), prefix, named=True) as remote:
        yield Viewed(prefix, remote, [])
