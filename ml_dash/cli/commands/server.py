"""`ml-dash server`: serves experiments to all who have a token."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from ml_dash.cli.commands.server_token import COMMANDS
from ml_dash.cli.screen import complain
from ml_dash.errors import MissingExtraError

__all__ = ["server", "server_commands"]

_DATA = ".dash-server"


def server(
    context: typer.Context,
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on; 0.0.0.0 is all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = 7007,
    data: Annotated[
        str, typer.Option("--data", metavar="DIR", help="Where database and rows are kept.")
    ] = _DATA,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="A database of its own: postgresql://user:password@host/name.",
            show_default=False,
        ),
    ] = None,
    quota: Annotated[
        int | None,
        typer.Option(
            "--quota",
            metavar="BYTES",
            min=0,
            help="What the contents of an owner's files may have together, unless it has a limit of its own.",
            show_default=False,
        ),
    ] = None,
    file_limit: Annotated[
        int | None,
        typer.Option(
            "--file-limit",
            metavar="BYTES",
            min=0,
            help="What the content of one file may have.",
            show_default=False,
        ),
    ] = None,
    blobs: Annotated[
        str | None,
        typer.Option(
            "--blobs",
            metavar="URL",
            help="A blob store of its own: s3://bucket/prefix, gs://…, az://….",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve experiments to all who have a token, until Ctrl-C or SIGTERM.

    The first start prints the admin token, this once, or takes ML_DASH_ADMIN_TOKEN. More tokens are made by
    `ml-dash server token`.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        from ml_dash.server.runner import serve
        from ml_dash.server.settings import ServerSettings
    except ModuleNotFoundError as error:
        raise MissingExtraError("ml-dash server", error.name or "aiohttp", "server") from error
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    settings = ServerSettings(
        host=host,
        port=port,
        data=data,
        database=database,
        blobs=blobs,
        quota_bytes=quota,
        file_bytes=file_limit,
        admin_token=os.environ.get("ML_DASH_ADMIN_TOKEN") or None,
    )
    asyncio.run(serve(settings, _announce))


def server_commands(guarded: Callable[[Callable[..., None]], Callable[..., None]]) -> typer.Typer:
    """Return `ml-dash server`, which serves when it is called alone, and `ml-dash server token …`.

    Args:
        guarded: Makes of a command one that tells the library's errors in one line.
    """
    commands = typer.Typer(invoke_without_command=True, no_args_is_help=False, rich_markup_mode=None)
    commands.callback()(guarded(server))
    tokens = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Make, list and revoke tokens, on the server's machine.",
    )
    for name, command in COMMANDS.items():
        tokens.command(name)(guarded(command))
    commands.add_typer(tokens, name="token")
    return commands


def _announce(url: str, admin_token: str | None) -> None:
    if admin_token is not None:
        complain("The admin token, shown this once (the server keeps only a hash of it):")
        typer.echo(f"Admin token: {admin_token}")
    typer.echo(f"Listening on {url}")
    sys.stdout.flush()
