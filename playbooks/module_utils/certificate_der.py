"""Reads X.509 certificates without any library: only what an operator asks of one, and nothing is believed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
#: No certificate that a browser takes is nearly as large.
_MOST_BYTES = 128 << 10
_MOST_NAMES = 1000
_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _OID = 0x30, 0x31, 0x02, 0x03, 0x04, 0x06
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS, _DNS_NAME = 0xA0, 0xA3, 0x82
_ALTERNATIVE_NAMES, _RSA, _EC = "2.5.29.17", "1.2.840.113549.1.1.1", "1.2.840.10045.2.1"
_CURVES = {"1.2.840.10045.3.1.7": ("P-256", 256), "1.3.132.0.34": ("P-384", 384), "1.3.132.0.35": ("P-521", 521)}
_ATTRIBUTES = {"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU"}
_WIDE_TEXT = 0x1E


class CertificateError(StepError):
    """What was read is no certificate, or none that can be understood."""


@dataclass(frozen=True)
class Certificate:
    """What one certificate says."""

    subject: str
    issuer: str
    #: The host names that it is for; at most so many are kept as anybody would look at.
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: str
    #: SHA-256 of the whole certificate, in hex.
    fingerprint: str
    #: `RSA`, `EC` or the object identifier of another kind, and how long the key is (0: not known).
    key_type: str
    key_bits: int

    def seconds_left(self, now: datetime) -> float:
        """Return how long it is still valid; negative when it has expired."""
        return (self.not_after - now).total_seconds()

    def days_left(self, now: datetime) -> float:
        """Return the same in days."""
        return self.seconds_left(now) / 86400

    @property
    def weakness(self) -> str:
        """Why its key is too weak, or nothing."""
        if self.key_type == "RSA" and self.key_bits < 2048:
            return f"an RSA key of {self.key_bits} bits is too short"
        if self.key_type == "EC" and 0 < self.key_bits < 256:
            return f"an EC key of {self.key_bits} bits is too short"
        return ""


def from_pem(content: bytes) -> Certificate:
    """Return the first certificate of a PEM file: the one of the host itself, where nginx expects it."""
    found = _BLOCK.search(content)
    if not found:
        raise CertificateError("it holds no certificate in the form PEM")
    try:
        return from_der(base64.b64decode(b"".join(found.group(1).split()), validate=True))
    except binascii.Error as error:
        raise CertificateError(f"its certificate is damaged: {error}") from error


def from_der(data: bytes) -> Certificate:
    """Return a certificate as it comes in a handshake."""
    if len(data) > _MOST_BYTES:
        raise CertificateError(f"a certificate of {len(data)} bytes is none")
    try:
        return _certificate(data)
    except CertificateError:
        raise
    except (IndexError, ValueError, OverflowError) as error:
        raise CertificateError(f"it is no whole certificate ({shown(str(error))[:100]})") from error


def covers(certificate: Certificate, name: str) -> bool:
    """Return whether a certificate is for this name; a star stands for exactly one label."""
    wanted = name.lower()
    parent = "*." + wanted.partition(".")[2]
    return any(one.lower() == wanted or (one.lower() == parent and "." in wanted) for one in certificate.names)


def _certificate(data: bytes) -> Certificate:
    whole = _expect(data, _SEQUENCE)
    parts = list(_parts(_expect(whole, _SEQUENCE)))
    if parts and parts[0][0] == _VERSION:
        parts.pop(0)
    serial, _, issuer, validity, subject, key = parts[:6] if len(parts) >= 6 else _refuse("parts are missing")
    begin, end = list(_parts(validity[1]))[:2]
    kind, bits = _key(key[1])
    extensions = next((content for tag, content in parts[6:] if tag == _EXTENSIONS), b"")
    return Certificate(
        subject=_name(subject[1]),
        issuer=_name(issuer[1]),
        names=_alternative_names(extensions),
        not_before=_moment(*begin),
        not_after=_moment(*end),
        serial=serial[1].hex()[:64],
        fingerprint=hashlib.sha256(data).hexdigest(),
        key_type=kind,
        key_bits=bits,
    )


def _refuse(reason: str) -> list[tuple[int, bytes]]:
    raise CertificateError(f"it is no certificate: {reason}")


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, content) of everything that stands one after the other."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise CertificateError("a length in it makes no sense")
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if length > len(data) - at:
            raise CertificateError("it is cut off")
        yield tag, data[at : at + length]
        at += length


def _expect(data: bytes, tag: int) -> bytes:
    """Return the content of the first part, which must be of this kind."""
    found, content = next(_parts(data), (0, b""))
    if found != tag:
        raise CertificateError("it is no certificate")
    return content


def _oid(data: bytes) -> str:
    numbers, value = [data[0] // 40, data[0] % 40], 0
    for byte in data[1:32]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(map(str, numbers))


def _moment(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of a year: before 50 it is this century (RFC 5280).
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise CertificateError("its dates are no dates")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _name(data: bytes) -> str:
    words = []
    for _, one in _parts(data):
        oid, value = list(_parts(_expect(one, _SEQUENCE)))[:2]
        text = value[1].decode("utf-16-be" if value[0] == _WIDE_TEXT else "utf-8", "backslashreplace")
        words.append(f"{_ATTRIBUTES.get(_oid(oid[1]), _oid(oid[1]))}={shown(text)[:100]}")
    return ", ".join(words)[:300]


def _alternative_names(extensions: bytes) -> tuple[str, ...]:
    for _, extension in _parts(_expect(extensions, _SEQUENCE) if extensions else b""):
        parts = list(_parts(extension))
        if _oid(parts[0][1]) == _ALTERNATIVE_NAMES:
            names = (content for tag, content in _parts(_expect(parts[-1][1], _SEQUENCE)) if tag == _DNS_NAME)
            texts = (shown(content.decode("ascii", "backslashreplace"))[:253] for content in names)
            return tuple(text for text, _ in zip(texts, range(_MOST_NAMES), strict=False))
    return ()


def _key(data: bytes) -> tuple[str, int]:
    algorithm, bits = list(_parts(data))[:2]
    words = list(_parts(algorithm[1]))
    oid = _oid(words[0][1])
    if oid == _RSA:
        modulus = _expect(_expect(bits[1][1:], _SEQUENCE), _INTEGER)
        return "RSA", int.from_bytes(modulus, "big").bit_length()
    if oid == _EC and len(words) > 1 and words[1][0] == _OID:
        return "EC", _CURVES.get(_oid(words[1][1]), ("", 0))[1]
    return ("EC" if oid == _EC else oid), 0
