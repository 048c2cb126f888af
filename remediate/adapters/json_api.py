"""Asks a service for JSON: bounded in time and size, no redirects, no proxies, nothing of a secret in a message."""

from __future__ import annotations

import json
import math
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from remediate.adapters.secret import Secret, resolve
from remediate.catalog.endpoint import Endpoint
from remediate.domain.text import quoted
from remediate.errors import MonitoringFailed, UsageError

if TYPE_CHECKING:
    import httpx2

#: More of an answer is not read: a rule file of thousands of rules is a few megabytes.
MOST_BYTES = 16 * 1024 * 1024
_REFUSAL_READ = 2048

#: What is returned where a service knows nothing under a path and that is fine.
NOTHING: Any = object()


class JsonApi:
    """One service. Every method raises MonitoringFailed naming the service and what is wrong with it."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self._name = name
        self._endpoint = endpoint
        self._host = urlsplit(endpoint.url).netloc

    def get(self, path: str, *, parameters: Mapping[str, str] | None = None, optional: bool = False) -> Any:
        """Return what a path answers; NOTHING where it is optional and the service knows no such path."""
        return self._ask("GET", path, optional=optional, params=dict(parameters or {}))

    def post(self, path: str, *, document: object = None, form: Mapping[str, str] | None = None) -> Any:
        """Post a JSON document, or a form, and return what is answered."""
        sent: dict[str, Any] = {"data": dict(form)} if form is not None else {"json": document}
        return self._ask("POST", path, **sent)

    def delete(self, path: str) -> Any:
        """Delete what a path names; NOTHING where there is no such thing."""
        return self._ask("DELETE", path, optional=True)

    def _ask(self, method: str, path: str, *, optional: bool = False, **sent: Any) -> Any:
        secret = self._secret()
        with self._refusals(secret), self._client(secret) as client:
            ends = time.monotonic() + self._endpoint.timeout.total_seconds()
            with client.stream(method, self._endpoint.url.rstrip("/") + path, **sent) as answer:
                if answer.status_code == 404 and optional:
                    return NOTHING
                if not answer.is_success:
                    said = self._read(answer, _REFUSAL_READ, ends, cut=True).decode("utf-8", "replace")
                    raise self._failed(f"it answered {answer.status_code} {_said(said)}".rstrip(), secret)
                body = self._read(answer, MOST_BYTES, ends)
        return self._parsed(body)

    def _client(self, secret: Secret | None) -> httpx2.Client:
        import httpx2  # noqa: PLC0415  # only what asks a service pays for it

        context = ssl.create_default_context(cafile=self._endpoint.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        headers = {"Accept": "application/json", "User-Agent": "remediate"}
        if secret:
            headers["Authorization"] = f"Bearer {secret.reveal()}"
        return httpx2.Client(
            verify=context,
            headers=headers,
            timeout=self._endpoint.timeout.total_seconds(),
            follow_redirects=False,
            trust_env=False,
        )

    @contextmanager
    def _refusals(self, secret: Secret | None) -> Iterator[None]:
        """Turn what the client raises into one error."""
        import httpx2  # noqa: PLC0415  # only what asks a service pays for it

        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise self._failed(f"{type(error).__name__}: {error}", secret) from None

    def _read(self, answer: httpx2.Response, most: int, ends: float, *, cut: bool = False) -> bytes:
        body = b""
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > most:
                if cut:
                    return body[:most]
                raise self._failed(f"its answer is longer than {most} bytes")
            if time.monotonic() > ends:
                raise self._failed("its answer takes too long")
        return body

    def _parsed(self, body: bytes) -> Any:
        if not body.strip():
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self._failed(f"its answer is no JSON: {quoted(body[:80].decode('utf-8', 'replace'))}") from None

    def _secret(self) -> Secret | None:
        try:
            return resolve(self._endpoint.token) if self._endpoint.token else None
        except UsageError as error:
            raise MonitoringFailed(f"{self._name} was not asked: {error.message}", next_step=error.next_step) from error

    def _failed(self, why: str, secret: Secret | None = None) -> MonitoringFailed:
        said = quoted(secret.hide(why) if secret else why)
        return MonitoringFailed(
            f"{self._name} at {self._host} cannot be used: {said}.",
            next_step=f"is it up? see its address in remediate.yml, and {self._endpoint.url.rstrip('/')}/-/ready",
        )

    def nonsense(self, what: str) -> MonitoringFailed:
        """Return the error for an answer that is not of the published form."""
        return self._failed(f"its answer has {what}")


def _said(body: str) -> str:
    """What a refusal says, without its wrapping."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return str(document.get("error", body)) if isinstance(document, dict) else str(document)


def number(text: object) -> float:
    """Return a sample's value, which is sent as text, or infinity for what is none."""
    try:
        return float(str(text))
    except ValueError:
        return math.inf
