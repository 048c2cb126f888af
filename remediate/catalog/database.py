"""The section `database` of `remediate.yml`: where the record is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from remediate.catalog.secret import SecretReference
from remediate.errors import UsageError

#: What may follow the name of the database: how the connection is encrypted, and the directory of a local socket.
_OPTIONS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "host"})
_WANTED = "postgresql://USER@HOST:PORT/NAME is wanted"


def checked_url(url: str) -> str:
    """Return the address of a database when it is one, and holds no password; raises ValueError otherwise."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        port_known = parts.port != 0
    except ValueError:
        # The cause is not told: it would repeat what was written, and with it a password.
        raise ValueError(_WANTED) from None
    if parts.password is not None or "password" in options:
        raise ValueError("a password does not belong here: use `password: env:NAME` or `password: file:/path`")
    if unknown := sorted(set(options) - _OPTIONS):
        raise ValueError(f"{unknown[0]} is not a known option: {', '.join(sorted(_OPTIONS))} are")
    one_server = bool(parts.hostname) != options.get("host", "").startswith("/")
    one_database = parts.path.count("/") == 1 and len(parts.path) > 1
    if parts.scheme != "postgresql" or not (parts.username and port_known and one_server and one_database):
        raise ValueError(_WANTED)
    if not url.isprintable() or parts.fragment:
        raise ValueError(_WANTED)
    return url


def _checked_schema(name: str) -> str:
    if name.startswith("pg_"):
        raise ValueError("names that begin with pg_ belong to the server")
    return name


class DatabaseSettings(BaseModel):
    """Where the record is kept: in a SQLite file in the state directory, or on a PostgreSQL server."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    url: Annotated[str, AfterValidator(checked_url)] | None = Field(
        default=None,
        description="`postgresql://USER@HOST:PORT/NAME`, without a password; none means a SQLite file in `state`.",
    )
    password: SecretReference | None = Field(
        default=None,
        description="Where the password of the database's user is: `env:NAME` or `file:/path`.",
    )
    schema_name: Annotated[str, AfterValidator(_checked_schema)] = Field(
        default="remediate",
        alias="schema",
        pattern="^[a-z][a-z0-9_]{0,62}$",
        description="The schema of the database that holds the tables; it is made when it is missing.",
    )

    @model_validator(mode="after")
    def _names_a_server(self) -> Self:
        if self.password and not self.url:
            raise ValueError("has a password and no url")
        return self

    def overridden(self, environment: Mapping[str, str]) -> DatabaseSettings:
        """Return these settings with the address that `REMEDIATE_DATABASE` names, if it does; raises UsageError."""
        url = environment.get("REMEDIATE_DATABASE")
        if not url:
            return self
        try:
            return self.model_copy(update={"url": checked_url(url)})
        except ValueError as error:
            raise UsageError(
                f"REMEDIATE_DATABASE cannot be used: {error}.", next_step="correct it, or unset it"
            ) from error
