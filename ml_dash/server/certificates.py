"""The certificate that a server shows: one that is given, or one that it has made itself and keeps.

Files are read again when they have changed, so that a renewal needs no restart. What has changed and cannot be used, as
a certificate whose key has not been written yet, is told of and left alone: the server goes on with what it had.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.errors import FileStoreError, InvalidArgumentError
from ml_dash.journal.disk import sync_file
from ml_dash.storage.atomic import creating

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from ml_dash.server.settings import ServerSettings

_LOG = logging.getLogger("ml_dash.server")
SELF_SIGNED = "tls.pem"
"""The file in the data directory with the key and the certificate that a server has made."""
_DAYS = 3650
"""Clients have pinned it, and every one of them has to log in again when it changes."""
_SOON = dt.timedelta(days=14)


class Shown(NamedTuple):
    """What a server shows: the context for new connections, and of the certificate its SHA-256 and its end (UTC)."""

    context: ssl.SSLContext
    fingerprint: str
    ends: dt.datetime


class Certificates:
    """A certificate and its key, in files.

    Args:
        certificate: A file in PEM format: the server's certificate, then those of its authorities that clients lack.
        key: A file in PEM format with the private key, which is not encrypted.

    Attributes:
        shown: What new connections are shown.

    Raises:
        InvalidArgumentError: The files cannot be read, or do not belong together.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self._certificate, self._key = certificate, key
        self._stamp = self._stamped()
        self.shown = self._read()
        self._warn()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint as people compare it: ``AB:CD:…``."""
        digits = self.shown.fingerprint.upper()
        return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))

    def look(self, *, again: bool = False) -> bool:
        """Read the files if they have changed, or in any case `again`; returns whether something new is shown."""
        stamp = self._stamped()
        if stamp == self._stamp and not again:
            return False
        self._stamp = stamp
        try:
            shown = self._read()
        except InvalidArgumentError as error:
            _LOG.warning("%s. Connections are shown the certificate of before, until %s.", error, self._end)
            return False
        is_new, self.shown = shown.fingerprint != self.shown.fingerprint, shown
        if is_new:
            _LOG.warning("a new certificate is shown from now on: %s, until %s", self.fingerprint, self._end)
        self._warn()
        return is_new

    @property
    def _end(self) -> str:
        return f"{self.shown.ends:%Y-%m-%d %H:%M} UTC"

    def _warn(self) -> None:
        left = self.shown.ends - dt.datetime.now(dt.timezone.utc)
        if left < _SOON:
            runs = "ran out on" if left < dt.timedelta(0) else "runs out on"
            _LOG.warning(
                "the certificate %s %s %s: renew it. It is read again without a restart.",
                self._certificate,
                runs,
                self._end,
            )

    def _stamped(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._certificate, self._key))

    def _read(self) -> Shown:
        from cryptography import x509

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        named = f"--tls-cert {self._certificate!r} and --tls-key {self._key!r}"
        try:
            # Without a password, OpenSSL would ask for one on the terminal, and wait.
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
            with open(self._certificate, "rb") as file:
                first = x509.load_pem_x509_certificates(file.read())[0]
        except ssl.SSLError as error:
            reason = (
                "the key does not belong to the certificate"
                if error.reason == "KEY_VALUES_MISMATCH"
                else f"one of them is not in PEM format, or the key is encrypted ({error.reason or error})"
            )
            raise InvalidArgumentError(f"{named} cannot be used: {reason}") from None
        except OSError as error:
            raise InvalidArgumentError(f"{named} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise InvalidArgumentError(f"{named} cannot be used: {error}") from None
        ends = getattr(first, "not_valid_after_utc", None) or first.not_valid_after.replace(
            tzinfo=dt.timezone.utc
        )
        return Shown(context, hashlib.sha256(_der(first)).hexdigest(), ends)


def certificates_of(settings: ServerSettings) -> Certificates | None:
    """Return the certificate of a server's settings, made now if there is none yet; None for plain http.

    Raises:
        InvalidArgumentError: The files cannot be used, the options do not go together, or the certificate that was made
            has run out.
        OSError: The data directory cannot be written.
    """
    if not settings.self_signed:
        if settings.tls_cert is None:
            if settings.tls_key is not None:
                raise InvalidArgumentError(
                    "--tls-key is the key of a certificate: name that too, with --tls-cert"
                )
            return None
        return Certificates(settings.tls_cert, settings.tls_key or settings.tls_cert)
    if settings.tls_cert is not None or settings.tls_key is not None:
        raise InvalidArgumentError(
            "--self-signed makes a certificate, and --tls-cert names one: leave out one of the two"
        )
    path = os.path.join(settings.directory, SELF_SIGNED)
    if not os.path.exists(path):
        _make(path, settings.host)
    found = Certificates(path, path)
    if found.shown.ends <= dt.datetime.now(dt.timezone.utc):
        raise InvalidArgumentError(
            f"the certificate in {path!r} ran out on {found.shown.ends:%Y-%m-%d}, and no client accepts it any more: "
            "remove the file, so that the next start makes another one, and have everybody run `ml-dash login` again"
        )
    return found


def _make(path: str, host: str) -> None:
    """Make a key, and a certificate that it has signed itself, in one file: both are there, or none is."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = private + _signed(key, _names(host), dt.datetime.now(dt.timezone.utc))
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        with creating(path) as beside:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                sync_file(file.fileno())
    except FileStoreError:
        if not os.path.exists(path):
            raise
        # another server on this directory was faster: its certificate is the one


def _signed(key: ec.EllipticCurvePrivateKey, names: list[str], now: dt.datetime) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID

    # 64 characters is all that a common name has room for (RFC 5280, appendix A.1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"ML-Dash at {names[0]}"[:64])])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # a day back: clocks of clients differ
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _names(host: str) -> list[str]:
    """Return the names and addresses by which clients may know this machine, for those that check them."""
    own = socket.gethostname()
    names = [own if own.isascii() and own else "localhost", host, "localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(each for each in names if each not in {"", "0.0.0.0", "::"}))  # noqa: S104 - left out


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.DER)


def _no_password() -> str:
    raise InvalidArgumentError(
        "--tls-key is encrypted, and a server cannot ask for the password: decrypt it (`openssl pkey -in KEY -out NEW`)"
    )


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
