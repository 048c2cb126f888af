"""The sections `channels` and `notify` of `remediate.yml`: how people are reached, and how loudly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from remediate.catalog.document import Document, Problems
from remediate.catalog.duration import Duration
from remediate.catalog.secret import SecretReference
from remediate.domain.route import Need, Route, Routes
from remediate.domain.runbook import Severity

#: A secret is never written into remediate.yml: it is named there.
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
_HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$")]
_Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$")]
_AbsoluteFile = Annotated[str, StringConstraints(pattern=r"^(/.+)?$")]

#: An attempt is broken off when an answer takes longer; as a whole it may take 25 s.
_LONGEST_TIMEOUT = timedelta(seconds=10)
_OWN_MACHINE = {"localhost", "127.0.0.1", "::1"}


class _Channel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    people: tuple[str, ...] = Field(default=(), description="The people that it is for; none named means everybody.")
    timeout: Duration = Field(
        default="10s", validate_default=True, description="How long each answer may take, up to 10s."
    )
    ca_file: _AbsoluteFile = Field(
        default="", description="Certificates to trust instead of those of the system, an absolute path."
    )

    @field_validator("timeout")
    @classmethod
    def _not_too_long(cls, value: timedelta) -> timedelta:
        if value > _LONGEST_TIMEOUT:
            raise ValueError("10s is the longest: a channel must not keep anybody waiting")
        return value


class EmailChannel(_Channel):
    """E-mail over SMTP."""

    kind: Literal["email"] = Field(description="E-mail.")
    host: _HostName = Field(description="The mail server.")
    port: int = Field(default=587, ge=1, le=65535, description="Its port: 587 for starttls, 465 for tls.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="TLS after a greeting, from the first byte, or none (this machine only)."
    )
    verify: bool = Field(default=True, description="Whether the server's certificate is checked.")
    sender: _Address = Field(alias="from", description="The address that messages come from.")
    username: str = Field(default="", max_length=200, description="The user to log in as.")
    password: SecretReference | None = Field(
        default=None, description="Where the password is: `env:NAME` or `file:/path`."
    )

    @property
    def needs(self) -> Need:
        """What a person must have for it."""
        return "email"

    @model_validator(mode="after")
    def _no_secret_in_the_open(self) -> Self:
        if self.security == "none" and self.host not in _OWN_MACHINE:
            raise ValueError("mail leaves this machine over TLS only: choose the security starttls or tls")
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password belong together")
        if self.password and (self.security == "none" or not self.verify):
            raise ValueError("a password is not sent to a server whose certificate is not checked")
        return self


class WebhookChannel(_Channel):
    """A signed POST of JSON."""

    kind: Literal["webhook"] = Field(description="A signed webhook.")
    url: str = Field(max_length=2000, description="Where to post; https, and no secret in it.")
    secret: SecretReference = Field(description="Where the secret of the signature is: `env:NAME` or `file:/path`.")
    allow_private: bool = Field(
        default=False, description="The receiver is in a network of our own: private addresses and http are allowed."
    )

    @property
    def needs(self) -> Need:
        """What a person must have for it."""
        return ""

    @model_validator(mode="after")
    def _postable(self) -> Self:
        url = urlsplit(self.url)
        if not self.url.isascii() or not self.url.isprintable() or " " in self.url or url.fragment:
            raise ValueError("the url is not one that can be posted to")
        if url.scheme != "https" and not (url.scheme == "http" and self.allow_private):
            raise ValueError("the url begins with https:// (http:// is for networks of our own: allow_private)")
        if not url.hostname or url.username is not None or (url.port is not None and url.port == 0):
            raise ValueError("the url names a host, and no user or password")
        return self


ChannelSettings = Annotated[EmailChannel | WebhookChannel, Field(discriminator="kind")]
Channels = Mapping[ChannelName, ChannelSettings]
Notify = Mapping[Severity, tuple[str, ...]]


def read_routes(channels: Channels, notify: Notify) -> Routes:
    """Return who is reached how: unless said otherwise SEV1 and SEV2 over every channel, the others by e-mail only."""
    if not channels:
        return Routes()
    routes = {
        name: Route(channel=name, needs=settings.needs, people=settings.people) for name, settings in channels.items()
    }
    quiet = tuple(name for name, settings in channels.items() if settings.kind == "email") or tuple(channels)
    usual = {Severity.SEV1: tuple(channels), Severity.SEV2: tuple(channels), Severity.SEV3: quiet, Severity.SEV4: quiet}
    return Routes(by_channel=routes, by_severity={**usual, **notify})


def check_channels(channels: Channels, people: Collection[str], document: Document, problems: Problems) -> None:
    """Note every person that a channel is for and that there is not."""
    for name, settings in channels.items():
        for index, person in enumerate(settings.people):
            if person not in people:
                document.note(("channels", name, "people", index), f"there is no person {person!r}", problems)


def check_notify(notify: Notify, channels: Collection[str], document: Document, problems: Problems) -> None:
    """Note every channel that a severity uses and that there is not."""
    for severity, names in notify.items():
        if not names:
            document.note(("notify", severity.value), "at least one channel is wanted", problems)
        for index, name in enumerate(names):
            if name not in channels:
                document.note(("notify", severity.value, index), f"there is no channel {name!r}", problems)
