"""The certificate by which the service proves who it is, and which TLS is spoken with it."""

import logging
import ssl
from datetime import UTC, datetime

from cryptography import x509

from cs_archiver.errors import ConfigError
from cs_archiver.settings import CLOSED_FILE, Settings, mode_if_open

_log = logging.getLogger(__name__)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with the configured certificate; None where there is none, and plain HTTP is spoken.

    Raises ConfigError for files that cannot be used. A certificate out of its time is only warned of: a service that
    does not start helps nobody to a new one.
    """
    server = settings.server
    if not server.tls_certificate:
        return None
    _warn_of_wrong_time(_certificate(settings), server.tls_certificate)
    _require_private_key(settings)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2; those of 1.3 are as good
    try:
        context.load_cert_chain(server.tls_certificate, server.tls_key, password=_no_passphrase)
    except OSError as error:
        expected = "the key in PEM, without a passphrase, that belongs to tls_certificate"
        raise _wrong(settings, "tls_key", expected, server.tls_key, error) from error
    return context


def _certificate(settings: Settings) -> x509.Certificate:
    path = settings.server.tls_certificate
    try:
        with open(path, "rb") as stream:
            return x509.load_pem_x509_certificates(stream.read())[0]
    except (OSError, ValueError) as error:
        raise _wrong(settings, "tls_certificate", "a certificate in PEM", path, error) from error


def _require_private_key(settings: Settings) -> None:
    path = settings.server.tls_key
    try:
        mode = mode_if_open(path)
    except OSError as error:
        raise _wrong(settings, "tls_key", "a readable file", path, error) from error
    if mode is not None:
        raise settings.origin.wrong("server", "tls_key", CLOSED_FILE, f"{path!a} with the mode {mode}")


def _warn_of_wrong_time(certificate: x509.Certificate, path: str) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= datetime.now(UTC) <= ends:
        _log.warning("clients will refuse the certificate %s: it counts from %s to %s only", path, begins, ends)


def _no_passphrase() -> str:
    """Without this, OpenSSL would ask for one at the terminal, and a service has nobody there."""
    return ""


def _wrong(settings: Settings, key: str, expected: str, path: str, error: Exception) -> ConfigError:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "not to be read").lower().replace("_", " ")
    else:
        reason = getattr(error, "strerror", None) or "not to be read"
    return settings.origin.wrong("server", key, expected, f"{path!a}: {reason}")
