"""Where signed heads of the audit trail go: a file, syslog, or a mailbox, each in hands other than the record's."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from remediate.catalog.audit import HeadTargetSettings
from remediate.domain.audit import SignedHead, head_line
from remediate.engine.ports import HeadTarget
from remediate.errors import DeliveryFailed

#: Sends a mail: subject, body, address; raises DeliveryFailed.
SendMail = Callable[[str, str, str], None]

#: Facility 13, "log audit", severity 5, "notice".
_PRIORITY = 13 * 8 + 5

_SYSLOG_SECONDS = 5.0


def head_targets(targets: Sequence[HeadTargetSettings], *, mail: SendMail | None = None) -> tuple[HeadTarget, ...]:
    """Return the targets that the settings name; without `mail`, what goes to a mailbox stays unsent and says why."""
    return tuple(_target(target, mail) for target in targets)


def _target(target: HeadTargetSettings, mail: SendMail | None) -> HeadTarget:
    if target.file:
        return FileTarget(Path(target.file))
    return SyslogTarget(target.syslog) if target.syslog else MailTarget(target.email, mail)


class FileTarget:
    """Appends each head as a line to a file, such as one on a mount that is written once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"file:{path}"

    def send(self, head: SignedHead) -> None:
        """Append a line; when this returns it is on the disk."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, 0o640)
            with os.fdopen(descriptor, "rb+", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
                # A line that a full disk cut short must not swallow this one.
                broken = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
                file.write(b"\n" * broken + head_line(head).encode() + b"\n")
                os.fsync(descriptor)
        except OSError as error:
            raise DeliveryFailed(f"{self._path} cannot be written: {error.strerror}") from error


class SyslogTarget:
    """Sends each head as a message to a syslog socket, or over UDP, where nothing says whether it arrived."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.name = f"syslog:{address}"

    def send(self, head: SignedHead) -> None:
        """Send one datagram."""
        try:
            if self._address.startswith("/"):
                self._send(socket.AF_UNIX, self._address, f"<{_PRIORITY}>remediate: {head_line(head)}")
                return
            host, _, port = self._address.rpartition(":")
            family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
            self._send(family, address, _rfc5424(head))
        except OSError as error:
            raise DeliveryFailed(f"syslog at {self._address} cannot be reached: {error.strerror or error}") from error

    @staticmethod
    def _send(family: int, address: tuple[Any, ...] | str, message: str) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(_SYSLOG_SECONDS)
            datagrams.connect(address)
            datagrams.send(message.encode())


class MailTarget:
    """Mails each head to somebody who looks after the trail, such as an auditor."""

    def __init__(self, address: str, mail: SendMail | None) -> None:
        self._address = address
        self._mail = mail
        self.name = f"email:{address}"

    def send(self, head: SignedHead) -> None:
        """Send one mail."""
        if self._mail is None:
            raise DeliveryFailed(f"no e-mail channel is set up, so nothing can be mailed to {self._address}")
        body = (
            f"This is the signed head of the audit trail at event {head.sequence}.\n"
            "Keep it: it shows later whether anything before it was changed or cut off.\n"
            "Check with: remediate audit verify --head THIS-FILE --public-key KEY-FILE\n\n"
            f"{head_line(head)}\n"
        )
        self._mail(f"remediate: audit head {head.sequence}", body, self._address)


def _rfc5424(head: SignedHead) -> str:
    moment = head.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"<{_PRIORITY}>1 {moment} {socket.gethostname() or '-'} remediate - audit-head - {head_line(head)}"
