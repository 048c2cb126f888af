#!/usr/bin/python
"""Shuts this host off but for those who work on it, confirms that from a new connection, or lifts it again."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: network_containment
short_description: Shut a host off but for those who work on it
description:
  - One nftables table of its own, with a default of dropping in every direction. Whoever runs this over SSH is
    always let in.
  - The rules take themselves back after O(seconds), unless O(state=confirmed) comes over a new connection before.
  - They do not outlive a restart of the host.
options:
  state:
    description: >-
      V(present) shuts the host off, V(confirmed) makes that last if it is in force (reset the connection before),
      V(absent)
      lifts it.
    type: str
    choices: [present, confirmed, absent]
    default: present
  responders:
    description: Addresses and networks of those who work on the host; both ways.
    type: list
    elements: str
    default: []
  egress:
    description: Addresses and networks that the host needs; only what it begins itself.
    type: list
    elements: str
    default: []
  seconds:
    description: After how long the rules take themselves back without a confirmation.
    type: int
    default: 300
  required:
    description: With O(state=confirmed), whether it is an error when nothing is in force.
    type: bool
    default: true
attributes:
  check_mode:
    description: Changes nothing and says whether it would.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Open a host again, and keep what else was done
  network_containment:
    state: absent
"""

RETURN = r"""
containment:
  description: Whether the rules are in force after this.
  returned: always
  type: dict
"""

import ipaddress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.breach_connections import bridges
from ansible.module_utils.host_step import StepError
from ansible.module_utils.network_rules import Allowed, is_in_force, keep_shut, open_again, shut
from ansible.module_utils.own_connection import own_connection
from ansible.module_utils.stack_program import StackError


def reach(parameters: dict[str, Any], *, dry: bool) -> bool:
    """Bring the rules into a state; return whether something changed, or would."""
    there, wanted = is_in_force(), parameters["state"]
    if wanted == "confirmed":
        if not there and not parameters["required"]:
            return False
        return False if dry else keep_shut()
    if dry or there == (wanted == "present"):
        return there != (wanted == "present")
    if wanted == "absent":
        return open_again()
    own = own_connection().address
    responders = (*parameters["responders"], *([own] if own else []))
    for one in (*responders, *parameters["egress"]):
        ipaddress.ip_network(one, strict=False)
    shut(Allowed(responders, tuple(parameters["egress"]), tuple(bridges())), parameters["seconds"])
    return True


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "confirmed", "absent"], "default": "present"},
            "responders": {"type": "list", "elements": "str", "default": []},
            "egress": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "int", "default": 300},
            "required": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        changed = reach(module.params, dry=module.check_mode)
        there = is_in_force()
    except (OSError, ValueError, StepError, StackError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, containment={"in_force": there})


if __name__ == "__main__":
    main()
