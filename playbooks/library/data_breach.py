#!/usr/bin/python
"""Does one phase of the runbook data-breach on this host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: data_breach
short_description: Find an intruder's traces, shut the host off, clean it, replace its credentials
description:
  - Refuses the phases C(snapshot) and C(fix) until the evidence of the run is sealed and a verified copy of it is
    off the
    host; see the modules M(evidence_bundle) and M(evidence_copy).
options:
  phase:
    description: What to do.
    type: str
    required: true
    choices: [diagnose, snapshot, fix, verify, rollback]
  settings:
    description: Lists and places of this host; each is described in the argument specification of the role
      C(data_breach).
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
    description: Shows each step below which its settings stand.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look for an intruder
  data_breach:
    phase: diagnose
    settings: "{{ __data_breach_settings }}"
    stack: "{{ __data_breach_stack }}"
"""

RETURN = r"""
finding:
  description: What was found, in the form of the phase C(diagnose).
  returned: in the phase diagnose
  type: dict
snapshot:
  description: What was written down.
  returned: in the phase snapshot
  type: dict
fix:
  description: What was done.
  returned: in the phase fix
  type: dict
verdict:
  description: What verification saw.
  returned: in the phase verify
  type: dict
rollback:
  description: What was put back.
  returned: in the phase rollback
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.breach_parameters import SETTINGS
from ansible.module_utils.breach_runbook import DataBreach
from ansible.module_utils.evidence_store import receipt_trouble
from ansible.module_utils.host_run import PHASES, run_phase
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import StateError
from ansible.module_utils.stack_parameters import STACK


def refuse_without_evidence(module: AnsibleModule) -> None:
    """End the module when something would change before the evidence is safe."""
    if module.params["phase"] not in {"snapshot", "fix"} or module.check_mode:
        return
    try:
        trouble = receipt_trouble(module.params["settings"]["state_dirs"], module.params["run_id"])
    except (OSError, StateError, StepError) as error:
        trouble = f"whether the evidence is safe cannot be told: {error}; nothing was changed"
    if trouble:
        module.fail_json(msg=trouble)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "phase": {"type": "str", "required": True, "choices": list(PHASES)},
            "settings": SETTINGS,
            "stack": STACK,
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    refuse_without_evidence(module)
    run_phase(module, DataBreach(module.params["settings"], module.params["stack"], module.params["run_id"]))


if __name__ == "__main__":
    main()
