#!/usr/bin/python
"""Says who is connected to a MariaDB server of the stack, and how many may be."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mariadb_sessions
short_description: Say who is connected to a MariaDB server, and how many may be
description:
  - Asks as the server's administrator, for whom the server keeps one connection free. What clients run is not asked.
options:
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  service:
    description: The service that is the server.
    type: str
    default: mysql
attributes:
  check_mode:
    description: Only looks.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look who holds connections
  mariadb_sessions:
    stack: "{{ __database_failure_stack }}"
"""

RETURN = r"""
mariadb_sessions:
  description: Every session but the one that asked, the limit, how many are connected, and the server's version.
  returned: always
  type: dict
  sample:
    maximum: 150
    connected: 1
    percent: 0.7
    version: 11.8.3-MariaDB
    sessions: [{id: 7, user: chom, host: 10.0.0.3, command: Sleep, idle: 12, in_transaction: false}]
"""

from ansible.module_utils import database_sessions
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.database_facts import server_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"stack": STACK, "service": {"type": "str", "default": "mysql"}}, supports_check_mode=True
    )
    stop_with_controller()
    try:
        sessions = database_sessions.look(server_of(module.params, module.params["stack"]))
    except (StackError, StepError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, mariadb_sessions=sessions.record())


if __name__ == "__main__":
    main()
