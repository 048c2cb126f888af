"""References to secrets: a document says where a secret is, never what it is."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_PATTERN = r"env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\x00-\x1f]+"


def _checked(value: str) -> str:
    # What was written is not repeated: it may be the secret itself, written here by mistake.
    if not re.fullmatch(_PATTERN, value):
        raise ValueError("a reference such as env:NAME or file:/absolute/path is wanted, never the secret itself")
    return value


#: `env:NAME` is a variable of the environment, `file:/path` a file that others cannot read.
SecretReference = Annotated[
    str,
    AfterValidator(_checked),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$",
            "examples": ["env:REMEDIATE_DATABASE_PASSWORD", "file:/etc/remediate/database.password"],
        }
    ),
]
