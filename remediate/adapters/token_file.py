"""Reads a token from a file: never from the command line or the environment, which every process list shows."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from remediate.errors import UsageError

_LONGEST = 1024


def read_token(path: Path) -> str:
    """Return the token in a file; raises UsageError, with the exact fix, for one that others could read or write."""
    try:
        # Without O_NONBLOCK a named pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            f"The token file {path} cannot be read: {error.strerror}. Nothing was done.",
            next_step="name the file that holds your token, alone on one line",
        ) from error
    try:
        # What is checked is what is read: the name may point elsewhere a moment later.
        _check(path, os.fstat(descriptor))
        return os.read(descriptor, _LONGEST).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result) -> None:
    quoted = shlex.quote(str(path))
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"The token file {path} is not a regular file. Nothing was done.")
    if status.st_uid != os.geteuid():
        raise UsageError(
            f"The token file {path} belongs to another user. Nothing was done.",
            next_step=f"chown {os.geteuid()} {quoted}",
        )
    if status.st_mode & 0o7177:
        raise UsageError(
            f"The token file {path} is open to others (mode {status.st_mode & 0o7777:04o}). Nothing was done.",
            next_step=f"chmod 0600 {quoted}; if others could read it, revoke the token and have a new one made",
        )
