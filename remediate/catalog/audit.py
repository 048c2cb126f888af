"""The section `audit` of `remediate.yml`: how often the audit trail is signed, and where its heads go."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from remediate.catalog.duration import Duration

_ADDRESS = re.compile(r"/[^\0\n]{1,100}|(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9._-]{1,253}):([0-9]{1,5})")


class HeadTargetSettings(BaseModel):
    """One place that signed heads are sent to: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(
        default="", description="A file that each head is appended to as a line; best on a mount of another machine."
    )
    syslog: str = Field(
        default="", description="A syslog socket such as /dev/log, or host:port for UDP.", examples=["/dev/log"]
    )
    email: str = Field(
        default="", description="An address that each head is mailed to.", pattern=r"^([^@\s]+@[^@\s]+)?$"
    )

    @field_validator("syslog")
    @classmethod
    def _known_address(cls, value: str) -> str:
        match = _ADDRESS.fullmatch(value)
        if value and (not match or int(match[2] or 1) not in range(1, 65536)):
            raise ValueError(
                f"a socket such as /dev/log or host:port such as logs.example.com:514 is wanted, not {value!r}"
            )
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(map(bool, (self.file, self.syslog, self.email))) != 1:
            raise ValueError("exactly one of file, syslog and email is wanted")
        return self


class AuditSettings(BaseModel):
    """When the newest event of the audit trail is signed, and where the signed heads go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_events: int = Field(
        default=100, ge=1, le=1_000_000, description="A head is signed when this many events follow the last one."
    )
    every: Duration = Field(
        default="1h",
        validate_default=True,
        description="A head is signed when the last one is this old and something followed it.",
    )
    heads: tuple[HeadTargetSettings, ...] = Field(
        default=(),
        description="Where heads are sent. Without one, whoever owns the database can rewrite the trail unseen.",
    )

    def at(self, site: Path) -> AuditSettings:
        """Return the same settings with all paths absolute."""
        return self.model_copy(update={"heads": tuple(_at(site, target) for target in self.heads)})


def _at(site: Path, target: HeadTargetSettings) -> HeadTargetSettings:
    if not target.file:
        return target
    path = os.path.normpath(site / Path(target.file).expanduser())
    return target.model_copy(update={"file": path})
