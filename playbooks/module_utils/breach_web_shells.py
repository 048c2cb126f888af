"""PHP files that obey strangers: where no code belongs, or changed after the release was laid out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.breach_suspect import Scan, Suspect, text_shown
from ansible.module_utils.safe_files import Directory, regular_files, split

_PHP = (".php", ".phtml", ".phar", ".php5", ".php7", ".phps", ".inc")
_ANCHORS = ("artisan", "composer.json", "public/index.php", "index.php")
_MOST_BYTES = 2 << 20
_DEPTH = 30
#: Functions that run what they are given; not a method or a definition of that name.
_DANGEROUS = re.compile(
    rb"(?<![\w>:$\\])\\?(eval|assert|system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec|create_function)\s*\(",
    re.IGNORECASE,
)
_DEFINED = re.compile(rb"function\s+$", re.IGNORECASE)
_BACKTICKS = re.compile(rb"`[^`\n]*\$_(GET|POST|REQUEST|COOKIE|SERVER)\b[^`\n]*`")
_COMMENTS = re.compile(rb"/\*.*?\*/|(?m:^\s*(?://|#|\*).*$)", re.DOTALL)


def dangerous_calls(content: bytes) -> list[str]:
    """Return the names of the calls in a PHP file that run what they are given."""
    if b"<?" not in content:
        return []
    code = _COMMENTS.sub(b" ", content)
    found = {
        match.group(1).decode("ascii").lower()
        for match in _DANGEROUS.finditer(code)
        if not _DEFINED.search(code, 0, match.start())
    }
    if _BACKTICKS.search(code):
        found.add("backticks")
    return sorted(found)


def look_at_web_files(settings: dict[str, Any], scan: Scan) -> None:
    """Add every PHP file that calls what it should not and was not laid out with the release."""
    known = set(settings["known_files"])
    for path, why in _candidates(settings, scan):
        if path in known:
            continue
        try:
            calls = dangerous_calls(_content(path))
        except OSError as error:
            scan.notes.append(f"{text_shown(path)} was not looked at: {error.strerror}")
            continue
        if calls:
            said = f"{text_shown(path)} {why} and calls {', '.join(calls)}"
            scan.suspects.append(Suspect("web_shell", path, said))


def suspicious_files(settings: dict[str, Any], scan: Scan) -> list[str]:
    """Return the PHP files that were not laid out with a release, whatever they call."""
    return [path for path, _ in _candidates(settings, scan)]


def _candidates(settings: dict[str, Any], scan: Scan) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for root in settings["upload_dirs"]:
        for path, _ in _php_files(root, scan):
            seen.add(path)
            yield path, "is where no code belongs"
    for root in (found for pattern in settings["code_dirs"] for found in sorted(glob.glob(pattern))):
        laid_out = _laid_out(root)
        for path, status in _php_files(root, scan):
            if path not in seen and status.st_ctime > laid_out + settings["deploy_seconds"]:
                seen.add(path)
                yield path, "was changed after its release was laid out"


def _php_files(root: str, scan: Scan) -> Iterator[tuple[str, os.stat_result]]:
    for path, status in regular_files(root, scan.notes.append, _DEPTH):
        if path.lower().endswith(_PHP):
            yield path, status


def _laid_out(root: str) -> float:
    """Return when a release was laid out: the earliest change of a file that each has. No program can set that back."""
    times = [os.lstat(path).st_ctime for one in _ANCHORS if os.path.lexists(path := os.path.join(root, one))]
    return min(times, default=0.0)


def _content(path: str) -> bytes:
    directory_path, name = split(path)
    with Directory(directory_path) as directory, os.fdopen(directory.open(name), "rb") as source:
        return source.read(_MOST_BYTES)
