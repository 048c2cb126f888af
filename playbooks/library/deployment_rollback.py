#!/usr/bin/python
"""Does one phase of the runbook deployment-rollback on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deployment_rollback
short_description: Go back to the release before a bad one
description:
  - Finds out whether the current release is a bad one, goes back to an older one, proves that the application is well
    on it, and can switch forward again. One call does one phase.
options:
  phase:
    description: What to do.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role
        C(deployment_rollback), with the prefix C(deployment_rollback_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; every phase but C(diagnose) and C(verify) needs it.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows what is done, step by step.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look at the release
  deployment_rollback:
    phase: diagnose
    settings: "{{ __deployment_rollback_settings }}"
    stack: "{{ __deployment_rollback_stack }}"
"""

RETURN = r"""
finding:
  description: What was found, in the form of the phase C(diagnose).
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deployment_rollback_run import SETTINGS, DeploymentRollback
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
    run_phase(module, DeploymentRollback(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
