#!/usr/bin/python
"""Finds what takes CPU and memory of a host, gives them back, proves it, and puts settings back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: high_resources
short_description: Do one phase of the runbook high-resources
description:
  - Tells apart what takes CPU, memory, connections or the database's time, and does what is known to help.
options:
  phase:
    description: What to do. C(diagnose) and C(verify) only read.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits of this host. Each is described in the argument specification of the role C(high_resources), with the
        prefix C(high_resources_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; only diagnosis and verification can do without.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be done and changes nothing.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Find out what takes CPU and memory
  high_resources:
    phase: diagnose
    settings: "{{ __high_resources_settings }}"
    stack: "{{ __high_resources_stack }}"
"""

RETURN = r"""
finding:
  description: What was found, in the form of the phase C(diagnose).
  returned: phase is diagnose
  type: dict
snapshot:
  description: What was written down on the host, in the form of the phase C(snapshot).
  returned: phase is snapshot
  type: dict
fix:
  description: What was done, in the form of the phase C(fix).
  returned: phase is fix
  type: dict
verdict:
  description: What was proven, in the form of the phase C(verify).
  returned: phase is verify
  type: dict
rollback:
  description: What was put back, in the form of the phase C(rollback).
  returned: phase is rollback
  type: dict
message:
  description: What is not as it should be, in one line.
  returned: phase is verify or rollback
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.high_resources_runbook import HighResources
from ansible.module_utils.host_run import PHASES, run_phase
from ansible.module_utils.resource_parameters import SETTINGS
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
    run_phase(module, HighResources(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
