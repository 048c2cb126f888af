"""Renames a file without ever replacing another one."""

from __future__ import annotations

import ctypes
import os

_RENAME_NOREPLACE = 1


def rename_without_replacing(directory: int, old: str, new: str) -> None:
    """Rename inside an open directory; raises FileExistsError when something has the new name by now.

    Python knows no such rename; a hard link would need one more inode, which a full disk may not have.
    """
    library = ctypes.CDLL(None, use_errno=True)
    old_name, new_name = (ctypes.c_char_p(os.fsencode(name)) for name in (old, new))
    if library.renameat2(directory, old_name, directory, new_name, ctypes.c_uint(_RENAME_NOREPLACE)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), new)
