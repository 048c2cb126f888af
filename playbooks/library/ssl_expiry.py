#!/usr/bin/python
"""Does one phase of the runbook ssl-expiry: looks at a certificate, renews or deploys it, proves it, undoes it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ssl_expiry
short_description: Renew the certificate that a web server serves, prove it, and be able to undo it
description:
  - Does one phase of the runbook ssl-expiry on this host. What a phase does is described in the role C(ssl_expiry).
options:
  phase:
    description: The phase.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role C(ssl_expiry),
        with the prefix C(ssl_expiry_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; C(snapshot), C(fix) and C(rollback) need it.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be done. The trial of the next renewal is left out of C(verify).
    support: full
  diff_mode:
    description: Shows what is renewed, from where and how.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look at the certificate
  ssl_expiry:
    phase: diagnose
    settings: "{{ __ssl_expiry_settings }}"
    stack: "{{ __ssl_expiry_stack }}"
"""

RETURN = r"""
finding:
  description: What was found.
  returned: phase is diagnose
  type: dict
snapshot:
  description: What was written down.
  returned: phase is snapshot
  type: dict
fix:
  description: What was done.
  returned: phase is fix
  type: dict
verdict:
  description: What was seen.
  returned: phase is verify
  type: dict
rollback:
  description: What was put back.
  returned: phase is rollback
  type: dict
message:
  description: What is not as it should be, in one line.
  returned: phase is verify or rollback
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host_run import PHASES, run_phase
from ansible.module_utils.ssl_parameters import SETTINGS
from ansible.module_utils.ssl_runbook import SslExpiry
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
    run_phase(module, SslExpiry(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
