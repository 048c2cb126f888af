#!/usr/bin/python
"""Asks about, or acts on, services of the stack by their names, whichever way the stack is laid out."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_service
short_description: Ask about or act on services of the stack by name
description:
  - The same words for a stack that is a compose project and for one that is a set of units.
  - What starts a service waits until it runs, and looks twice whether it stays up; 60 seconds at most.
options:
  name:
    description:
      - The services to work on, by the names in O(services).
      - None means all of them for the actions C(status) and C(logs); every other action has to be told.
      - The action C(exec) takes exactly one.
    type: list
    elements: str
    default: []
  action:
    description: What to do.
    type: str
    choices: [status, start, stop, restart, reload, exec, logs]
    default: status
  layout:
    description: How the stack is laid out on this host.
    type: str
    choices: [compose, systemd]
    required: true
  services:
    description: All services of the stack.
    type: list
    elements: str
    default: []
  project_dir:
    description: The directory of the compose project, for the layout C(compose).
    type: str
    default: ""
  compose_file:
    description: The file of the compose project, as seen from O(project_dir), for the layout C(compose).
    type: str
    default: ""
  units:
    description: The unit of each service, for the layout C(systemd).
    type: dict
    default: {}
  argv:
    description:
      - The program and its arguments, for the action C(exec). Never a shell's line.
      - It runs as the user, and in the directory, that the service has; in its container where it has one.
    type: list
    elements: str
    default: []
  lines:
    description: How many lines of each service, for the action C(logs).
    type: int
    default: 100
attributes:
  check_mode:
    description: Says whether something would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows the states before and after.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Start what has fallen
  stack_service:
    name: [queue, scheduler]
    action: start
    layout: systemd
    services: [queue, scheduler]
    units: {queue: "chom-queue@1.service", scheduler: chom-scheduler.service}

- name: Ask the application something
  stack_service:
    name: [app]
    action: exec
    argv: [php, artisan, "about", "--json"]
    layout: compose
    services: [app]
    project_dir: /opt/chom
    compose_file: docker-compose.production.yml
"""

RETURN = r"""
services:
  description: How each of the services is after the action.
  returned: always, except for the actions C(exec) and C(logs)
  type: dict
  sample: {queue: {running: false, state: "exited (137)", detail: "Exited (137) 2 minutes ago"}}
logs:
  description: The last lines of each service's log, each with its time.
  returned: for the action C(logs)
  type: dict
rc:
  description: The exit code of the program.
  returned: for the action C(exec), except in check mode
  type: int
stdout:
  description: What the program printed.
  returned: for the action C(exec), except in check mode
  type: str
stderr:
  description: What the program printed to its standard error.
  returned: for the action C(exec), except in check mode
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.remediate_stack import ServiceState, Stack, StackError

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "list", "elements": "str", "default": []},
    "action": {
        "type": "str",
        "choices": ["status", "start", "stop", "restart", "reload", "exec", "logs"],
        "default": "status",
    },
    "layout": {"type": "str", "choices": ["compose", "systemd"], "required": True},
    "services": {"type": "list", "elements": "str", "default": []},
    "project_dir": {"type": "str", "default": ""},
    "compose_file": {"type": "str", "default": ""},
    "units": {"type": "dict", "default": {}},
    "argv": {"type": "list", "elements": "str", "default": []},
    "lines": {"type": "int", "default": 100},
}


def stack_of(parameters: dict[str, Any]) -> Stack:
    """Return the stack that the parameters describe."""
    return Stack(
        parameters["layout"],
        parameters["services"],
        project_dir=parameters["project_dir"],
        compose_file=parameters["compose_file"],
        units=parameters["units"],
    )


def wanted(stack: Stack, name: list[str], action: str) -> list[str]:
    """Return the services to work on; raises StackError for one that the stack does not have."""
    if unknown := [one for one in name if one not in stack.services]:
        raise StackError(
            f"the stack of this host has no service {', '.join(unknown)}; nothing was done: "
            f"it has {', '.join(stack.services) or 'no services at all, see stack_services'}"
        )
    if action == "exec" and len(name) != 1:
        raise StackError("a program runs in exactly one service; nothing was done: name one in stack_service")
    if not name and action not in {"status", "logs"}:
        raise StackError(f"no service to {action} was named; nothing was done: name it in stack_service")
    return list(dict.fromkeys(name or stack.services))


def to_change(action: str, states: dict[str, ServiceState]) -> list[str]:
    """Return the services that the action would change."""
    if action == "status":
        return []
    if action == "start":
        return [name for name, state in states.items() if not state.running]
    if action == "stop":
        return [name for name, state in states.items() if state.running or state.state == "restarting"]
    return list(states)


def operate(stack: Stack, names: list[str], action: str, *, dry: bool) -> dict[str, Any]:
    """Bring services where the action wants them, and return how they are then."""
    before = states_of(stack, names)
    changing = to_change(action, before)
    after = before
    if changing and not dry:
        getattr(stack, action)(changing)
        after = states_of(stack, names)
    return {
        "changed": bool(changing),
        "services": {name: state._asdict() for name, state in after.items()},
        "diff": {"before": words(before), "after": words(after)},
    }


def states_of(stack: Stack, names: list[str]) -> dict[str, ServiceState]:
    """Return the states of some of the services."""
    states = stack.status()
    return {name: states[name] for name in names}


def words(states: dict[str, ServiceState]) -> str:
    """Return the states as a human reads them, one to a line."""
    return "".join(f"{name}: {state.state}\n" for name, state in states.items())


def run_inside(stack: Stack, name: str, argv: list[str], *, dry: bool) -> dict[str, Any]:
    """Run a program in a service, and return how it ended; what it changed nobody knows."""
    if dry:
        return {"changed": True}
    code, output, errors = stack.exec(name, argv)
    result = {"changed": True, "rc": code, "stdout": output, "stderr": errors}
    if code != 0:
        result |= {"failed": True, "msg": f"{argv[0]} ended with {code} in {name}; see stderr and stdout"}
    return result


def result_of(parameters: dict[str, Any], *, dry: bool) -> dict[str, Any]:
    """Do what was asked for; raises StackError when it did not happen."""
    stack, action = stack_of(parameters), parameters["action"]
    names = wanted(stack, parameters["name"], action)
    if action == "logs":
        return {"changed": False, "logs": {name: stack.logs(name, parameters["lines"]) for name in names}}
    if action == "exec":
        return run_inside(stack, names[0], parameters["argv"], dry=dry)
    return operate(stack, names, action, dry=dry)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("action", "exec", ("argv",))], supports_check_mode=True
    )
    stop_with_controller()
    try:
        result = result_of(module.params, dry=module.check_mode)
    except StackError as error:
        module.fail_json(msg=str(error))
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
