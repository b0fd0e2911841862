"""`ml-dash login`, `logout` and `whoami`: the tokens that this machine has for servers."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ml_dash.cli.doorway import Doorway
from ml_dash.cli.select import AsJson
from ml_dash.cli.text import complain, print_json
from ml_dash.client.destination import default_url, server_url
from ml_dash.client.login import Authorization, Left, begin, finish, leave, unknown_certificate, who_am_i
from ml_dash.client.transport import TransportError
from ml_dash.errors import InvalidArgumentError, ServerUnavailableError
from ml_dash.origins import any_origin, origin, parse_address
from ml_dash.tokens import LoginError, Token, TokenStore, token_for
from ml_dash.tokens.current import VARIABLE
from ml_dash.tokens.token import AuthError
from ml_dash.tokens.trusting import choose, forget
from ml_dash.trust import NONE, Trust, all_trusted, parse_fingerprint, show_fingerprint, trust_in, trusting
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
    fingerprint: Annotated[
        str | None,
        typer.Option(
            "--fingerprint",
            metavar="SHA256",
            help="Trust the certificate with this fingerprint, as `ml-dash server` prints it, and no other.",
            show_default=False,
        ),
    ] = None,
    insecure_http: Annotated[
        bool,
        typer.Option(
            "--insecure-http",
            help="Send the token and all data to this server over plain http, until `ml-dash logout`.",
        ),
    ] = False,
) -> None:
    """Log in to a server, and store the token for it.

    It shows an address and a code: approve the login there, in any browser, on any machine. A script that is running
    notices the new token without a restart.

    Of a server that has made its certificate itself, the fingerprint is shown: compare it with what the server printed
    when it started. From then on no other certificate is accepted for that server.
    """
    given = default_url() if url is None else url
    with _trusted(given, fingerprint, insecure_http=insecure_http) as chosen, _maybe_https(given):
        server = server_named(given)
        got = _by_device_flow(server, browser=browser) if token is None else _pasted(token)
        who = asyncio.run(who_am_i(server, got))
        # Stored last: a token that the server refuses must not replace one that works.
        if chosen is not None:
            choose(origin(server), chosen)
        TokenStore().put(server, got)
    typer.echo(f"Logged in to {server} as {describe(who)}")
    if os.environ.get(VARIABLE):
        complain(f"Note: {VARIABLE} is set, and is used instead of the stored token while it is")


@contextmanager
def _trusted(given: str, fingerprint: str | None, *, insecure_http: bool) -> Iterator[Trust | None]:
    """Trust a server as the user says, for as long as the block takes; gives what is to be stored, if anything."""
    place = any_origin(given)
    is_https = place.startswith("https:")
    chosen: Trust | None
    if insecure_http:
        if is_https or fingerprint is not None:
            raise InvalidArgumentError(
                f"{place}: --insecure-http is for an http:// URL without --fingerprint: leave it out"
            )
        chosen = Trust(plain=True)
        with trusting(place, chosen):
            if not parse_address(given).is_exposed:
                raise InvalidArgumentError(
                    f"{place} is this machine, where plain http is safe: leave out --insecure-http"
                )
            complain(
                f"Warning: whoever is on the network between here and {place} can read the token and all that is sent, "
                f"and change it. `ml-dash logout {place}` ends this"
            )
            yield chosen
        return
    if fingerprint is not None:
        if not is_https:
            raise InvalidArgumentError(f"{place} has no certificate: --fingerprint is for https:// URLs")
        chosen = Trust(parse_fingerprint(fingerprint))
    else:
        server = server_named(
            given
        )  # first: plain http that nobody has chosen is told of by a better message
        chosen = _asked_for(server) if is_https else None
    if chosen is None:
        yield None
        return
    with trusting(place, chosen):
        yield chosen


@contextmanager
def _maybe_https(given: str) -> Iterator[None]:
    """Say what it mostly means that a server hangs up on plain http."""
    place = any_origin(given)
    try:
        yield
    except TransportError as error:
        if error.kind != "cut" or not place.startswith("http:"):
            raise
        raise LoginError(
            f"{error}. Does it speak https? Then it is `ml-dash login https{place.removeprefix('http')}`"
        ) from error


def _asked_for(server: str) -> Trust | None:
    """Ask the person whether to trust a server's certificate, if nobody vouches for it.

    Raises:
        LoginError: It is not trusted.
    """
    found = asyncio.run(unknown_certificate(server))
    if found is None:
        return None
    shown = show_fingerprint(found.fingerprint)
    if not sys.stdin.isatty():
        raise LoginError(
            f"no authority vouches for the certificate of {server}, whose SHA-256 fingerprint is {shown}: if that is "
            f"what `ml-dash server` printed there, run `ml-dash login {server} --fingerprint {shown}`"
        )
    complain(
        f"No authority vouches for the certificate of {server}.\nIts SHA-256 fingerprint is\n\n    {shown}\n\n"
        "Compare it with the one that `ml-dash server` printed when it started there."
    )
    if not typer.confirm("Is it the same, and do you trust it from now on?", err=True):
        raise LoginError(f"the certificate of {server} is not trusted, and nothing was sent to it")
    return Trust(found.fingerprint)


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
    """Forget the stored token for a server.

    It is revoked, too, if a login of this machine made it.
    A token that was given with `login --token -`, or an admin's, may be in use elsewhere: it stays valid at the server,
    unless --revoke says otherwise. It is forgotten here in any case, and so is the server's certificate, or that plain
    http was chosen for it. Exit code 1: the server cannot be reached, and the token that was to be revoked stays valid
    there.
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
    # After the tokens: the server was asked to revoke them by what is trusted until now.
    for place in all_trusted() if everywhere else [any_origin(server)]:
        if forget(place):
            typer.echo(f"{place} is trusted no more as `ml-dash login` had chosen")
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
    trust = trust_in(origin(server))
    if as_json:
        pinned = None if trust.fingerprint is None else show_fingerprint(trust.fingerprint)
        print_json(
            {"server": server, "source": token.source, "fingerprint": pinned, "insecure": trust.plain, **who}
        )
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
    if trust != NONE:
        facts["trusted"] = (
            "over plain http: others on the network can read along"
            if trust.plain
            else f"by the certificate {show_fingerprint(trust.fingerprint or '')} alone"
        )
    for name, value in facts.items():
        typer.echo(f"{name:8} {visible(str(value))}")
