"""Digests: one number for exactly this plan, or exactly this tree of files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import rfc8785


def digest(document: Mapping[str, object]) -> str:
    """Return the sha256, in hex, of the canonical JSON (RFC 8785) of a document of plain values."""
    return hashlib.sha256(rfc8785.dumps(dict(document))).hexdigest()  # type: ignore[arg-type]  # rfc8785 names its JSON type privately
