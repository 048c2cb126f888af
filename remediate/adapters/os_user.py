"""The user of this machine that runs the program."""

from __future__ import annotations

import os
import pwd


def os_user() -> str:
    """Return the name of the user that owns this process.

    It is asked of the kernel: what USER, LOGNAME or SUDO_USER say is set by whoever wants to be somebody else.
    """
    user_id = os.geteuid()
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"uid-{user_id}"
