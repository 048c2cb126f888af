#!/usr/bin/python
"""Lets living logs grow, as a program does that logs far too much."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_disk import AMOUNT, bytes_to_take

DOCUMENTATION = r"""
---
module: log_flooder
short_description: Let living logs grow
description:
  - Appends whole lines to files that are there, while their writers have them open.
options:
  paths:
    description: The logs.
    type: list
    elements: path
    required: true
  line:
    description: What each line says.
    type: str
    required: true
  fill_to:
    description: Percent of the file system that are used in the end.
    type: float
    required: true
  share:
    description: Percent of the file system that the lines take at most.
    type: float
    default: 100
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Log far too much
  log_flooder:
    paths: [/opt/chom/storage/logs/laravel.log]
    line: the same line, again and again
    fill_to: 97
"""

RETURN = r"""
bytes:
  description: How much was appended.
  returned: always
  type: int
"""

_CHUNK = 4 << 20


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "required": True},
            "line": {"type": "str", "required": True},
            **AMOUNT,
        },
    )
    paths = module.params["paths"]
    total = bytes_to_take(paths[0], module.params["fill_to"], module.params["share"])
    taken = sum(append(Path(path), module.params["line"], total // len(paths)) for path in paths)
    module.exit_json(changed=taken > 0, bytes=taken)


def append(path: Path, line: str, size: int) -> int:
    """Append lines until there are so many bytes more, and return how many there are."""
    one = line.encode() + b"\n"
    many = one * (_CHUNK // len(one))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    with os.fdopen(descriptor, "ab", buffering=0) as log:
        for _ in range(size // len(many)):
            log.write(many)
        log.write(one * (size % len(many) // len(one)))
    return size // len(one) * len(one)


if __name__ == "__main__":
    main()
