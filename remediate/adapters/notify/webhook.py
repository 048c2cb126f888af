"""A signed webhook: the notice is posted as JSON, and the receiver can prove who sent it, when, and that it is whole.

The signature is HMAC-SHA256, in hex, over the timestamp header, a dot, and the body as it was sent.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from remediate.adapters.notify.deadline import hung_up_after
from remediate.adapters.notify.target import connect
from remediate.adapters.secret import Secret, resolve
from remediate.catalog.channels import WebhookChannel
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.domain.text import quoted
from remediate.engine.ports import Clock
from remediate.errors import DeliveryFailed, UsageError

#: For one delivery as a whole.
_DEADLINE = 25.0
#: As much of an answer is read as may help to understand a refusal.
_ANSWER_READ = 1024
#: Answers of the 4xx kind after which the same request may pass later.
_FOR_NOW = {http.client.REQUEST_TIMEOUT, http.client.TOO_EARLY, http.client.TOO_MANY_REQUESTS}


def channel(settings: WebhookChannel, clock: Clock) -> Webhook:
    """Return the channel that these settings describe."""
    return Webhook(settings, clock)


class Webhook:
    """Implements the port `Channel`."""

    def __init__(self, settings: WebhookChannel, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._url = urlsplit(settings.url)

    def send(self, notice: Notice, person: Person) -> None:
        """Post the notice; an answer that it is wrong is a permanent failure, any other that is not 2xx is not."""
        try:
            secret = resolve(self._settings.secret)
        except UsageError as error:
            raise DeliveryFailed(error.message) from error
        body = document(notice, person)
        now = self._clock.now()
        headers = {
            "Host": self._url.netloc,
            "Content-Type": "application/json",
            "User-Agent": "remediate",
            "X-Remediate-Delivery": notice.delivery_id,
            **signature(secret, body, now),
        }
        try:
            self._post(body, headers, now)
        except (http.client.HTTPException, OSError) as error:
            said = quoted(secret.hide(f"{type(error).__name__}: {error}"))
            raise DeliveryFailed(f"{self._url.hostname} could not be talked to: {said}") from None

    def _post(self, body: bytes, headers: dict[str, str], now: datetime) -> None:
        seconds = self._settings.timeout.total_seconds()
        host, port = self._url.hostname or "", self._url.port or (443 if self._url.scheme == "https" else 80)
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
        with hung_up_after(_DEADLINE, lambda: connection.sock), closing(connection):
            connection.sock = connect(host, port, seconds=seconds, private=self._settings.allow_private)
            if self._url.scheme == "https":
                connection.sock = _tls(self._settings).wrap_socket(connection.sock, server_hostname=host)
            connection.request("POST", _path(self._url), body=body, headers=headers)
            # The answer holds the socket open by itself, also when its end is not read.
            with connection.getresponse() as answer:
                _judge(answer, now)


def document(notice: Notice, person: Person) -> bytes:
    """Return what is posted: the same bytes at every attempt."""
    content = {
        "version": 1,
        "delivery": notice.delivery_id,
        "key": notice.key,
        "created_at": notice.created_at.astimezone(UTC).isoformat(),
        "person": person.model_dump(mode="json", include={"id", "name", "email", "phone", "chat", "level"}),
        "subject": notice.subject,
        "text": notice.body,
        "data": notice.data,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def signature(secret: Secret, body: bytes, now: datetime) -> dict[str, str]:
    """Return the headers that prove a body: the moment, in seconds since 1970, and the signature over both."""
    timestamp = str(int(now.timestamp()))
    digest = hmac.new(secret.reveal().encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Remediate-Timestamp": timestamp, "X-Remediate-Signature": f"v1={digest}"}


def _tls(settings: WebhookChannel) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _path(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _judge(answer: http.client.HTTPResponse, now: datetime) -> None:
    """Raise what an answer means, unless the notice was taken."""
    if 200 <= answer.status < 300:
        return
    said = quoted(answer.read(_ANSWER_READ).decode("utf-8", "replace"), 200)
    message = f"the receiver answered {answer.status} {said}".rstrip()
    if 300 <= answer.status < 400:
        raise DeliveryFailed(f"{message} (redirects are not followed: correct the url)", permanent=True)
    permanent = 400 <= answer.status < 500 and answer.status not in _FOR_NOW
    raise DeliveryFailed(message, permanent=permanent, wait=None if permanent else _asked(answer, now))


def _asked(answer: http.client.HTTPResponse, now: datetime) -> timedelta | None:
    """Return how long the receiver asks to be left alone: seconds, or a date; None for nothing that can be read."""
    text = (answer.getheader("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:6]))
    try:
        return max(parsedate_to_datetime(text).astimezone(UTC) - now, timedelta(0))
    except (TypeError, ValueError, OverflowError):
        return None
