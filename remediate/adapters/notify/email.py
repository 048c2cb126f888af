"""E-mail over SMTP, with a checked certificate."""

from __future__ import annotations

import hashlib
import re
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from remediate.adapters.notify.deadline import hung_up_after
from remediate.adapters.secret import Secret, resolve
from remediate.catalog.channels import EmailChannel
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.domain.text import printable, printable_lines, quoted
from remediate.engine.ports import Clock
from remediate.errors import DeliveryFailed, UsageError

#: For one message as a whole.
_DEADLINE = 25.0
#: One plain address; nothing that a header or an SMTP command could take for more than that.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
#: Answers that judge who is sending, whenever they are given.
_ABOUT_LOG_IN = {530, 534, 535, 538}
#: No line of the message holds anything but ASCII, so that every server takes it.
_POLICY = SMTP.clone(cte_type="7bit")


def channel(settings: EmailChannel, _clock: Clock) -> Mailer:
    """Return the channel that these settings describe."""
    return Mailer(settings)


class Mailer:
    """Implements the port `Channel`."""

    def __init__(self, settings: EmailChannel) -> None:
        self._settings = settings

    def send(self, notice: Notice, person: Person) -> None:
        """Hand the message to the server; a server that refuses this message for good is a permanent failure."""
        message = compose(notice, person, self._settings.sender)
        secret = self._secret()
        try:
            self._exchange(message, person.email, secret)
        except smtplib.SMTPResponseException as refused:
            # Whatever is wrong with the log-in or the server is so for every message, until somebody repairs it.
            about_message = isinstance(refused, smtplib.SMTPDataError | smtplib.SMTPSenderRefused)
            raise _failure(refused.smtp_code, refused.smtp_error, secret, judged=about_message) from None
        except smtplib.SMTPRecipientsRefused as refused:
            raise _failure(*next(iter(refused.recipients.values())), secret, judged=True) from None
        except (smtplib.SMTPException, OSError) as error:
            said = _quoted(f"{type(error).__name__}: {error}", secret)
            raise DeliveryFailed(f"{self._settings.host} could not be talked to: {said}") from None

    def _secret(self) -> Secret | None:
        try:
            return resolve(self._settings.password) if self._settings.password else None
        except UsageError as error:
            raise DeliveryFailed(error.message) from error

    def _exchange(self, message: EmailMessage, address: str, secret: Secret | None) -> None:
        settings = self._settings
        connection = _connection(settings)
        with hung_up_after(_DEADLINE, lambda: connection.sock):
            try:
                connection.open(settings.host, settings.port)
                if settings.security == "starttls":
                    connection.starttls(context=_tls(settings))
                if secret:
                    connection.login(settings.username, secret.reveal())
                connection.sendmail(settings.sender, [address], message.as_bytes(policy=_POLICY))
                # The server has taken the message: whatever happens to the farewell, it is delivered.
                with suppress(smtplib.SMTPException, OSError):
                    connection.quit()
            finally:
                connection.close()


def compose(notice: Notice, person: Person, sender: str) -> EmailMessage:
    """Return the message of a notice, byte by byte the same at every attempt; raises DeliveryFailed for no address."""
    if not _ADDRESS.fullmatch(person.email):
        raise DeliveryFailed(f"{quoted(person.email) or 'nothing'} is not an e-mail address", permanent=True)
    domain = sender.rpartition("@")[2]
    thread = f"<thread-{hashlib.sha256(notice.thread.encode()).hexdigest()[:32]}@{domain}>"
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = person.email
    message["Subject"] = printable(notice.subject)[:200]
    message["Date"] = format_datetime(notice.created_at)
    message["Message-ID"] = f"<{notice.delivery_id}@{domain}>"
    # The first message of the thread is never sent; programs put together what answers to the same one.
    message["In-Reply-To"] = thread
    message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message["X-Remediate-Delivery"] = notice.delivery_id
    message.set_content(printable_lines(notice.body) + "\n")
    return message


class _Smtp(smtplib.SMTP):
    """A connection that is made after it was constructed, so that a deadline can be set on it before."""

    def open(self, host: str, port: int) -> None:
        """Connect and greet."""
        self._host = (
            host  # what the certificate of STARTTLS is checked against; smtplib sets it in its constructor only
        )
        code, said = self.connect(host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)


class _SmtpOverTls(smtplib.SMTP_SSL, _Smtp):
    """The same with TLS from the first byte on."""


def _connection(settings: EmailChannel) -> _Smtp:
    seconds = settings.timeout.total_seconds()
    # Left to itself smtplib looks its own name up, which may take as long as the name server likes.
    if settings.security == "tls":
        return _SmtpOverTls(local_hostname=socket.gethostname(), timeout=seconds, context=_tls(settings))
    return _Smtp(local_hostname=socket.gethostname(), timeout=seconds)


def _tls(settings: EmailChannel) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failure(code: int, said: bytes | str, secret: Secret | None, *, judged: bool) -> DeliveryFailed:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    permanent = judged and code >= 500 and code not in _ABOUT_LOG_IN
    return DeliveryFailed(f"the server answered {code} {_quoted(text, secret)}", permanent=permanent)


def _quoted(text: str, secret: Secret | None) -> str:
    return quoted(secret.hide(text) if secret else text)
