"""The page of `remediate --help`, kept beside everything that it was made from.

Loading the library that writes the page takes longer than all the rest of the command. The page depends on little, and
that is compared as it is, not by a digest: the same version and program, terminal, language and runbooks give the same
page.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from remediate import __version__
from remediate.catalog.discovery import content_directories, find_runbooks, find_site, readme_title
from remediate.interfaces.cli import kept

#: The calls that ask for the page and for nothing else.
ASKING = (["--help"], ["-h"])
_NAME = "help.txt"
_LANGUAGE = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


def kept_page() -> str | None:
    """Return the page as it would be made now, or None when it has to be made."""
    before = kept.read(_NAME)
    if before is None:
        return None
    made_from, _, page = before.partition("\n")
    try:
        return page if page and made_from == _made_from() else None
    except (OSError, RuntimeError):  # no directory to be in, say: the whole program names the problem
        return None


def keep_page(page: str) -> None:
    """Keep a page that was just made, if it can be said what it was made from."""
    try:
        made_from = _made_from()
    except (OSError, RuntimeError):
        return
    kept.write(_NAME, f"{made_from}\n{page}")


def _made_from() -> str:
    """Everything that the page depends on, in one line; the commands are those of the file that lists them."""
    runbooks = find_runbooks(content_directories(find_site(Path.cwd(), os.environ)))
    titles = [(name, readme_title(role)) for name, role in runbooks.items()]
    program = Path(__file__).with_name("main.py").stat().st_mtime_ns
    language = [os.environ.get(name) for name in _LANGUAGE]
    return repr((__version__, program, os.environ.get("COLUMNS"), _columns(), language, titles))


def _columns() -> int:
    """The width of the terminal, or 0 where there is none."""
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 0
    except (OSError, ValueError):
        return 0
