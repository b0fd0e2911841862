"""Mail, by the server of the operator's."""

from __future__ import annotations

import re
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ml_dash.errors import InvalidArgumentError
from ml_dash.origins import is_loopback
from ml_dash.server.alerts.wording import one_line, text_of

if TYPE_CHECKING:
    from ml_dash.server.alerts.telling import Message

_SECONDS = 15.0
"""How long a mail server may take for one answer."""
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
)


class MailServer(NamedTuple):
    """Where mail is handed in.

    Attributes:
        host: The server.
        port: Its port.
        is_tls: Whether TLS comes first (``smtps``); else STARTTLS is asked for where the server has it.
        user: Who logs in; None: nobody.
        password: Theirs.
        sender: From whom mail is.
    """

    host: str
    port: int
    is_tls: bool
    user: str | None
    password: str | None
    sender: str


def parse_mail_server(url: str | None, sender: str | None, password: str | None) -> MailServer | None:
    """Return where mail is handed in; None where no server is named.

    Raises:
        InvalidArgumentError: The URL is no mail server's, or there is no sender.
    """
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in {"smtp", "smtps"} or not host or parts.password is not None:
        raise InvalidArgumentError(
            "--smtp is not the URL of a mail server: give smtp://user@host:587, or smtps://…, and the password by "
            "ML_DASH_SMTP_PASSWORD"
        )
    if sender is None or not is_mail_address(sender):
        raise InvalidArgumentError(
            f"--mail-from {sender!r:.100} is no address: name from whom mail is, as alerts@example.org"
        )
    is_tls = parts.scheme == "smtps"
    user = unquote(parts.username) if parts.username else None
    return MailServer(host, port or (465 if is_tls else 25), is_tls, user, password, sender)


def is_mail_address(text: str) -> bool:
    """Say whether mail may be sent to a text: one address, without a name."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def mail_of(message: Message, server: MailServer) -> EmailMessage:
    """Return a message as mail."""
    body: dict[str, Any] = message.body
    mail = EmailMessage()
    mail["Subject"] = one_line(body["title"])
    mail["From"] = server.sender
    mail["To"] = message.rule.destination.address
    mail["Date"] = formatdate(localtime=False)
    # the same however often it is sent: mail programs show one of them
    mail["Message-ID"] = f"<{message.id}@{server.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    rule = message.rule
    # lone surrogates, which titles may have, are in no mail
    text = (
        f"{text_of(body)}\n\n-- \nThe rule {one_line(rule.name)} of {rule.owner} ({rule.id}) has sent this.\n"
    )
    mail.set_content(text.encode("utf-8", "replace").decode())
    return mail


def send_mail(message: Message, server: MailServer) -> None:
    """Hand a message in; to be called on a thread.

    Raises:
        OSError: The server cannot be reached, or refuses: `smtplib.SMTPException` is one.
    """
    context = ssl.create_default_context()
    mail = mail_of(message, server)
    if server.is_tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=_SECONDS, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=_SECONDS)
    with connection:
        connection.ehlo()
        is_secret = server.is_tls
        if not server.is_tls and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
            is_secret = True
        if server.user is not None:
            if not is_secret and not is_loopback(server.host):
                raise smtplib.SMTPException("it has no TLS: the password is not sent in the clear")
            connection.login(server.user, server.password or "")
        connection.send_message(mail)
