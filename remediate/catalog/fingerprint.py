"""A digest over the documents that make up the catalogue, so that what was read from them can be known as still true.

Nothing here may import more than the standard library: `remediate list` answers by it before anything is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from remediate.catalog.discovery import find_runbooks

_DOCUMENTS = ("meta/runbook.yml", "meta/argument_specs.yml")


def catalogue_fingerprint(directories: Sequence[Path], version: str) -> str:
    """Return the sha256 (hex) over the name, place and bytes of every runbook's documents, and this program's version.

    Raises OSError when a document cannot be read; who asks then reads the catalogue itself, which names the problem.
    """
    seen = hashlib.sha256(version.encode())
    for role in find_runbooks(directories).values():
        for name in _DOCUMENTS:
            content = (role / name).read_bytes()
            seen.update(f"\0{role / name}\0{len(content)}\0".encode())
            seen.update(content)
    return seen.hexdigest()
