"""`ml-dash whoami`: which token is used for a server, and what it may do there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from ml_dash.cli.arguments import AsJson
from ml_dash.cli.commands.login import ServerUrl, grants_text, server_named
from ml_dash.cli.text import json_text, visible

if TYPE_CHECKING:
    from ml_dash.tokens import Token

__all__ = ["whoami"]


def whoami(url: ServerUrl = None, *, as_json: AsJson = False) -> None:
    """Say which token is used for a server, where it comes from, and what it may do."""
    from ml_dash.client.login_api import who_am_i
    from ml_dash.tokens import LoginError

    server = server_named(url)
    token = _find(server)
    if token is None:
        raise LoginError(
            f"there is no token for {server}: run `ml-dash login {server}`, or set ML_DASH_TOKEN"
        )
    who = asyncio.run(who_am_i(server, token))
    if as_json:
        typer.echo(json_text({"server": server, "source": token.source, **who}, indent=2))
        return
    for name, value in _lines(server, token, who):
        typer.echo(f"{name:8} {visible(str(value))}")


def _find(server: str) -> Token | None:
    from ml_dash.tokens import TokenStore, token_for

    # `token_for` takes a store that cannot be read for an empty one; here the reason is what the user wants to know
    return token_for(server) or TokenStore().get(server)


def _lines(server: str, token: Token, who: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("server", server),
        ("name", who.get("name")),
        ("grants", grants_text(who)),
        ("expires", who.get("expiresAt") or "never"),
        ("created", who.get("createdAt")),
        ("token", f"{token} ({token.source})"),
        ("id", who.get("tokenId")),
    ]
