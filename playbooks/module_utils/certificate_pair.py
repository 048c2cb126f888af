"""A certificate and its key as they lie on a host: read, judged, and nothing of the key ever shown."""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible.module_utils.certificate_der import Certificate, CertificateError, from_pem
from ansible.module_utils.disk_candidate import shown

#: A chain of certificates is some ten thousand bytes; what is larger is something else.
MOST_BYTES = 1 << 20
#: The last one is what OpenSSL says of a key of another kind.
_MISMATCH = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class Pair:
    """A certificate, and a sentence for everything that is wrong with its key."""

    certificate_path: str
    key_path: str
    certificate: Certificate
    key_mode: int | None
    #: Whether the key is one, and belongs to the certificate.
    key_fits: bool
    key_troubles: tuple[str, ...]


def read_pair(certificate_path: str, key_path: str) -> Pair:
    """Return the pair; a certificate that cannot be read is an error, a key that cannot be is a trouble."""
    certificate = read_certificate(certificate_path)
    mode, trouble = _key_facts(certificate_path, key_path)
    troubles = [trouble] if trouble else []
    if mode is not None and mode & stat.S_IRWXO:
        troubles.append(f"every user of the host may use the key {key_path} (mode {mode:04o})")
    if certificate.weakness:
        troubles.append(certificate.weakness)
    return Pair(certificate_path, key_path, certificate, mode, not trouble, tuple(troubles))


def read_certificate(path: str) -> Certificate:
    """Return the first certificate of a file."""
    try:
        return from_pem(read_small(path))
    except FileNotFoundError as error:
        raise CertificateError(f"there is no certificate at {path}: set where nginx reads it") from error
    except OSError as error:
        raise CertificateError(f"the certificate {path} cannot be read: {error.strerror or error}") from error
    except CertificateError as error:
        raise CertificateError(f"{path} cannot be understood: {error}") from error


def read_small(path: str) -> bytes:
    """Return the content of a plain file that must not be large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise CertificateError("it is no plain file")
        content = source.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise CertificateError("it is larger than a chain of certificates can be")
    return content


def _key_facts(certificate_path: str, key_path: str) -> tuple[int | None, str]:
    """Return the mode of the key, and why it is no key for the certificate, or nothing."""
    mode = None
    try:
        mode = stat.S_IMODE(os.stat(key_path).st_mode)
        read_small(key_path)
    except OSError as error:
        return mode, f"the key {key_path} cannot be read: {error.strerror or error}"
    except CertificateError as error:
        return mode, f"the key {key_path} is none: {error}"
    return mode, _mismatch(certificate_path, key_path)


def _mismatch(certificate_path: str, key_path: str) -> str:
    """Return why the two do not go together, or nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A short key is a trouble of its own: here it is only asked whether they belong together.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        context.load_cert_chain(certificate_path, key_path, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason in _MISMATCH:
            return f"the key {key_path} does not belong to the certificate {certificate_path}"
        return f"{key_path} and {certificate_path} cannot be used together: {error.reason or 'not understood'}"
    except (OSError, ValueError) as error:
        return f"{key_path} cannot be used as a key: {shown(str(error))[:200]}"
    return ""


def certificate_facts(certificate: Certificate, now: datetime) -> dict[str, Any]:
    """Return what a certificate says in the form in which modules report it."""
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names[:_NAMES_SHOWN]),
        "name_count": len(certificate.names),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "days_left": round(certificate.days_left(now), 2),
        "serial": certificate.serial,
        "sha256": certificate.fingerprint,
        "key": f"{certificate.key_type} {certificate.key_bits}",
    }


def pair_facts(pair: Pair, now: datetime) -> dict[str, Any]:
    """Return what a pair is, in the form in which modules report it."""
    return {
        **certificate_facts(pair.certificate, now),
        "key_mode": "" if pair.key_mode is None else f"{pair.key_mode:04o}",
        "key_troubles": list(pair.key_troubles),
        "key_fits": pair.key_fits,
    }
