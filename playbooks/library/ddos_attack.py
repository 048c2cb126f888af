#!/usr/bin/python
"""Does one phase of the runbook ddos-attack on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ddos_attack
short_description: Keep a flood of requests out
description:
  - Does one phase of the runbook on this host. Looks for who asks how much, limits requests, blocks and bans sources
    until their time, drops paths that can wait, proves it, and takes all of it back.
options:
  phase:
    description: The phase.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role C(ddos_attack),
        with the prefix C(ddos_attack_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; names its directory on the host.
    type: str
    default: ""
attributes:
  check_mode:
    description: Changes nothing and returns what would be done.
    support: full
  diff_mode:
    description: The fix shows its steps.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look who asks for what
  ddos_attack:
    phase: diagnose
    settings: "{{ __ddos_attack_settings }}"
    stack: "{{ __ddos_attack_stack }}"
"""

RETURN = r"""
finding:
  description: What was found, in the form of the phase C(diagnose). Each phase returns its report under its own name.
  returned: for the phase C(diagnose)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.ddos_parameters import SETTINGS
from ansible.module_utils.ddos_runbook import DdosAttack
from ansible.module_utils.host_run import PHASES, run_phase
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "phase": {"type": "str", "choices": list(PHASES), "required": True},
            "settings": SETTINGS,
            "stack": STACK,
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    run_phase(module, DdosAttack(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
