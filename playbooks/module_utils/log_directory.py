"""The binary logs of a database server that lie in a directory of this host: also when the server does not run."""

from __future__ import annotations

import os
import re

from ansible.module_utils.binlog_events import MAGIC

_NAME = re.compile(r".+\.\d{6,}")


def logs_in(data: str, directory: str) -> dict[str, str]:
    """Return the path of each log by its name, the oldest first; `directory` is empty where they lie in `data`."""
    place = directory or data
    names = sorted(name for name in os.listdir(place) if _NAME.fullmatch(name)) if os.path.isdir(place) else []
    return {name: os.path.join(place, name) for name in names if _is_log(os.path.join(place, name))}


def _is_log(path: str) -> bool:
    with open(path, "rb") as source:
        return source.read(len(MAGIC)) == MAGIC
