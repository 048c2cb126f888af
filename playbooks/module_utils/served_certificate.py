"""Asks a TLS server what it serves: its certificate, whether clients would believe it, and one page."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from ansible.module_utils.certificate_der import Certificate, CertificateError, from_der
from ansible.module_utils.disk_candidate import shown

SECONDS = 5.0
_MOST_ANSWER = 4096


@dataclass(frozen=True)
class TlsPlace:
    """Where a server is asked, and by which name."""

    address: str
    port: int
    name: str

    @property
    def shown(self) -> str:
        """The place for people."""
        return f"{self.address}:{self.port} (asked for {self.name})"


def served(place: TlsPlace) -> Certificate:
    """Return the certificate that is served, whatever it is worth; raises CertificateError when none is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # A weak key is what somebody wants to be told about: it must not end the handshake.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        with _connected(place, context) as connection:
            found = connection.getpeercert(binary_form=True)
    except OSError as error:
        raise CertificateError(f"{place.shown} serves no certificate: {_words(error)}") from error
    if not found:
        raise CertificateError(f"{place.shown} serves no certificate")
    return from_der(found)


def distrust(place: TlsPlace, ca_bundle: str) -> str:
    """Return why a client would not believe the server, or nothing; without a bundle the system's store decides."""
    try:
        with _connected(place, _trusting(ca_bundle)):
            return ""
    except OSError as error:
        return _words(error)


def page_status(place: TlsPlace, path: str, ca_bundle: str) -> int:
    """Return the status with which the server answers a request, as a client that trusts it sees it."""
    with _connected(place, _trusting(ca_bundle)) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: {place.name}\r\nUser-Agent: remediate\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        answer = b""
        while b"\r\n" not in answer and len(answer) < _MOST_ANSWER and (more := connection.recv(_MOST_ANSWER)):
            answer += more
    words = answer.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ConnectionError(f"the answer is not HTTP: {shown(answer[:60].decode('latin-1'))}")
    return int(words[1])


def _trusting(ca_bundle: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise CertificateError(f"the bundle of trusted authorities {ca_bundle} cannot be used: {error}") from error
    # Newer versions of Python refuse authorities that lack what older rules did not ask for; browsers take them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _connected(place: TlsPlace, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((place.address, place.port), timeout=SECONDS)
    try:
        return context.wrap_socket(plain, server_hostname=place.name)
    except BaseException:
        plain.close()
        raise


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return shown(str(error.verify_message))[:200]
    return shown(str(getattr(error, "reason", None) or error.strerror or error))[:200]
