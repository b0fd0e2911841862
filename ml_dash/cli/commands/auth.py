"""`ml-dash login`, `logout` and `whoami`: the tokens that this machine has for servers."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from typing import Annotated, Any

import typer

from ml_dash.cli.doorway import Doorway
from ml_dash.cli.select import AsJson
from ml_dash.cli.text import complain, print_json
from ml_dash.client.destination import server_url
from ml_dash.client.login import Authorization, Left, begin, finish, leave, who_am_i
from ml_dash.errors import InvalidArgumentError, ServerUnavailableError
from ml_dash.tokens import LoginError, Token, TokenStore, token_for
from ml_dash.tokens.current import VARIABLE
from ml_dash.tokens.token import AuthError
from ml_dash.visible import visible

ServerUrl = Annotated[
    str | None,
    typer.Argument(
        metavar="[URL]",
        help="The server; by default that of ML_DASH_API_URL, or https://api.dash.ml.",
        show_default=False,
    ),
]

# ASCII, which every terminal has.
_FRAMES = "|/-\\"
_FRAME_SECONDS = 0.2
# A token is far shorter; what is piped in by mistake must not fill the memory.
_INPUT_MAX = 64 * 1024


def login(
    url: ServerUrl = None,
    *,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", metavar="-", help="Store a token that you have; - reads it from standard input."
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Open the page of the approval in a browser.")
    ] = False,
) -> None:
    """Log in to a server, and store the token for it.

    It shows an address and a code: approve the login there, in any browser, on any machine. A script that is running
    notices the new token without a restart.
    """
    server = server_named(url)
    got = _by_device_flow(server, browser=browser) if token is None else _pasted(token)
    who = asyncio.run(who_am_i(server, got))
    # Stored last: a token that the server refuses must not replace one that works.
    TokenStore().put(server, got)
    typer.echo(f"Logged in to {server} as {describe(who)}")
    if os.environ.get(VARIABLE):
        complain(f"Note: {VARIABLE} is set, and is used instead of the stored token while it is")


def server_named(url: str | None) -> str:
    """Return the server that a command is about, in the form in which it is shown."""
    return server_url(True if url is None else url)


def describe(who: dict[str, Any]) -> str:
    """Return who a token is, what it may do and until when, on one line."""
    expires = who.get("expiresAt")
    until = f"until {str(expires)[:10]}" if expires else "never expires"
    return visible(f"{who.get('name')}: {grants_text(who)}, {until}")


def grants_text(who: dict[str, Any]) -> str:
    """Return what a token may do, from a server's answer: ``alice:write, bob:read``."""
    grants = who.get("grants")
    words = [
        f"{each.get('owner')}:{each.get('scope')}"
        for each in (grants if isinstance(grants, list) else [])
        if isinstance(each, dict)
    ]
    return ", ".join((["admin"] if who.get("admin") else []) + words) or "nothing"


def _pasted(option: str) -> Token:
    if option != "-":
        # not shown again: it may be a token
        raise InvalidArgumentError(
            "--token takes '-', which reads the token from standard input: on the command line it would stay in the "
            "shell's history"
        )
    if sys.stdin.isatty():
        return Token(getpass.getpass("Token: "), "from the terminal", is_shared=True)
    return Token(sys.stdin.read(_INPUT_MAX), "from standard input", is_shared=True)


def _by_device_flow(server: str, *, browser: bool) -> Token:
    # The code is shown beside the address that holds it, to be compared on the page (RFC 8628, section 3.3.1).
    authorization = asyncio.run(begin(server))
    typer.echo(
        f"To log in to {server}, open\n\n    {visible(authorization.where_with_code)}\n\n"
        f"and compare the code: {visible(authorization.user_code)}"
    )
    doorway = Doorway(authorization.where_with_code, "Approve the login")
    try:
        if browser:
            doorway.open()
        return asyncio.run(_wait(server, authorization))
    finally:
        doorway.close()


async def _wait(server: str, authorization: Authorization) -> Token:
    """Wait for the approval; on a terminal, a line shows that something goes on."""
    if not sys.stderr.isatty():
        complain("Waiting for the approval…")
        return await finish(server, authorization)
    spinner = asyncio.ensure_future(_spin())
    try:
        return await finish(server, authorization)
    finally:
        spinner.cancel()
        # Back to the beginning of the line, and erase it to its end (ECMA-48).
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


async def _spin() -> None:
    turn = 0
    while True:
        sys.stderr.write(f"\r{_FRAMES[turn % len(_FRAMES)]} Waiting for the approval… (Ctrl-C gives up)")
        sys.stderr.flush()
        turn += 1
        await asyncio.sleep(_FRAME_SECONDS)


def logout(
    url: ServerUrl = None,
    *,
    everywhere: Annotated[bool, typer.Option("--all", help="Log out of every server.")] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Revoke the token at the server even if others use it.")
    ] = False,
) -> None:
    """Forget the stored token for a server, and revoke it if a login of this machine made it.

    A token that was given with `login --token -`, or an admin's, may be in use elsewhere: it stays valid at the server,
    unless --revoke says otherwise. It is forgotten here in any case. Exit code 1: the server cannot be reached, and the
    token that was to be revoked stays valid there.
    """
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
    done = [_leave(store, place, token, revoke=revoke) for place, token in tokens.items()]
    if os.environ.get(VARIABLE):
        complain(f"Note: {VARIABLE} is set; its token was not touched")
    if not all(done):
        raise typer.Exit(1)


def _leave(store: TokenStore, place: str, token: Token, *, revoke: bool) -> bool:
    """Log out of one server; returns whether all is as it should be there."""
    try:
        left = asyncio.run(leave(place, token, revoke=revoke))
    except (AuthError, ServerUnavailableError) as error:
        complain(f"Warning: {error}")
        typer.echo(f"Forgot the token for {place}; it is STILL VALID there until it is revoked or expires")
        return False
    finally:
        # Also where the server cannot be reached: who leaves a shared machine must not leave a token on it.
        store.remove(place)
    typer.echo(
        {
            Left.REVOKED: f"Logged out of {place}: the token is revoked",
            Left.KEPT: f"Logged out of {place}: the token ({token}) is forgotten here. No login here made it, "
            "and it stays valid for others who use it: `ml-dash server token revoke` ends it",
            Left.INVALID: f"Forgot the token for {place}, which was no longer valid",
        }[left]
    )
    return True


def whoami(url: ServerUrl = None, *, as_json: AsJson = False) -> None:
    """Show which token is used for a server, and what it may do there."""
    server = server_named(url)
    # `token_for` takes a store that cannot be read for an empty one; here the reason is what the user wants to know
    token = token_for(server) or TokenStore().get(server)
    if token is None:
        raise LoginError(
            f"there is no token for {server}: run `ml-dash login {server}`, or set ML_DASH_TOKEN"
        )
    # The server is asked each time: only it knows whether the token was revoked meanwhile.
    who = asyncio.run(who_am_i(server, token))
    if as_json:
        print_json({"server": server, "source": token.source, **who})
        return
    facts = {
        "server": server,
        "name": who.get("name"),
        "grants": grants_text(who),
        "expires": who.get("expiresAt") or "never",
        "created": who.get("createdAt"),
        "token": f"{token} ({token.source})",
        "id": who.get("tokenId"),
    }
    for name, value in facts.items():
        typer.echo(f"{name:8} {visible(str(value))}")
