"""`ml-dash server`: serves experiments to all who have a token; `ml-dash server token` handles the tokens."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ml_dash.cli.commands.server_check import Data, DatabaseUrl, check, open_database
from ml_dash.cli.output import Screen, table
from ml_dash.cli.select import AsJson
from ml_dash.cli.text import age_text, complain, local_time, print_json
from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.origins import is_exposed
from ml_dash.server.accounts.grants import parse_grants
from ml_dash.server.settings import DEFAULT_DATA, ServerSettings

if TYPE_CHECKING:
    from ml_dash.server.accounts.token_records import TokenRecord
    from ml_dash.server.accounts.tokens import Tokens
    from ml_dash.server.runner import RunningServer

server = typer.Typer(invoke_without_command=True, rich_markup_mode=None, add_completion=False)
_token = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, list and revoke tokens, on the server's machine.",
)
server.add_typer(_token, name="token")
server.command("check")(check)


@server.callback()
def _serve(
    context: typer.Context,
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on; 0.0.0.0 is all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = 7007,
    data: Annotated[
        str, typer.Option("--data", metavar="DIR", help="The directory for the database and the rows.")
    ] = DEFAULT_DATA,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="An external database: postgresql://user:password@host/name.",
            show_default=False,
        ),
    ] = None,
    quota: Annotated[
        int | None,
        typer.Option(
            "--quota",
            metavar="BYTES",
            min=0,
            help="Largest size of all files of an owner, unless the owner has a limit of its own.",
            show_default=False,
        ),
    ] = None,
    file_limit: Annotated[
        int | None,
        typer.Option(
            "--file-limit",
            metavar="BYTES",
            min=0,
            help="Largest size of one file.",
            show_default=False,
        ),
    ] = None,
    keep_deleted: Annotated[
        float,
        typer.Option(
            "--keep-deleted",
            metavar="DAYS",
            min=0,
            help="How long a deleted experiment can be restored; then its rows are removed for good.",
        ),
    ] = 30,
    blobs: Annotated[
        str | None,
        typer.Option(
            "--blobs",
            metavar="URL",
            help="An external object store for files: s3://bucket/prefix, gs://…, az://….",
            show_default=False,
        ),
    ] = None,
    tls_cert: Annotated[
        str | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            help="Speak https, with the certificate in this file (PEM, its authorities' after it).",
            show_default=False,
        ),
    ] = None,
    tls_key: Annotated[
        str | None,
        typer.Option(
            "--tls-key",
            metavar="FILE",
            help="The certificate's key; by default in the same file.",
            show_default=False,
        ),
    ] = None,
    self_signed: Annotated[
        bool,
        typer.Option(
            "--self-signed",
            help="Speak https, with a certificate that the server makes itself; `ml-dash login` asks about it.",
        ),
    ] = False,
    base_path: Annotated[
        str,
        typer.Option(
            "--base-path",
            metavar="PATH",
            help="The path of the host below which a proxy has this server, such as /ml-dash.",
            show_default=False,
        ),
    ] = "",
    trusted_proxies: Annotated[
        list[str],
        typer.Option(
            "--trusted-proxy",
            metavar="CIDR",
            help="A proxy (address or network) whose X-Forwarded-For, -Proto and -Prefix count; may be repeated.",
        ),
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            metavar="URL",
            help="Where people reach the server: for links in alerts.",
            show_default=False,
        ),
    ] = None,
    alerts_allowed: Annotated[
        list[str],
        typer.Option(
            "--allow-alerts-to",
            metavar="HOST|CIDR",
            help="Send alerts there, too, although it is no address of the internet, or has no https; may be repeated.",
        ),
    ] = [],  # noqa: B006
    smtp: Annotated[
        str | None,
        typer.Option(
            "--smtp",
            metavar="URL",
            help="The mail server for alerts: smtp://user@host:587, or smtps://…; see ML_DASH_SMTP_PASSWORD.",
            show_default=False,
        ),
    ] = None,
    mail_from: Annotated[
        str | None,
        typer.Option(
            "--mail-from", metavar="ADDRESS", help="From whom the mail of alerts is.", show_default=False
        ),
    ] = None,
) -> None:
    """Serve experiments to everybody who has a token.

    It runs until Ctrl-C or SIGTERM. The first start takes the admin token from ML_DASH_ADMIN_TOKEN, or makes one and
    prints it, this once. `ml-dash server token` makes more tokens.
    """
    if context.invoked_subcommand is not None:
        return
    # what the extra `server` installs is missing for most users, who must still get the help
    try:
        from ml_dash.server.forwarding import parse_base, parse_proxies
        from ml_dash.server.runner import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError("ml-dash server", error.name or "aiohttp", "server") from error
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    # what is removed from the blob store is said, each object: it may have to be found again
    logging.getLogger("ml_dash.server.removals").setLevel(logging.INFO)
    settings = ServerSettings(
        host=host,
        port=port,
        data=data,
        database=database,
        blobs=blobs,
        quota_bytes=quota,
        file_bytes=file_limit,
        tls_cert=tls_cert,
        tls_key=tls_key,
        self_signed=self_signed,
        base_path=parse_base(base_path),
        deleted_age=keep_deleted * 86_400,
        trusted_proxies=parse_proxies(trusted_proxies),
        admin_token=os.environ.get("ML_DASH_ADMIN_TOKEN") or None,
        public_url=public_url,
        alerts_allowed=alerts_allowed,
        smtp_url=smtp,
        smtp_password=os.environ.get("ML_DASH_SMTP_PASSWORD") or None,
        mail_from=mail_from,
    )
    asyncio.run(serve(settings, partial(_announce, settings)))


def _announce(settings: ServerSettings, started: RunningServer) -> None:
    if started.admin_token is not None:
        complain("The admin token, shown this once (the server keeps only a hash of it):")
        typer.echo(f"Admin token: {started.admin_token}")
        complain(
            f"Sign in with it at {started.url} in a browser, or give it to `ml-dash login {started.url} --token -`."
        )
    if started.certificates is not None:
        typer.echo(f"Certificate SHA-256: {started.certificates.fingerprint}")
    elif warning := plain_warning(started.url, settings):
        complain(warning)
    typer.echo(f"Listening on {started.url}")
    # Who starts the server through a pipe waits for this line.
    sys.stdout.flush()


def plain_warning(url: str, settings: ServerSettings) -> str | None:
    """Return what to say of a server that speaks plain http to other machines, and not to a proxy; else None."""
    if not is_exposed(url) or settings.trusted_proxies:
        return None
    return (
        f"Warning: {url} is plain http for other machines: tokens and data can be read on the network, and clients "
        "refuse it. Use --self-signed, or --tls-cert and --tls-key; or put a proxy with TLS before it, and name that "
        "by --trusted-proxy"
    )


# No months, which have no fixed length; `m` is minutes.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}


@_token.command("create")
def _create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the token in lists.")],
    *,
    owner: Annotated[
        list[str],
        typer.Option(
            "--owner",
            metavar="OWNER[:SCOPE]",
            help="Whose experiments it may read, write or administer; may be repeated. '*' is every owner.",
        ),
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    scope: Annotated[
        str,
        typer.Option("--scope", metavar="SCOPE", help="read, write or admin, where --owner does not say."),
    ] = "write",
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything, and manage tokens.")] = False,
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="TIME", help="When it expires: after 12h, 30d, 8w, 1y, or never."),
    ] = "never",
    data: Data = DEFAULT_DATA,
    database: DatabaseUrl = None,
) -> None:
    """Make a token and print it, this once: the server keeps only a hash of it.

    It goes to standard output alone on a line, everything else to standard error.
    """
    lifetime = _seconds(expires)
    with _open_tokens(data, database) as tokens:
        grants = parse_grants(owner, scope)
        created = tokens.create(name, grants, admin=admin, expires_in=lifetime)
    complain(f"Token {created.record.token_id} ({_grants_text(created.record)}), shown this once:")
    typer.echo(created.token)


@_token.command("list")
def _list(*, data: Data = DEFAULT_DATA, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List all tokens that were ever made, also those that are no longer valid."""
    with _open_tokens(data, database) as tokens:
        records = tokens.list()
        if as_json:
            from ml_dash.server.api.tokens import token_answer

            print_json([msgspec.to_builtins(token_answer(record)) for record in records])
            return
    if not records:
        complain("no tokens")
        return
    columns = ["id", "name", "grants", "state", "created", "expires", "last used"]
    now = time.time_ns()
    Screen().show(table(columns, [_row(each, now) for each in records]))


