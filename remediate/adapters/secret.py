"""Secrets by reference: `env:NAME` or `file:/path`. The value is read when it is used, and shown nowhere."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from remediate.errors import UsageError

_LONGEST = 64 * 1024


class Secret:
    """A secret value. Only `reveal` gives it away: its text and its form in a traceback are stars."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def hide(self, text: str) -> str:
        """Return text without the value, plain or as base64 or URLs carry it."""
        plain = self._value
        encoded = base64.b64encode(plain.encode()).decode()
        for form in (plain, encoded, encoded.rstrip("="), quote(plain, safe=""), quote_plus(plain)):
            text = text.replace(form, "***")
        return text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def resolve(reference: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """Return the secret that a reference names; raises UsageError, with what to do, when there is none."""
    scheme, _, name = reference.partition(":")
    if scheme == "env" and name:
        value = environment.get(name, "")
        missing = f"The secret env:{name} is not set."
        next_step = f"set the environment variable {name} for this program"
    elif scheme == "file" and name:
        value = _read(Path(name))
        missing, next_step = f"The secret file:{name} is empty.", f"write the secret into {name}"
    else:
        # It may be the secret itself that somebody wrote here: it is not repeated.
        raise UsageError("A secret is named by env:NAME or file:/path, not written out.", next_step="correct it")
    if not value:
        raise UsageError(missing, next_step=next_step)
    return Secret(value)


def _read(path: Path) -> str:
    """Read a file that only its owner and group may read, and only its owner may change."""
    try:
        # Opened without waiting: a pipe in its place would never answer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(descriptor))
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise UsageError(
            f"The secret file:{path} cannot be read: {error.strerror}.", next_step=f"check `ls -l {path}`"
        ) from error
    if len(content) > _LONGEST:
        raise UsageError(f"The secret file:{path} is longer than 64 KiB: that is no secret.")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Without its cause: that would carry the content.
        raise UsageError(f"The secret file:{path} is not UTF-8 text.") from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"The secret file:{path} is not a regular file.")
    if status.st_uid not in {0, os.geteuid()}:
        raise UsageError(f"The secret file:{path} belongs to another user.", next_step=f"chown {os.geteuid()} {path}")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise UsageError(
            f"The secret file:{path} is open to others (mode {status.st_mode & 0o777:04o}).",
            next_step=f"chmod 0600 {path}",
        )
