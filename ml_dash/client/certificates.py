"""Certificates of servers: one that is pinned, and one that is only looked at.

A pinned certificate is accepted whoever has signed it and whatever host it names, as long as it is that one and has not
run out. It is checked when the connection is made, before a byte of a request is sent; through a proxy as well.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import hashlib
from typing import NamedTuple

import aiohttp

from ml_dash.trust import show_fingerprint


class Certificate(NamedTuple):
    """A certificate as a server has shown it: its SHA-256 as 64 hexadecimal digits, and when it runs out (UTC)."""

    fingerprint: str
    ends: dt.datetime

    @classmethod
    def of(cls, der: bytes) -> Certificate:
        """Return what a certificate, encoded by DER, says."""
        from cryptography import x509

        read = x509.load_der_x509_certificate(der)
        # `not_valid_after_utc` came with cryptography 42
        ends = getattr(read, "not_valid_after_utc", None) or read.not_valid_after.replace(
            tzinfo=dt.timezone.utc
        )
        return cls(hashlib.sha256(der).hexdigest(), ends)

    @property
    def has_ended(self) -> bool:
        """Whether it has run out, by this machine's clock."""
        return dt.datetime.now(dt.timezone.utc) >= self.ends

    @property
    def end(self) -> str:
        """The day on which it runs out, for people."""
        return f"{self.ends:%Y-%m-%d %H:%M} UTC"


class CertificateRefusedError(aiohttp.ServerFingerprintMismatch):
    """A server has shown another certificate than the one that is pinned, or one that has run out.

    Attributes:
        found: What it has shown.
        pinned: The fingerprint of what is pinned; None where it is only looked at.
    """

    def __init__(self, found: Certificate, pinned: str | None) -> None:
        super().__init__(bytes.fromhex(pinned or ""), bytes.fromhex(found.fingerprint), "", 0)
        self.found = found
        self.pinned = pinned

    def __str__(self) -> str:
        shown = show_fingerprint(self.found.fingerprint)
        if self.pinned is None:
            return f"its certificate, with the SHA-256 fingerprint {shown}, was looked at"
        if self.pinned != self.found.fingerprint:
            return (
                f"its certificate is not the one that is trusted. Trusted is {show_fingerprint(self.pinned)}, and "
                f"it shows {shown} (SHA-256). Somebody may be in between. If the server has a new certificate, compare "
                "that with what `ml-dash server` prints when it starts, and then run "
                f"`ml-dash login --fingerprint {shown}` with its URL"
            )
        return (
            f"its certificate ran out on {self.found.end}. At the server, renew it (of --self-signed: remove tls.pem "
            "in its data directory, and start it again), and then log in again; or set this machine's clock"
        )


class Pin(aiohttp.Fingerprint):
    """Accepts one certificate; without a fingerprint none, which tells what a server shows."""

    def __init__(self, fingerprint: str | None) -> None:
        super().__init__(bytes.fromhex(fingerprint) if fingerprint else bytes(32))
        self._pinned = fingerprint

    def check(self, transport: asyncio.Transport) -> None:
        """Raise CertificateRefusedError unless the connection's certificate is the one; see `aiohttp.Fingerprint`."""
        secure = transport.get_extra_info("ssl_object")
        if secure is None:
            return  # of an http proxy; the connection through it has TLS of its own
        found = Certificate.of(secure.getpeercert(binary_form=True))
        if found.fingerprint != self._pinned or found.has_ended:
            # aiohttp only closes it, which waits for the goodbye of one who is not trusted
            asyncio.get_running_loop().call_soon(transport.abort)
            raise CertificateRefusedError(found, self._pinned)


@functools.cache
def pin(fingerprint: str | None) -> Pin:
    """Return the one pin of a fingerprint: connections that were checked by the same one are shared."""
    return Pin(fingerprint)
