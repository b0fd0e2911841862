"""The settings of a server: where it listens, where it keeps its data, and its limits, each with its unit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_dash.paths import absolute_path
from ml_dash.protocol import FRAMES_BYTES_MAX, PAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    Network = IPv4Network | IPv6Network

DEFAULT_DATA = ".dash-server"
"""The default data directory, below the current one."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The tunables of one server process; times in seconds, sizes in bytes.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        data: The directory for what has no URL of its own: the SQLite file and the objects.
        database: The URL of the database; None: ``<data>/catalogue.sqlite``.
        blobs: The URL of the object store (``s3://…``, ``gs://…``, ``az://…``, ``file:///…``); None: ``<data>/blobs``.
        admin_token: The first admin token, if there is none yet; None to generate one.
        tls_cert: A file with the certificate to show, in PEM format; None: plain http.
        tls_key: A file with its key; None: it is in the same file.
        self_signed: Whether to show a certificate that the server makes itself, and keeps in the data directory.
        base_path: The path of the host below which the server is reached, as ``/ml-dash``; empty: the whole host.
        trusted_proxies: Networks of proxies whose X-Forwarded-For, -Proto and -Prefix say who asks, and where.
        request_bytes: Largest request with frames, after decompression.
        json_bytes: Largest other request.
        memory_bytes: Most bytes of requests in memory at once; beyond, 503.
        answers_bytes: Most bytes of answers in memory at once; beyond, 503.
        page_bytes: Most bytes of the items in one answer of a list, unless the first alone has more.
        connections: Most open connections; fewer where the process may not open as many files.
        waiting_jobs: Most requests that wait for the next commit; beyond, 503.
        commit_jobs: Most requests that share a commit.
        commit_bytes: Most bytes that share a commit, unless a single request has more.
        object_bytes: Least bytes of a request's rows that go to the object store, and not into the database.
        compact_rows: How many rows of a series, in small blocks, are merged into large ones.
        stale_after: How long a running run may send no heartbeat before it counts as dead.
        orphan_age: Least age at which an object that nothing refers to is removed. It is far longer than any request
            takes, because an object is written before the transaction that refers to it.
        trash_age: How long an object that was removed can be brought back.
        upkeep_interval: Time between two searches for what is to be merged and removed.
        quota_bytes: Most bytes that the blobs of an owner may have together; None for no limit. Owners may have limits
            of their own.
        file_bytes: Largest size of one file; None for no limit.
        file_grace: How long the blob of a deleted file is kept.
        deleted_age: How long a deleted experiment can be restored, before its rows are removed; None for ever.
        public_url: Where people reach the server, for links in messages; None: messages have none.
        alerts_allowed: Hosts, addresses and networks that messages may be sent to besides those of the internet.
        smtp_url: The mail server, as ``smtp://user@host:587``; None: no mail is sent.
        smtp_password: The password for it.
        mail_from: From whom mail is.
        alert_seconds: How long one message may take to be sent.
        alert_lease: For how long a message is that of the server that tries to send it; longer than it may take.
        shutdown_timeout: How long a shutdown waits for the requests that were accepted.
        head_timeout: How long a connection may take for the head of its first request.
        body_timeout: How long a request's body may make no progress, and a client may take nothing of an answer.
    """

    host: str = "127.0.0.1"
    port: int = 7007
    data: str = DEFAULT_DATA
    database: str | None = None
    blobs: str | None = None
    admin_token: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    self_signed: bool = False
    base_path: str = ""
    trusted_proxies: Sequence[Network] = ()
    request_bytes: int = FRAMES_BYTES_MAX
    json_bytes: int = 4 << 20
    memory_bytes: int = 256 << 20
    answers_bytes: int = 256 << 20
    page_bytes: int = PAGE_BYTES_MAX
    connections: int = 8192
    waiting_jobs: int = 1024
    commit_jobs: int = 256
    commit_bytes: int = 64 << 20
    object_bytes: int = 256 << 10
    compact_rows: int = 10_000
    stale_after: float = 90.0
    orphan_age: float = 3600.0
    trash_age: float = 7 * 86_400.0
    upkeep_interval: float = 60.0
    quota_bytes: int | None = None
    file_bytes: int | None = None
    file_grace: float = 30 * 86_400.0
    deleted_age: float | None = 30 * 86_400.0
    public_url: str | None = None
    alerts_allowed: Sequence[str] = ()
    smtp_url: str | None = None
    smtp_password: str | None = None
    mail_from: str | None = None
    alert_seconds: float = 10.0
    alert_lease: float = 60.0
    shutdown_timeout: float = 30.0
    head_timeout: float = 10.0
    body_timeout: float = 60.0

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return self.database or f"sqlite:///{os.path.join(self.directory, 'catalogue.sqlite')}"

    @property
    def blobs_url(self) -> str:
        """The URL of the object store, or the path of its directory."""
        return self.blobs or os.path.join(self.directory, "blobs")

    @property
    def directory(self) -> str:
        """The absolute path of the data directory."""
        return absolute_path(self.data, "--data", DEFAULT_DATA)
