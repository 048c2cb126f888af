#!/usr/bin/python
"""Replaces words in a file of a lab host, in the file itself: a container that has it mounted sees the change."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_text
short_description: Replace words in a file without replacing the file
description:
  - Other modules write a new file and rename it, which a container that has the old one mounted does not see.
options:
  path:
    description: The file.
    type: path
    required: true
  old:
    description: The words that go.
    type: str
    required: true
  new:
    description: The words that come in their place.
    type: str
    required: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Let nginx look elsewhere
  lab_text:
    path: /opt/chom/docker/nginx.conf
    old: /acme;
    new: /elsewhere;
"""

RETURN = r"""
"""


def main() -> None:
    """Run as an Ansible module."""
    words = {name: {"type": "str", "required": True} for name in ("old", "new")}
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}, **words})
    path = Path(module.params["path"])
    before = path.read_text(encoding="utf-8")
    after = before.replace(module.params["old"], module.params["new"])
    if after != before:
        with path.open("r+", encoding="utf-8") as target:
            target.write(after)
            target.truncate()
    module.exit_json(changed=after != before)


if __name__ == "__main__":
    main()
