#!/usr/bin/python
"""Walks the phases of the runbook host-restore on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_restore
short_description: Restore a bare host to full service
description:
  - One phase of the runbook C(host-restore). What a run does is written down on the host, under its id.
options:
  phase:
    description: What to do.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role
        C(host_restore), with the prefix C(host_restore_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run; empty for the phases that only look.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be done, and changes nothing; verification leaves out the write and does not wait.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Plan the restore of a host
  host_restore:
    phase: diagnose
    settings: "{{ __host_restore_settings }}"
    stack: "{{ __host_restore_stack }}"
"""

RETURN = r"""
finding:
  description: What was found and what would be done.
  returned: for the phase C(diagnose)
  type: dict
snapshot:
  description: What was written down.
  returned: for the phase C(snapshot)
  type: dict
fix:
  description: What was done.
  returned: for the phase C(fix)
  type: dict
verdict:
  description: What was seen.
  returned: for the phase C(verify)
  type: dict
rollback:
  description: What was put back.
  returned: for the phase C(rollback)
  type: dict
message:
  description: What is not as it should be, in one line.
  returned: for the phases C(verify) and C(rollback)
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host_restore_parameters import SETTINGS
from ansible.module_utils.host_restore_runbook import HostRestore
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
    run_phase(module, HostRestore(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
