#!/usr/bin/python
"""Takes the evidence of a break-in on this host into one sealed archive; changes nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: evidence_bundle
short_description: Seal the evidence of a break-in
description:
  - Takes processes (with the digest of their program, their arguments, the names of their environment, what they have
    open), sockets, users, keys, cron entries and timers, the state and logs of services, login logs, the users and
    the schema
    (or all) of the database, and a list of files with their digests.
  - Writes them into one archive with a manifest of digests, below the run id, readable by root alone. What is sealed is
    never written again, and nothing ever deletes it.
options:
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
    required: true
attributes:
  check_mode:
    description: Takes nothing.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Take the evidence
  evidence_bundle:
    settings:
      state_dirs: [/var/lib/remediate]
      evidence_roots: [/etc, /opt/chom]
    run_id: 20261127-101500-ab12
"""

RETURN = r"""
evidence:
  description: Where the archive is, its digest, how many members it has, and what could not be taken.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.breach_parameters import SETTINGS
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.evidence_capture import Capture
from ansible.module_utils.evidence_store import capture, find_seal
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import StateError
from ansible.module_utils.stack_parameters import STACK
from ansible.module_utils.stack_program import StackError


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "stack": STACK, "run_id": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    stop_with_controller()
    settings, run_id = module.params["settings"], module.params["run_id"]
    try:
        seal = find_seal(settings["state_dirs"], run_id)
        changed = seal is None
        if changed and not module.check_mode:
            seal = capture(settings["state_dirs"], run_id, Capture(settings, module.params["stack"]).fill)
    except (OSError, StateError, StepError, StackError) as error:
        module.fail_json(msg=f"the evidence could not be taken: {error}")
    for one in (seal or {}).get("missing", ()) if changed else ():
        module.warn(f"not in the evidence: {one}")
    module.exit_json(changed=changed, evidence=seal or {})


if __name__ == "__main__":
    main()
