#!/usr/bin/python
"""Puts back what a run has taken from a full disk: all of it, or nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: disk_full_restore
short_description: Put back what a run has removed from a full disk
description:
  - Puts every held file back with the same content, owner, mode and time.
  - Does nothing at all when anything newer would be overwritten, when it does not fit, or when the hold is damaged.
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
    description: The run that this belongs to; names its directory on the host.
    type: str
    required: true
attributes:
  check_mode:
    description: Writes nothing and returns what would be put back.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Put everything back
  disk_full_restore:
    settings: "{{ __disk_full_settings }}"
    stack: "{{ __disk_full_stack }}"
    run_id: 20261123-101500-ab12
"""

RETURN = r"""
rollback:
  description: What was put back or why not, in the form of the phase C(rollback).
  returned: always
  type: dict
message:
  description: What stands in the way, in one line.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.disk_parameters import SETTINGS
from ansible.module_utils.disk_reclaim import Context
from ansible.module_utils.disk_restore import Outcome, restore
from ansible.module_utils.remediate_engine import EngineError
from ansible.module_utils.run_state import StateError, found, one_at_a_time
from ansible.module_utils.stack_parameters import STACK


def put_back(module: AnsibleModule) -> Outcome:
    """Put back what the run has taken."""
    settings = module.params["settings"]
    state = found(settings["state_dirs"], module.params["run_id"])
    context = Context(state, settings, module.params["stack"], state.manifest, module.warn)
    with one_at_a_time(state):
        return restore(context, dry=module.check_mode)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "stack": STACK, "run_id": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    stop_with_controller()
    try:
        outcome = put_back(module)
    except (OSError, StateError, EngineError) as error:
        module.fail_json(msg=f"putting things back stopped: {error}")
    module.exit_json(changed=outcome.changed, rollback=outcome.report(), message=outcome.message())


if __name__ == "__main__":
    main()
