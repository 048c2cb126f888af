#!/usr/bin/python
"""Lets a lab host answer to the addresses of attackers, which are mentat's."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: flood_ground
short_description: Routes to the attackers of the lab
description:
  - Routes the documentation ranges to mentat, and opens the lab's network to IPv6 on this host.
options:
  address6:
    description: The address of this host in IPv6.
    type: str
    required: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Route the documentation ranges to mentat
  flood_ground:
    address6: "2001:db8:1::10"
"""

RETURN = r"""
mentat:
  description: The address of mentat.
  returned: always
  type: str
"""


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec={"address6": {"type": "str", "required": True}})
    mentat = socket.gethostbyname("mentat")
    Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("0", encoding="ascii")
    lines = [
        f"route replace 203.0.113.0/24 via {mentat}",
        f"route replace 198.51.100.0/24 via {mentat}",
        f"address replace {module.params['address6']}/64 dev eth0 nodad",
        "route replace 2001:db8:bad::/64 via 2001:db8:1::12",
    ]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines).encode(), check=True)
    module.exit_json(changed=True, mentat=mentat)


if __name__ == "__main__":
    main()
