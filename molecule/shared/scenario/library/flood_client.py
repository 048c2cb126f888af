#!/usr/bin/python
"""Has a lab host flooded from addresses out in the world, inside the lab's own network, or ends that."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: flood_client
short_description: Flood a lab host
description:
  - Gives this host the addresses of attackers, and starts one unit for each flood. Every flood ends by itself.
options:
  host:
    description: The host that is flooded.
    type: str
    required: true
  script:
    description: The program that floods, as text; empty ends all floods of the host.
    type: str
    default: ""
  floods:
    description: For each flood its name and the arguments of the program.
    type: list
    elements: dict
    default: []
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: End the flood
  flood_client:
    host: landsraad
"""

RETURN = r"""
"""

PROGRAM = Path("/run/lab-flood.py")
ADDRESSES = (
    *(f"203.0.113.{number}/32" for number in (7, 8, 9, 10, 20)),
    "198.51.100.20/32",
    "2001:db8:1::12/64",
    *(f"2001:db8:bad::{number}/128" for number in range(1, 6)),
)


def address(verb: str) -> None:
    """Give the addresses to this host, or take them away; either may have been done already."""
    lines = "".join(f"address {verb} {one} dev eth0{' nodad' if ':' in one else ''}\n" for one in ADDRESSES)
    subprocess.run(["ip", "-force", "-batch", "-"], input=lines.encode(), check=verb == "replace")


def open_ipv6(value: str) -> None:
    """Open the lab's network to IPv6, or close it."""
    Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text(value, encoding="ascii")


def start(host: str, script: str, floods: list[dict[str, Any]]) -> None:
    """Start floods."""
    open_ipv6("0")
    address("replace")
    if not PROGRAM.exists() or PROGRAM.read_text(encoding="utf-8") != script:
        PROGRAM.write_text(script, encoding="utf-8")
    for one in floods:
        unit = f"--unit=lab-flood-{one['name']}.{host}"
        words = [str(word) for word in one["arguments"]]
        subprocess.run(["systemd-run", "--quiet", "--collect", unit, "python3", str(PROGRAM), *words], check=True)


def stop(host: str) -> None:
    """End the floods of a host; the last one takes the addresses away."""
    subprocess.run(["systemctl", "stop", f"lab-flood-*.{host}.service"], check=True)
    alive = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", "lab-flood-*"], capture_output=True, check=True
    )
    if not alive.stdout.strip():
        address("del")
        open_ipv6("1")


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "script": {"type": "str", "default": ""},
            "floods": {"type": "list", "elements": "dict", "default": []},
        }
    )
    if module.params["script"]:
        start(module.params["host"], module.params["script"], module.params["floods"])
    else:
        stop(module.params["host"])
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
