"""A place in the binary logs of a database."""

from __future__ import annotations

from dataclasses import dataclass

from ansible.module_utils.disk_candidate import shown


@dataclass(frozen=True)
class Position:
    """A file, an offset in it, and where it is known, the last transactions there (0-1-5,1-2-7)."""

    file: str
    offset: int
    gtid: str = ""

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{shown(self.file)}:{self.offset}"
