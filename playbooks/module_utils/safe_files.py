"""Opens, walks and removes files in directories that a hostile user may write to.

Every directory on the way is opened without following symbolic links, and everything is then done relative to the
open directory: whoever swaps a directory for a link in the meantime moves nothing of ours.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Opening must never block on a pipe or follow a link.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEPTH = 8


class Directory:
    """An open directory, reached without following a symbolic link."""

    def __init__(self, path: str) -> None:
        """Open the directory; raises OSError (ELOOP or ENOTDIR) when a part of the path is a symbolic link."""
        self.path = path
        self.descriptor = _open_directory(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the directory back."""
        os.close(self.descriptor)

    def status(self, name: str) -> os.stat_result:
        """Return the status of an entry, of the link itself when it is one."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def exists(self, name: str) -> bool:
        """Return whether there is an entry of that name."""
        try:
            self.status(name)
        except FileNotFoundError:
            return False
        return True

    def open(self, name: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """Open a file of the directory, never through a link, and return its descriptor."""
        return os.open(name, flags | _FILE, mode, dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        """Remove an entry."""
        os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Make what was done to the directory last."""
        os.fsync(self.descriptor)


def _open_directory(path: str) -> int:
    if not os.path.isabs(path):
        raise NotADirectoryError(f"{path!r} is not an absolute path")
    current = os.open("/", _DIRECTORY)
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            os.close(current)
            raise NotADirectoryError(f"{path!r} leads upwards")
        try:
            deeper = os.open(part, _DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = deeper
    return current


def split(path: str) -> tuple[str, str]:
    """Return the directory and the name of a path."""
    directory, name = os.path.split(path)
    if name in {"", ".", ".."}:
        raise FileNotFoundError(f"{path!r} names no file")
    return directory or "/", name


def regular_files(
    root: str, trouble: Callable[[str], None], depth: int = _DEPTH
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path, status) of the regular files below a directory, on its own file system only.

    A directory that is not there yields nothing; one that cannot be looked at is told to `trouble`.
    """
    try:
        top = _open_directory(root)
    except FileNotFoundError:
        return
    except OSError as error:
        trouble(f"{root} was not looked at: {error.strerror or error} (a symbolic link on the way is not followed)")
        return
    try:
        yield from _walk(top, root.rstrip("/"), os.fstat(top).st_dev, depth, trouble)
    finally:
        os.close(top)


def _walk(
    descriptor: int, path: str, device: int, depth: int, trouble: Callable[[str], None]
) -> Iterator[tuple[str, os.stat_result]]:
    directories = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since the directory was read
            if status.st_dev != device:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(entry.name)
            elif stat.S_ISREG(status.st_mode):
                yield f"{path}/{entry.name}", status
    for name in directories if depth else ():
        try:
            deeper = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except FileNotFoundError:
            continue  # gone since the directory was read
        except OSError as error:
            trouble(f"{path}/{name} was not looked at: {error.strerror}")
            continue
        try:
            yield from _walk(deeper, f"{path}/{name}", device, depth - 1, trouble)
        finally:
            os.close(deeper)
