"""`ml-dash logout`: revoke a token at its server, and forget it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from ml_dash.cli.commands.login import ServerUrl, server_named
from ml_dash.cli.screen import complain
from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from ml_dash.tokens import Token, TokenStore

__all__ = ["logout"]


def logout(
    url: ServerUrl = None,
    *,
    everywhere: Annotated[bool, typer.Option("--all", help="Log out of every server.")] = False,
) -> None:
    """Revoke the stored token for a server, and forget it.

    It is forgotten in any case; if the server is out of reach, it stays valid there, and the exit code is 1.
    """
    from ml_dash.tokens import TokenStore
    from ml_dash.tokens.current import VARIABLE

    server = server_named(url)
    if everywhere and url is not None:
        raise InvalidArgumentError(f"--all means every server: leave out {server}, or --all")
    store = TokenStore()
    if everywhere:
        tokens = store.all()
    else:
        token = store.get(server)
        tokens = {} if token is None else {server: token}
    if not tokens:
        typer.echo("No token is stored for " + ("any server" if everywhere else server))
    revoked = [_leave(store, place, token) for place, token in tokens.items()]
    if os.environ.get(VARIABLE):
        complain(f"Note: {VARIABLE} is set; its token was not touched")
    if not all(revoked):
        raise typer.Exit(1)


def _leave(store: TokenStore, place: str, token: Token) -> bool:
    """Log out of one server; returns whether its token is valid no more."""
    from ml_dash.client.login_api import revoke_self
    from ml_dash.errors import ServerUnavailableError
    from ml_dash.tokens.errors import AuthError

    try:
        was_valid = asyncio.run(revoke_self(place, token))
    except (AuthError, ServerUnavailableError) as error:
        complain(f"Warning: {error}")
        typer.echo(f"Forgot the token for {place}; it is STILL VALID there until it is revoked or expires")
        return False
    finally:
        store.remove(place)
    typer.echo(
        f"Logged out of {place}: the token is revoked"
        if was_valid
        else f"Forgot the token for {place}, which was not valid any more"
    )
    return True
