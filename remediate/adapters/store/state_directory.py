"""The state directory of a site: private to whoever runs the program, and writable."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from remediate.errors import StateUnusable


def check_state_directory(directory: Path) -> None:
    """Make the state directory, or refuse one that others may write to; raises StateUnusable with the exact fix."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise StateUnusable(
            f"The state directory {directory} cannot be used: {error.strerror}. Nothing was run.",
            next_step="name another one: `state:` in remediate.yml, or REMEDIATE_STATE",
        ) from error
    if status.st_uid != os.geteuid():
        raise StateUnusable(
            f"The state directory {directory} belongs to another user. Nothing was run.",
            next_step=f"chown {os.geteuid()} {directory}",
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StateUnusable(
            f"The state directory {directory} is open to others (mode {status.st_mode & 0o777:04o}). Nothing was run.",
            next_step=f"chmod 0700 {directory}",
        )
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise StateUnusable(
            f"The state directory {directory} is on a read-only file system. Nothing was run.",
            next_step="mount it for writing; a file system that became read-only by itself has met errors, see `dmesg`",
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StateUnusable(
            f"The state directory {directory} cannot be written. Nothing was run.", next_step=f"chmod 0700 {directory}"
        )
