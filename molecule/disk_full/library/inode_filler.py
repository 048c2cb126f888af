#!/usr/bin/python
"""Uses up the inodes of a file system, as a cache does that forgets nothing."""

from __future__ import annotations

import hashlib
import os
import pwd
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: inode_filler
short_description: Use up the inodes of a file system
description:
  - Makes empty files, and a few that are not, in the two levels of directories that the application's cache has.
options:
  directory:
    description: The cache.
    type: path
    required: true
  owner:
    description: User who owns the files.
    type: str
    required: true
  fill_to:
    description: Percent of the inodes that are used in the end.
    type: float
    required: true
  days:
    description: Age of the newest file.
    type: int
    required: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Leave a file for every request
  inode_filler:
    directory: /opt/chom/storage/framework/cache/data
    owner: www-data
    fill_to: 99
    days: 8
"""

RETURN = r"""
made:
  description: How many files were made.
  returned: always
  type: int
"""

_LEVELS = [f"{first:x}0/{second:x}0" for first in range(16) for second in range(4)]
_FIRST_WITH_CONTENT = 50


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "owner": {"type": "str", "required": True},
            "fill_to": {"type": "float", "required": True},
            "days": {"type": "int", "required": True},
        },
    )
    cache = Path(module.params["directory"])
    newest = time.time() - module.params["days"] * 86_400
    owner = pwd.getpwnam(module.params["owner"])
    # Files of another user are made as that user: it is quicker than to give away each one.
    os.setegid(owner.pw_gid)
    os.seteuid(owner.pw_uid)
    for level in _LEVELS:
        (cache / level).mkdir(parents=True, exist_ok=True)
    count = inodes_to_take(cache, module.params["fill_to"])
    make(cache, count, newest)
    os.seteuid(0)
    module.exit_json(changed=count > 0, made=count)


def inodes_to_take(directory: Path, fill_to: float) -> int:
    """Return how many inodes are left until so many percent are used."""
    room = os.statvfs(directory)
    return max(0, room.f_favail - int(room.f_files * (100 - fill_to) / 100))


def make(cache: Path, count: int, newest: float) -> None:
    """Make files with the names of a cache, each one a second older than the one before."""
    for number in range(count):
        name = hashlib.sha256(b"%d %d" % (number, time.time_ns())).hexdigest()[:40]
        path = f"{cache}/{_LEVELS[number % len(_LEVELS)]}/{name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        if number < _FIRST_WITH_CONTENT or number % _FIRST_WITH_CONTENT == 0:
            os.write(descriptor, name.encode())
        os.utime(descriptor, (newest - number, newest - number))
        os.close(descriptor)


if __name__ == "__main__":
    main()
