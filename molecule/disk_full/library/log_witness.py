#!/usr/bin/python
"""Makes the application of a lab host log something, and proves that each log is still the one it writes to."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_commands import run

DOCUMENTATION = r"""
---
module: log_witness
short_description: Prove that the application goes on writing to its logs
description:
  - A log that was emptied under a writer that does not append would begin with a hole.
options:
  logs:
    description: The logs to which an order of the application is written.
    type: list
    elements: path
    required: true
  container:
    description: A container whose log is looked at too.
    type: str
    default: ""
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: See that logs are written
  log_witness:
    logs: [/opt/chom/storage/logs/laravel.log]
"""

RETURN = r"""
grown:
  description: By how many bytes each log has grown.
  returned: always
  type: dict
"""

_ORDERS = "http://127.0.0.1/orders"
_SECONDS = 15


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "logs": {"type": "list", "elements": "path", "required": True},
            "container": {"type": "str", "default": ""},
        },
    )
    container = module.params["container"]
    logs = [*module.params["logs"], *([container_log(container)] if container else []), *deleted_logs()]
    before = {log: Path(log).stat().st_size for log in logs}
    try:
        order_something()
        if container:
            run("docker", "exec", container, "sh", "-c", "date > /proc/1/fd/1")
        wait_for(lambda: all(Path(log).stat().st_size > size for log, size in before.items()), f"lines in {logs}")
        refuse_holes(logs)
    except (OSError, RuntimeError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, grown={log: Path(log).stat().st_size - size for log, size in before.items()})


def container_log(name: str) -> str:
    """Return the file to which the engine writes what a container prints."""
    return run("docker", "inspect", "--format={{.LogPath}}", name).strip()


def deleted_logs() -> list[str]:
    """Return the open logs of the service whose logs were deleted, while it runs."""
    process = run("systemctl", "show", "--property=MainPID", "--value", "chom-import.service").strip()
    links = [f"/proc/{process}/fd/{number}" for number in range(3, 7)] if process != "0" else []
    return [link for link in links if Path(link).exists()]


def order_something() -> None:
    """Order something and wait until the worker has handled it."""
    number = answer(urllib.request.Request(_ORDERS, method="POST", data=b"item=witness"))["order"]
    wait_for(lambda: is_handled(number), f"order {number} to be handled")


def is_handled(number: int) -> bool:
    """Return whether the worker has handled an order."""
    return any(one["id"] == number and one["handled_at"] for one in answer(_ORDERS)["last"])


def answer(request: str | urllib.request.Request) -> dict[str, Any]:
    """Return what the application answers."""
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own host
        document: dict[str, Any] = json.load(response)
        return document


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Wait until something is so; it is an error if it does not become so."""
    until = time.monotonic() + _SECONDS
    while not happened():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {_SECONDS} s in vain for {what}")
        time.sleep(0.1)


def refuse_holes(logs: list[str]) -> None:
    """Raise for a log that begins with nothing."""
    for log in logs:
        with Path(log).open("rb") as source:
            if source.read(1) == b"\0":
                raise RuntimeError(f"{log} begins with a hole: its writer does not append to it")


if __name__ == "__main__":
    main()
