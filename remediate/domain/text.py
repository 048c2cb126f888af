"""Text for people: what came from outside is made harmless, sizes are made readable."""

from __future__ import annotations

import re
import unicodedata

#: Control, bidirectional, private and lone surrogate characters, and everything that ends a line.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}

#: What the programs of receivers take for the beginning of a link, with or without a scheme.
_LINK = re.compile(r"\w://|www\.|mailto:|tel:|[\w-]\.[a-z]{2,24}(?=/)", re.IGNORECASE)


def printable(text: str) -> str:
    """Return text without control, bidirectional and other invisible characters, on one line.

    A line end would let the name of a file write lines of its own into a plan.
    """
    return _shown(text, kept="\t")


def printable_lines(text: str) -> str:
    """Return text like `printable` does, with its line ends: for a diff, and for messages of our own."""
    return _shown(text, kept="\n\t")


def quoted(text: str, limit: int = 300) -> str:
    """Return text from outside as a message may carry it: printable, on one line, no longer than `limit`, no links.

    Programs for mail and chat make a link of anything that looks like one; a file name must not be able to offer
    a link that says "approve".
    """
    shown = printable(text[: limit + 1]).replace("\t", " ")
    whole = shown if len(shown) <= limit else f"{shown[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"
    return _LINK.sub(lambda found: found[0].replace(":", "[:]").replace(".", "[.]"), whole)


def _shown(text: str, kept: str) -> str:
    if text.isprintable():  # none of the categories below; most text is, and a plan may have thousands of lines
        return text
    return "".join(
        character
        if character in kept or unicodedata.category(character) not in _INVISIBLE
        else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def size(count: int) -> str:
    """Return a number of bytes as people read it: `1.4 GiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