@_token.command("revoke")
def _revoke(
    token_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `list` shows it: tok_….")],
    *,
    data: Data = DEFAULT_DATA,
    database: DatabaseUrl = None,
) -> None:
    """Revoke tokens. A running server refuses them within a second."""
    unknown = 0
    with _open_tokens(data, database) as tokens:
        for token_id in token_ids:
            # who gives the token itself must not find it on the screen, and in the logs of it
            shown = token_id if token_id.startswith("tok_") else "that is not the id of a token"
            # The others go on: who revokes several after a leak must not be stopped by a typing error.
            if tokens.revoke(token_id):
                typer.echo(f"Revoked {token_id}")
            else:
                unknown += 1
                complain(f"Error: there is no such token: {shown}; `ml-dash server token list` shows them")
    if unknown:
        raise typer.Exit(1)


@contextmanager
def _open_tokens(data: str, database: str | None) -> Iterator[Tokens]:
    """Open the tokens of a server that exists."""
    with open_database(ServerSettings(data=data, database=database)) as opened:
        # not at the top: what the extra `server` installs is missing for most users
        from ml_dash.server.accounts.tokens import Tokens

        yield Tokens(opened)


def _seconds(text: str) -> float | None:
    if text == "never":
        return None
    found = re.fullmatch(rf"(\d{{1,6}})([{''.join(_UNITS)}])", text)
    if found is None:
        raise InvalidArgumentError(
            f"--expires {text!r} is not a time: use a number and a unit, such as 12h, 30d, 8w, 1y"
        )
    return int(found[1]) * _UNITS[found[2]]


def _row(record: TokenRecord, now: int) -> list[Any]:
    expires, used = record.expires_ns, record.used_ns
    return [
        record.token_id,
        record.name,
        _grants_text(record),
        _state(record, now),
        local_time(record.created_ns)[:10],
        local_time(expires)[:10] if expires else "never",
        age_text(used, now) if used else "never",
    ]


def _state(record: TokenRecord, now: int) -> str:
    if record.revoked_ns is not None:
        return "revoked"
    return "valid" if record.is_valid(now) else "expired"


def _grants_text(record: TokenRecord) -> str:
    words = [f"{owner}:{scope.word}" for owner, scope in record.grants.items()]
    return ", ".join((["admin"] if record.admin else []) + words)
