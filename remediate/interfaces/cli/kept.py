"""What quick commands keep between two calls, below `~/.cache/remediate/` (or `XDG_CACHE_HOME`).

Whatever is kept can be made again: without a place to keep it, the next call is only slower. Nothing here may import
more than the standard library.
"""

from __future__ import annotations

import os
from pathlib import Path


def read(name: str) -> str | None:
    """Return what was kept under a name, or None when nothing is there that can be read."""
    try:
        return _place(name).read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError):
        return None


def write(name: str, text: str) -> None:
    """Keep a text under a name, if that is possible; a reader sees the old text or the new one, whole."""
    try:
        place = _place(name)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = place.with_name(f".{place.name}.{os.getpid()}")
        written.write_text(text, encoding="utf-8")
        written.replace(place)
    except (OSError, ValueError, RuntimeError):
        return


def _place(name: str) -> Path:
    """Raises RuntimeError when there is no home directory."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "remediate" / name
