#!/usr/bin/python
"""Looks at the disks of a host: what fills them, what may go, in which order, and what that would give."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: disk_full_facts
short_description: Find out what fills a disk and what can safely go
description:
  - Looks once at everything that can fill a disk and decides what a fix would do. Reads only.
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
attributes:
  check_mode:
    description: Reads only, in any mode.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look at the disks
  disk_full_facts:
    settings: "{{ __disk_full_settings }}"
    stack: "{{ __disk_full_stack }}"
"""

RETURN = r"""
finding:
  description: What was found, in the form of the phase C(diagnose).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.disk_parameters import SETTINGS
from ansible.module_utils.disk_plan import finding, make_plan
from ansible.module_utils.run_state import unfinished_starts
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "stack": STACK},
        supports_check_mode=True,
    )
    stop_with_controller()
    settings = module.params["settings"]
    try:
        plan = make_plan(settings, module.params["stack"], unfinished_starts(settings["state_dirs"]))
    except OSError as error:
        module.fail_json(msg=f"the disks could not be looked at: {error}")
    module.exit_json(changed=False, finding=finding(plan, settings))


if __name__ == "__main__":
    main()
