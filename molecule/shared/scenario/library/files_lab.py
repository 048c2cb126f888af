#!/usr/bin/python
"""Loses or damages files of a lab host, proves that they are, and puts them back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: files_lab
short_description: Lose or damage files of a lab host, or put them back
description:
  - What is broken is copied to C(/var/lib/lab-files) first, and put back from there.
options:
  do:
    description: What to do.
    type: str
    choices: [reset, lost, bit_flip, see_lost, see_bit_flip]
    required: true
  code:
    description: A directory of code.
    type: path
    required: true
  settings:
    description: A file of settings.
    type: path
    required: true
  rooms:
    description: Directories in which runs leave what was there before.
    type: list
    elements: path
    required: true
author:
  - The remediate authors
"""

DOES = ("reset", "lost", "bit_flip", "see_lost", "see_bit_flip")
KEPT = Path("/var/lib/lab-files")


def kept(path: Path) -> Path:
    """Return where the copy of a path is."""
    return KEPT / str(path).strip("/").replace("/", "~")


def keep(path: Path) -> None:
    """Copy a path with everything about it, unless that was done."""
    KEPT.mkdir(mode=0o700, exist_ok=True)
    if not kept(path).exists():
        subprocess.run(["cp", "--archive", "--", path, kept(path)], check=True)


def reset(paths: list[Path], rooms: list[Path]) -> None:
    """Put everything back, and forget runs."""
    for path in paths:
        if kept(path).exists():
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            subprocess.run(["cp", "--archive", "--", kept(path), path], check=True)
    for left in (KEPT, *(one for room in rooms for one in room.glob(".remediate-*"))):
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree("/var/lib/remediate/application_restore", ignore_errors=True)


def flip(path: Path) -> None:
    """Change one bit of a file, under the same size and time."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-2] ^= 1
    with path.open("r+b") as target:
        target.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "do": {
                "type": "str",
                "required": True,
                "choices": ["reset", "lost", "bit_flip", "see_lost", "see_bit_flip"],
            },
            "code": {"type": "path", "required": True},
            "settings": {"type": "path", "required": True},
            "rooms": {"type": "list", "elements": "path", "required": True},
        }
    )
    what = module.params["do"]
    # The link to the current release is followed once: nothing of it is there while it is lost.
    code, settings = (Path(module.params[name]) for name in ("code", "settings"))
    if what == "reset":
        reset([code, settings], [Path(one) for one in module.params["rooms"]])
    elif what == "lost":
        keep(code)
        shutil.rmtree(code)
    elif what == "bit_flip":
        keep(settings)
        flip(settings)
    elif what == "see_lost" and any(one.is_file() for one in code.rglob("*")):
        # An engine that is told to start a container makes empty directories where it finds nothing.
        module.fail_json(msg=f"{code} is there")
    elif what == "see_bit_flip" and settings.read_bytes() == kept(settings).read_bytes():
        module.fail_json(msg=f"{settings} is as it was")
    module.exit_json(changed=not what.startswith("see_"))


if __name__ == "__main__":
    main()
