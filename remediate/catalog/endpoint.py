"""The address of a service that is asked: Prometheus, Alertmanager."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from remediate.catalog.duration import Duration
from remediate.catalog.secret import SecretReference

_AbsoluteFile = Annotated[str, StringConstraints(pattern=r"^(/.+)?$")]
_OWN_MACHINE = {"localhost", "127.0.0.1", "::1"}
_LONGEST_TIMEOUT = timedelta(seconds=30)


class Endpoint(BaseModel):
    """Where a service is, and how it is asked. Redirects are not followed, and no proxy is used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(max_length=2000, description="Its address, such as https://prometheus.example.com:9090.")
    token: SecretReference | None = Field(
        default=None, description="Where the bearer token is: `env:NAME` or `file:/path`."
    )
    ca_file: _AbsoluteFile = Field(
        default="", description="Certificates to trust instead of those of the system, an absolute path."
    )
    timeout: Duration = Field(
        default="10s", validate_default=True, description="How long an answer may take, up to 30s."
    )

    @field_validator("timeout")
    @classmethod
    def _not_too_long(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= _LONGEST_TIMEOUT:
            raise ValueError("up to 30s is wanted: a host waits for the answer")
        return value

    @model_validator(mode="after")
    def _askable(self) -> Self:
        url = urlsplit(self.url)
        if not self.url.isascii() or not self.url.isprintable() or " " in self.url or url.fragment or url.query:
            raise ValueError("the url is not the address of a service")
        if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or url.port == 0:
            raise ValueError("the url begins with http:// or https://, and names a host and no user or password")
        if self.token and url.scheme == "http" and url.hostname not in _OWN_MACHINE:
            raise ValueError("a token leaves this machine over https only")
        return self
