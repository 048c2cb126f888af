#!/usr/bin/python
"""Looks at whether a host is ready for runbooks: Python, layout, and room to hold what a fix takes away."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_readiness
short_description: Look at whether a host is ready for runbooks
description:
  - Says what this host is and what a runbook would miss on it. Reads only.
options:
  layout:
    description: How the stack is laid out on this host, from the inventory.
    type: str
    default: ""
  services:
    description: The services of the stack.
    type: list
    elements: str
    default: []
  project_dir:
    description: Directory of the compose project, for the layout C(compose).
    type: str
    default: ""
  units:
    description: The unit of each service, for the layout C(systemd).
    type: dict
    default: {}
  hold_dir:
    description: Where what a fix takes away would be held.
    type: path
    required: true
attributes:
  check_mode:
    description: Reads only, in any mode.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look at the host
  host_readiness:
    layout: systemd
    services: [app]
    units: {app: php8.4-fpm.service}
    hold_dir: /var/lib/remediate/hold
"""

RETURN = r"""
readiness:
  description: What this host is, and a sentence for everything that is missing.
  returned: always
  type: dict
"""

import os
import platform
import pwd
import shutil

from ansible.module_utils.basic import AnsibleModule

_LAYOUTS = {"compose": "docker", "systemd": "systemctl"}


def nearest_existing(path: str) -> str:
    """Return the path, or the nearest directory above it that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def login_user() -> str:
    """Return who logged in, before sudo made us root."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name


def layout_problems(parameters: dict) -> list:
    """Return a sentence for everything of the layout that is not there."""
    layout = parameters["layout"]
    if not layout:
        return []
    if layout not in _LAYOUTS:
        return ["stack_layout is %r in the inventory; it is compose or systemd" % layout]
    problems = []
    if shutil.which(_LAYOUTS[layout]) is None:
        problems.append("%s is not installed, but the layout is %s" % (_LAYOUTS[layout], layout))
    if layout == "compose" and not os.path.isdir(parameters["project_dir"]):
        problems.append("the project directory %r does not exist" % parameters["project_dir"])
    missing = [name for name in parameters["services"] if layout == "systemd" and name not in parameters["units"]]
    if missing:
        problems.append("stack_units names no unit for %s" % ", ".join(missing))
    if not parameters["services"]:
        problems.append("the inventory names no services: set stack_services")
    return problems


def readiness(parameters: dict) -> dict:
    """Return what the host is, and what is missing on it."""
    hold = os.statvfs(nearest_existing(parameters["hold_dir"]))
    return {
        "user": login_user(),
        "python": platform.python_version(),
        "layout": parameters["layout"] or "no stack",
        "services": ", ".join(parameters["services"]) or "none",
        "hold_path": parameters["hold_dir"],
        "hold_free_bytes": hold.f_bavail * hold.f_frsize,
        "problems": layout_problems(parameters),
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "layout": {"type": "str", "default": ""},
            "services": {"type": "list", "elements": "str", "default": []},
            "project_dir": {"type": "str", "default": ""},
            "units": {"type": "dict", "default": {}},
            "hold_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, readiness=readiness(module.params))


if __name__ == "__main__":
    main()
