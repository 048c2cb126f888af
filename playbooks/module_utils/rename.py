"""Renames without ever replacing anything, and exchanges two names in one step."""

from __future__ import annotations

import ctypes
import os

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_HERE = -100


def rename_without_replacing(directory: int, old: str, new: str) -> None:
    """Rename inside an open directory; raises FileExistsError when something has the new name by now.

    Python knows no such rename; a hard link would need one more inode, which a full disk may not have.
    """
    library = ctypes.CDLL(None, use_errno=True)
    old_name, new_name = (ctypes.c_char_p(os.fsencode(name)) for name in (old, new))
    if library.renameat2(directory, old_name, directory, new_name, ctypes.c_uint(_RENAME_NOREPLACE)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), new)


def move(old: str, new: str) -> None:
    """Rename a path; raises FileExistsError when something has the new name."""
    _rename(old, new, _RENAME_NOREPLACE)


def exchange(one: str, other: str) -> None:
    """Give two paths of one file system each other's content in one step: at no moment is either of them missing."""
    _rename(one, other, _RENAME_EXCHANGE)


def _rename(old: str, new: str, flags: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(_HERE, os.fsencode(old), _HERE, os.fsencode(new), ctypes.c_uint(flags)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), old, None, new)
