"""Receivers on loopback: certificates, a mail server that remembers, and a server that answers what it is told."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remediate.catalog.channels import EmailChannel

PASSWORD = "hunter2+/hunter2"  # noqa: S105  # of the server below
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of its own, and what a server of `name` presents."""

    ca_file: Path
    context: ssl.SSLContext


def authority(directory: Path, name: str = "localhost") -> Authority:
    """Make an authority with one server certificate."""
    directory.mkdir(exist_ok=True)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("test authority", "test authority", root_key, root_key, is_authority=True)
    leaf = _certificate(name, "test authority", key, root_key, is_authority=False)
    (directory / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    chain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.pem").write_bytes(chain + leaf.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return Authority(directory / "ca.pem", context)


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(subject.replace(" ", "-"))]
    if subject == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _YEAR)
        .not_valid_after(now + _YEAR)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


@dataclass
class Mailbox:
    """The handler of the mail server: keeps what came, or answers what it is told to."""

    raw: list[bytes] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)
    log_ins: list[bytes] = field(default_factory=list)
    rcpt_answer: str = ""
    data_answer: str = ""
    port: int = 0

    async def handle_RCPT(  # noqa: N802  # the server finds it by this name and calls it so
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if not self.rcpt_answer:
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # found by this name
        if not self.data_answer:
            self.raw.append(envelope.content)
            self.receivers.append(list(envelope.rcpt_tos))
        return self.data_answer or "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.log_ins.append(data.password)
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    @property
    def messages(self) -> list[EmailMessage]:
        """What came, parsed."""
        return [message_from_bytes(raw, policy=default) for raw in self.raw]

    def settings(self, **changes: Any) -> EmailChannel:
        """The channel that leads here."""
        values = {"kind": "email", "host": "localhost", "port": self.port, "from": "remediate@example.org"}
        return EmailChannel.model_validate({**values, **changes})


@contextmanager
def mail_server(tls: ssl.SSLContext | None, *, implicit: bool = False, log_in: bool = False) -> Iterator[Mailbox]:
    """Run a mail server: with STARTTLS, with TLS from the first byte, or without any."""
    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=_free_port(),
        ssl_context=tls if implicit else None,
        tls_context=None if implicit else tls,
        require_starttls=bool(tls and not implicit),
        authenticator=mailbox.authenticate,
        auth_required=log_in,
        auth_require_tls=not implicit,
    )
    controller.start()
    mailbox.port = controller.port
    try:
        yield mailbox
    finally:
        controller.stop()


@contextmanager
def answering(*parts: bytes, pause: float = 0.0, forever: bytes = b"") -> Iterator[int]:
    """Run a server that says its parts to whoever connects, then `forever` again and again; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_ones: list[socket.socket] = []
        thread = Thread(target=_answer, args=(server, open_ones, parts, pause, forever), daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            for one in (server, *open_ones):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for one in open_ones:
                one.close()


def _answer(
    server: socket.socket, open_ones: list[socket.socket], parts: Sequence[bytes], pause: float, forever: bytes
) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            open_ones.append(client)
            with suppress(OSError):
                for part in parts:
                    client.sendall(part)
                while forever:
                    client.sendall(forever)
                    client.settimeout(pause)
                    with suppress(TimeoutError):
                        client.recv(65536)
                client.settimeout(None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
