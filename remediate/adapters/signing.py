"""The key of a site that signs the heads of its audit trail: Ed25519, the only importer of `cryptography`."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from remediate.domain.audit import SignedHead, signed_message
from remediate.errors import StateUnusable, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FILE_NAME = "audit-key"

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class AuditKey:
    """Implements the port `HeadKeys` with a key file in the state directory, mode 0600, made on first use."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME

    def key_id(self) -> str:
        """Return the id of the key: the first 16 hex digits of the sha256 of the public key's 32 bytes."""
        return _key_id(self._key.public_key())

    def public_key(self) -> str:
        """Return the public key as PEM; raises StateUnusable when the key file cannot be used."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # costs more than most commands

        return (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def sign(self, message: bytes) -> str:
        """Return the signature of a message in base64."""
        return base64.b64encode(self._key.sign(message)).decode()

    def checker(self, public_keys: str = "") -> Callable[[SignedHead], str]:
        """Return what says why a head cannot be trusted; without public keys only that of this site is known."""
        known = {_key_id(key): key for key in self._known(public_keys)}

        def check(head: SignedHead) -> str:
            if head.key_id not in known:
                return f"the head of event {head.sequence} was signed by an unknown key, {head.key_id}"
            return (
                ""
                if _genuine(known[head.key_id], head)
                else f"the signature of the head of event {head.sequence} is wrong"
            )

        return check

    def _known(self, public_keys: str) -> list[Ed25519PublicKey]:
        if public_keys:
            return _read_public_keys(public_keys)
        # A site that never signed has no key, and checking a trail does not make one.
        return [self._key.public_key()] if self._path.exists() else []

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # costs more than most commands
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  # as above

        try:
            content = _read_private(self._path)
            if content is None:
                _make(self._path)
                content = _read_private(self._path)
            key = load_pem_private_key(content or b"", password=None)
        except (OSError, ValueError) as error:
            raise StateUnusable(
                f"The key of the audit trail, {self._path}, cannot be used: {error}. No head was signed.",
                next_step=f"restore the file, or move it away: a new key is made, and {_ROTATION}",
            ) from error
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise StateUnusable(
                f"The key of the audit trail, {self._path}, is not an Ed25519 key. No head was signed.",
                next_step=f"move the file away: a new key is made, and {_ROTATION}",
            )
        return key


_ROTATION = "older heads are checked with --public-key"


def _read_private(path: Path) -> bytes | None:
    """Return what the key file holds, or None when there is none; raises StateUnusable when others may read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise StateUnusable(
                f"The key of the audit trail, {path}, belongs to another user. No head was signed.",
                next_step=f"chown {os.geteuid()} {path}",
            )
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StateUnusable(
                f"The key of the audit trail, {path}, is open to others (mode {status.st_mode & 0o777:04o}). "
                "No head was signed.",
                next_step=f"chmod 0600 {path}",
            )
        return file.read(10_000)


def _make(path: Path) -> None:
    """Make a key file, whole or not at all; of two processes that try, one wins for both."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # costs more than most commands
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # as above

    content = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    partial = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()


def _read_public_keys(text: str) -> list[Ed25519PublicKey]:
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # costs more than most commands
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415  # as above

    try:
        keys = [load_pem_public_key(block.encode()) for block in _PEM.findall(text)]
    except ValueError as error:
        raise UsageError(f"A public key cannot be read: {error}.", next_step=_HOW_TO_GET_IT) from error
    found = [key for key in keys if isinstance(key, ed25519.Ed25519PublicKey)]
    if not found or len(found) != len(keys):
        raise UsageError("An Ed25519 public key in PEM form is wanted.", next_step=_HOW_TO_GET_IT)
    return found


_HOW_TO_GET_IT = "`remediate audit key` prints it at the site that signed"


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _genuine(key: Ed25519PublicKey, head: SignedHead) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # loaded with the key

    try:
        key.verify(base64.b64decode(head.signature, validate=True), signed_message(head))
    except (InvalidSignature, ValueError):
        return False
    return True
