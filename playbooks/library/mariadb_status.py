#!/usr/bin/python
"""Says how a MariaDB server of the stack is: whether it runs and answers, what it logged, which tables are damaged."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mariadb_status
short_description: Say how a MariaDB server is
description:
  - Whether it runs and answers, which errors it has logged since it was started, and which tables C(CHECK TABLE) says
    are damaged.
options:
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  service:
    description: The service that is the server.
    type: str
    default: mysql
  error_log:
    description: The error log; empty for what the service prints.
    type: str
    default: ""
  check_tables:
    description: Whether every table is read and checked, too.
    type: bool
    default: false
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
- name: Look how the database is
  mariadb_status:
    stack: "{{ __database_failure_stack }}"
    check_tables: true
"""

RETURN = r"""
mariadb_status:
  description: How the server is.
  returned: always
  type: dict
  sample:
    running: true
    state: running
    answers: true
    errors: []
    damage: []
    broken: [{table: shop.orders, said: "The B-tree of index kb is corrupted.", readable: true}]
"""

from typing import Any

from ansible.module_utils import database_log, database_tables
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.database_facts import server_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_parameters import STACK


def status(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return how the server is."""
    server = server_of(parameters, parameters["stack"])
    state = server.stack.status()[server.service]
    lines = database_log.since_start(database_log.read(server, parameters["error_log"]))
    answers = state.running and server.answers()
    tables = database_tables.tables_of(server) if answers and parameters["check_tables"] else []
    broken = database_tables.broken(server, tables)
    return {
        "running": state.running,
        "state": state.state,
        "answers": answers,
        "errors": database_log.errors(lines)[-20:],
        "damage": database_log.damage(lines)[-20:],
        "broken": [{"table": one.table.title, "said": one.said, "readable": one.readable} for one in broken],
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "stack": STACK,
            "service": {"type": "str", "default": "mysql"},
            "error_log": {"type": "str", "default": ""},
            "check_tables": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    stop_with_controller()
    try:
        found = status(module.params)
    except (StackError, StepError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, mariadb_status=found)


if __name__ == "__main__":
    main()
