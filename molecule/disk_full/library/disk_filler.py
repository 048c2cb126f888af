#!/usr/bin/python
"""Fills a file system with files of a given name, age and owner."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_disk import AMOUNT, bytes_to_take

DOCUMENTATION = r"""
---
module: disk_filler
short_description: Fill a file system with files
description:
  - Each file begins with content of its own; the rest of its blocks is allocated, not written.
options:
  names:
    description: Path of the files. C({number}) is the number of the file, C({date}) and C({micros}) its age.
    type: str
    required: true
  count:
    description: How many files.
    type: int
    default: 1
  fill_to:
    description: Percent of the file system that are used in the end.
    type: float
    required: true
  share:
    description: Percent of the file system that the files take at most.
    type: float
    default: 100
  days:
    description: Age of the first file; each further one is a day older.
    type: int
    default: 0
  owner:
    description: User and group of the files.
    type: str
    default: root
  begin:
    description: What the files begin with; C(gzip) makes every file a whole archive.
    type: str
    choices: [random, gzip]
    default: random
  like:
    description: A file to begin with instead.
    type: path
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Fill the disk with packages
  disk_filler:
    names: /var/cache/apt/archives/package-{number}.deb
    count: 10
    fill_to: 97
"""

RETURN = r"""
made:
  description: The files that were made.
  returned: always
  type: list
"""

_DAY = 86_400
_BLOCK = 4096
#: Less room than this is no room.
_NEGLIGIBLE = 1 << 20


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "str", "required": True},
            "count": {"type": "int", "default": 1},
            **AMOUNT,
            "days": {"type": "int", "default": 0},
            "owner": {"type": "str", "default": "root"},
            "begin": {"type": "str", "choices": ["random", "gzip"], "default": "random"},
            "like": {"type": "path"},
        },
    )
    made = fill(module.params)
    module.exit_json(changed=bool(made), made=made)


def fill(wanted: dict[str, Any]) -> list[str]:
    """Make the files and return their paths; none when the disk is full already."""
    total = bytes_to_take(str(Path(wanted["names"]).parent), wanted["fill_to"], wanted["share"])
    if total < _NEGLIGIBLE:
        return []
    paths = itertools.islice(_free_names(wanted), wanted["count"])
    return [_make(wanted, path, moment, total // wanted["count"]) for path, moment in paths]


def _free_names(wanted: dict[str, Any]) -> Any:
    for number in itertools.count():
        moment = int(time.time()) - (wanted["days"] + number) * _DAY
        date = time.strftime("%Y%m%d", time.gmtime(moment))
        path = wanted["names"].format(number=number, date=date, micros=f"{moment * 10**6:016x}")
        if not Path(path).exists():
            yield path, moment


def _make(wanted: dict[str, Any], path: str, moment: int, size: int) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "wb", buffering=0) as target:
        target.write(_beginning(wanted))
        begun = target.tell()
        allocate(descriptor, begun, size - begun)
    shutil.chown(path, wanted["owner"], wanted["owner"])
    os.utime(path, (moment, moment))
    return path


def _beginning(wanted: dict[str, Any]) -> bytes:
    if wanted["like"]:
        return Path(wanted["like"]).read_bytes()
    content = os.urandom(16 * _BLOCK)
    return gzip.compress(content) if wanted["begin"] == "gzip" else content


def allocate(descriptor: int, start: int, size: int) -> None:
    """Allocate blocks for a part of a file, as many of them as there are."""
    step = size
    while size > 0 and step >= _BLOCK:
        part = min(step, size)
        try:
            os.posix_fallocate(descriptor, start, part)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2
        else:
            start, size = start + part, size - part


if __name__ == "__main__":
    main()
