#!/usr/bin/python
"""Fills a disk with what a container engine leaves behind."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from typing import IO, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_disk import AMOUNT, bytes_to_take

DOCUMENTATION = r"""
---
module: engine_filler
short_description: Fill a disk with images, build cache or stopped containers
description:
  - Asks the engine itself to make them, so that it knows them as it knows any other.
options:
  kind:
    description: What is left behind.
    type: str
    choices: [images, build_cache, stopped_containers]
    required: true
  count:
    description: How many of them.
    type: int
    required: true
  image:
    description: An image that is there, for builds and containers to begin with.
    type: str
    required: true
  fill_to:
    description: Percent of the file system that are used in the end.
    type: float
    required: true
  share:
    description: Percent of the file system that is taken at most.
    type: float
    default: 100
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Leave images behind
  engine_filler:
    kind: images
    count: 10
    image: chom/service:production
    fill_to: 97
"""

RETURN = r"""
bytes:
  description: How much was asked for.
  returned: always
  type: int
"""

_ENGINE_ROOT = "/var/lib/docker"
_BLOCK = 1 << 20


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "choices": list(_MAKERS), "required": True},
            "count": {"type": "int", "required": True},
            "image": {"type": "str", "required": True},
            **AMOUNT,
        },
    )
    wanted = module.params
    total = bytes_to_take(_ENGINE_ROOT, wanted["fill_to"], wanted["share"])
    blocks = total // wanted["count"] // _BLOCK
    if blocks:
        try:
            _MAKERS[wanted["kind"]](wanted["image"], wanted["count"], blocks)
        except subprocess.CalledProcessError as error:
            module.fail_json(msg=f"{' '.join(error.cmd)} ended with {error.returncode}: {error.stderr!r}")
    module.exit_json(changed=blocks > 0, bytes=blocks * _BLOCK * wanted["count"])


def leave_images(image: str, count: int, blocks: int) -> None:
    """Give the engine images that have no name."""
    del image
    for _ in range(count):
        with (
            subprocess.Popen(["docker", "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as engine,
            tarfile.open(fileobj=cast("IO[bytes]", engine.stdin), mode="w|") as layer,
        ):
            _add(layer, "unique", os.urandom(_BLOCK))
            for number in range(1, blocks):
                _add(layer, f"part-{number}", bytes(_BLOCK))
        if engine.returncode:
            raise subprocess.CalledProcessError(engine.returncode, engine.args, stderr="see the engine's log")


def _add(layer: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    layer.addfile(header, io.BytesIO(content))


def leave_build_cache(image: str, count: int, blocks: int) -> None:
    """Build something of many steps and keep only the cache of the steps."""
    mark = os.urandom(8).hex()
    steps = [f"RUN fallocate --length {blocks}MiB /step-{number} # {mark}" for number in range(count)]
    _engine("buildx", "build", "--quiet", "--output=type=cacheonly", "-", said="\n".join([f"FROM {image}", *steps]))


def leave_containers(image: str, count: int, blocks: int) -> None:
    """Run jobs that write much and end; nobody removes their containers."""
    for _ in range(count):
        name = f"--name=chom-import-{os.urandom(4).hex()}"
        _engine("run", name, "--network=none", image, "fallocate", "--length", f"{blocks}MiB", "/imported")


def _engine(*arguments: str, said: str = "") -> None:
    subprocess.run(["docker", *arguments], input=said, check=True, capture_output=True, text=True)


_MAKERS: dict[str, Callable[[str, int, int], None]] = {
    "images": leave_images,
    "build_cache": leave_build_cache,
    "stopped_containers": leave_containers,
}

if __name__ == "__main__":
    main()
