"""Text for a terminal. What makes it readable and harmless is the same for every way to reach a person."""

from __future__ import annotations

from remediate.domain.text import printable, printable_lines, size
from remediate.domain.times import moment, span

__all__ = ["moment", "printable", "printable_lines", "size", "span"]
