"""`ml-dash ui`: the dashboard over a local root."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextlib import closing
from typing import Annotated

import typer

from ml_dash.cli.doorway import Doorway
from ml_dash.cli.roots import DEFAULT_ROOT, chosen_root
from ml_dash.cli.select import single_root, strange_hint
from ml_dash.cli.text import complain
from ml_dash.errors import InvalidArgumentError
from ml_dash.settings import Settings
from ml_dash.storage.summaries.root import RootIndex


def ui(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="The directory with the experiments.", callback=chosen_root)
    ] = DEFAULT_ROOT,
    *,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65_535,
            help="The port; 0 takes a free one. By default 7008, or one of the next.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Whether to open the browser.")] = True,
) -> None:
    """Show the experiments under a directory in the browser.

    It runs until Ctrl-C. Nothing is imported: the pages show the journals as they are on disk. They are reachable from
    this machine only, by the address that is printed.
    """
    # a server takes half a second to load, which the help must not
    from ml_dash.server.local.app import serve_local

    root = single_root(root)
    if not os.path.isdir(root):
        raise InvalidArgumentError(
            f"there is no directory {root!r}: name the directory of your experiments, or log one first"
        )

    with closing(RootIndex(root, Settings.from_environment().stale_after)) as index:
        # the pages are there before all journals are read
        found = index.look(seconds=0.0, rings=False)
    if hint := strange_hint(found.strange, root):
        complain(f"Note: {hint}")
    doorways: list[Doorway] = []

    def ready(address: str) -> None:
        _say(f"Dashboard: {address}")
        if browser:
            doorways.append(Doorway(address, "Open the dashboard"))
            doorways[0].open()

    def again(address: str) -> None:
        for doorway in doorways:
            doorway.close()
        # Where nobody reads any more, the browser that was opened is let in all the same.
        with contextlib.suppress(OSError):
            _say(f"For another browser: {address}")

    try:
        asyncio.run(serve_local(root, port, ready, again))
    finally:
        for doorway in doorways:
            doorway.close()


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()
