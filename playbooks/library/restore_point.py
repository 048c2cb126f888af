#!/usr/bin/python
"""Makes the restore point of a run, and tells what going back to it takes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: restore_point
short_description: Mark the place in a database's log from before a change
description:
  - Closes the binary log of a MariaDB server, proves that the end of it is whole, and keeps the place on the host
    under the id of the run. C(database-restore) goes back to it (C(to=run:ID)).
  - It never fails because of the database, and takes less than ten seconds; what prevents a restore point is a reason.
options:
  phase:
    description:
      - C(diagnose) only tells how long going back would take, from what the host remembers of its newest full copy.
      - C(snapshot) makes the restore point. One that the run has made already stays.
    type: str
    choices: [diagnose, snapshot]
    required: true
  settings:
    description: Where things are on this host; see the role C(restore_point).
    type: dict
    required: true
    suboptions:
      service:
        description: The service of the stack that is the database server.
        type: str
        required: true
      data_dir:
        description: The server's data directory on this host.
        type: str
        required: true
      log_dir:
        description: The directory of its binary logs; empty for the data directory.
        type: str
        required: true
      backup_dir:
        description: Where backups remember their newest full copy.
        type: path
        required: true
      restore_dir:
        description: Where restores remember how fast they were.
        type: path
        required: true
      state_dirs:
        description: Directories for what the run writes down; the first one with room is used.
        type: list
        elements: path
        required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run; empty for the phase that only looks.
    type: str
    default: ""
attributes:
  check_mode:
    description: Makes no restore point, and says so as the reason.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Make a restore point
  restore_point:
    phase: snapshot
    settings: "{{ __restore_point_settings }}"
    stack: "{{ __restore_point_stack }}"
    run_id: "{{ restore_point_run_id }}"
"""

RETURN = r"""
way_back:
  description: The full copy and the logs that a restore would take, and its time; or the reason why none is known.
  returned: for the phase C(diagnose)
  type: dict
restore_point:
  description: The position and the last transactions before it, or the reason why there is none.
  returned: for the phase C(snapshot)
  type: dict
"""

from ansible.module_utils import way_back
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.restore_mark import Kept
from ansible.module_utils.restore_point_parameters import SETTINGS
from ansible.module_utils.restore_point_run import take
from ansible.module_utils.run_state import StateError, checked_run_id
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "phase": {"type": "str", "choices": ["diagnose", "snapshot"], "required": True},
            "settings": SETTINGS,
            "stack": STACK,
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    stop_with_controller()
    if module.params["phase"] == "diagnose":
        module.exit_json(changed=False, way_back=way_back.look(module.params["settings"]).report())
    kept, changed = _taken(module)
    module.exit_json(changed=changed, restore_point=kept.report())


def _taken(module: AnsibleModule) -> tuple[Kept, bool]:
    try:
        run_id = checked_run_id(module.params["run_id"])
    except StateError as error:
        module.fail_json(msg=str(error))
    if module.check_mode:
        return Kept(None, "a dry run makes none"), False
    return take(module.params["settings"], module.params["stack"], run_id)


if __name__ == "__main__":
    main()
