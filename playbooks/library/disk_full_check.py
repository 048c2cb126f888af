#!/usr/bin/python
"""Proves that a disk has room again: free bytes and inodes, a write that lasts, and a healthy application."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: disk_full_check
short_description: Prove that a disk has room again and that the application works
description:
  - Measures, writes one small file per file system and removes it again, and asks the application how it is.
options:
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role C(disk_full),
        with the prefix C(disk_full_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run whose journal is reported; empty for none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Leaves out the write.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look whether the host is cured
  disk_full_check:
    settings: "{{ __disk_full_settings }}"
    stack: "{{ __disk_full_stack }}"
"""

RETURN = r"""
verdict:
  description: What was seen, in the form of the phase C(verify).
  returned: always
  type: dict
message:
  description: What is not as it should be, in one line.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.disk_check import verdict
from ansible.module_utils.disk_parameters import SETTINGS
from ansible.module_utils.disk_reclaim import done_candidates
from ansible.module_utils.host_checks import message_of
from ansible.module_utils.run_state import StateError, find
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "stack": STACK, "run_id": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    settings, run_id = module.params["settings"], module.params["run_id"]
    seen = verdict(settings, module.params["stack"], write=not module.check_mode)
    try:
        state = find(settings["state_dirs"], run_id) if run_id else None
        done = [one.action() for one in done_candidates(state)] if state else []
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, verdict={**seen, "done": done}, message=message_of(seen["checks"]))


if __name__ == "__main__":
    main()
