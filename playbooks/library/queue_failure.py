#!/usr/bin/python
"""Does one phase of the runbook queue-failure on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: queue_failure
short_description: Get a queue worked on again without losing a job
description:
  - Diagnoses why jobs wait or fail, writes down what will be touched, does it, proves it, and undoes it.
  - Never removes a job. Jobs of a class that fails over and over are moved to a file on the host, and can be put back.
options:
  phase:
    description: What to do.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role C(queue_failure),
        with the prefix C(queue_failure_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; diagnosis needs none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be done, and changes nothing.
    support: full
  diff_mode:
    description: The fix shows what it does, step by step.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look at queues, jobs and workers
  queue_failure:
    phase: diagnose
    settings: "{{ __queue_failure_settings }}"
    stack: "{{ __queue_failure_stack }}"
"""

RETURN = r"""
finding:
  description: What was found.
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
  description: What verification saw.
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
from ansible.module_utils.host_run import PHASES, run_phase
from ansible.module_utils.queue_failure_host import QueueFailure
from ansible.module_utils.queue_parameters import SETTINGS
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
    run_phase(module, QueueFailure(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
