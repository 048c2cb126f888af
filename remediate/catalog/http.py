"""The sections `http` and `sources` of `remediate.yml`: where the service listens, and who may post alerts to it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from remediate.catalog.endpoint import Endpoint
from remediate.catalog.secret import SecretReference

SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
_AbsoluteFile = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f]+$")]
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class Address(NamedTuple):
    """An address to listen at."""

    host: str
    port: int

    @property
    def is_own(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback


def address(text: str) -> Address:
    """Return the address that a text writes, `HOST:PORT` or `[V6]:PORT`; raises ValueError."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise ValueError("an address and a port are wanted, such as 127.0.0.1:9180 or [::1]:9180")
    if host != "localhost":
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("it listens at an address of this machine, or at localhost") from None
    return Address(host, int(port))


def _listen(text: str) -> str:
    address(text)
    return text


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    plain = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
    if not plain or not text.isprintable() or " " in text:
        raise ValueError("http://HOST:PORT or https://HOST is wanted, with a path where it has one")
    if "@" in parts.netloc:
        raise ValueError("a password does not belong here")
    return text.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class HttpSettings(BaseModel):
    """Where the service listens, for alerts, health, metrics and the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:9180", description="Address and port; port 0 takes a free one."
    )
    certificate: _AbsoluteFile | None = Field(default=None, description="The certificate chain for TLS, a PEM file.")
    key: _AbsoluteFile | None = Field(default=None, description="Its private key, a PEM file that others cannot read.")
    plain: bool = Field(
        default=False, description="Whether it may listen for other machines without TLS, behind a proxy that has it."
    )

    @property
    def address(self) -> Address:
        """Where it listens."""
        return address(self.listen)

    @model_validator(mode="after")
    def _no_secret_in_the_open(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if not self.address.is_own and self.certificate is None and not self.plain:
            raise ValueError(
                "tokens would cross the network in the open: give certificate and key, or say `plain: true` where a "
                "proxy on the same network has TLS"
            )
        return self


def _endpoint(written: str | Endpoint | None) -> Endpoint | None:
    """An address alone is an endpoint with everything else as usual."""
    return Endpoint(url=written) if isinstance(written, str) else written


class SourceEntry(BaseModel):
    """Who may post alerts, how it proves who it is, and where it can be asked back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["alertmanager", "grafana"] = Field(description="What it is.")
    token: SecretReference | None = Field(
        default=None,
        description="Where the token is that it shows (Authorization: Bearer): `env:NAME` or `file:/path`.",
    )
    hmac: SecretReference | None = Field(
        default=None, description="Where the secret is that it signs what it posts with, as Grafana does."
    )
    signature_header: _HeaderName = Field(
        default="X-Grafana-Alerting-Signature", description="The header that holds the signature."
    )
    timestamp_header: _HeaderName | None = Field(
        default=None, description="The header that holds the signed time; what is older than 5 minutes is refused."
    )
    url: BaseUrl | Endpoint | None = Field(
        default=None,
        description="Its API: alerts that it left out are fetched there, and those of a run are silenced there.",
    )
    prometheus: BaseUrl | Endpoint | None = Field(
        default=None, description="The Prometheus whose rules make its alerts: a cure is proven there."
    )

    @property
    def messenger(self) -> Endpoint | None:
        """Where its API is; Grafana has another one."""
        return _endpoint(self.url) if self.kind == "alertmanager" else None

    @property
    def monitoring(self) -> Endpoint | None:
        """Where the Prometheus is whose rules make its alerts."""
        return _endpoint(self.prometheus)

    @model_validator(mode="after")
    def _proves_who_it_is(self) -> Self:
        if (self.token is None) == (self.hmac is None):
            raise ValueError("exactly one of token and hmac is wanted: without it there is no such source")
        if self.hmac is None and (self.timestamp_header or "signature_header" in self.model_fields_set):
            raise ValueError("signature_header and timestamp_header belong to hmac")
        if self.hmac is not None and self.kind == "alertmanager":
            raise ValueError("Alertmanager does not sign: give it a token")
        return self


Sources = Mapping[SourceName, SourceEntry]
