#!/usr/bin/python
"""Lists the releases of the application on a host, and makes one of them the current one."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_switch
short_description: List releases, or switch to one of them
description:
  - Releases are directories with a symbolic link to the current one, or tags of an image with a setting of the
    compose project that names the current one.
  - The link and the file of settings are replaced by a rename, so a reader sees the old release or the new one. Then
    the processes follow. The release has to prove first that its code starts. Where releases are images, the containers
    of the old one end before those of the new one answer.
options:
  release:
    description: The release to switch to; without one, releases are only listed.
    type: str
    default: ""
  settings:
    description:
      - Where releases are. As for the role C(deployment_rollback), without its prefix; what is left out has the default
        that the role has.
    type: dict
    default: {}
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    required: true
attributes:
  check_mode:
    description: Says whether something would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows the current release before and after.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Switch to a release
  release_switch:
    release: 20261118-093000
    settings:
      releases_dir: /var/www/chom/releases
      current_link: /var/www/chom/current
    stack:
      layout: systemd
      services: [app, queue]
      units: {app: php8.4-fpm.service, queue: "chom-queue@1.service"}
"""

RETURN = r"""
releases:
  description: The current release, the release that each worker runs from, and every release that is known.
  returned: always
  type: dict
  sample:
    current: 20261125-093000
    workers: {queue: 20261125-093000}
    known: [{name: 20261125-093000, whole: true, lacks: []}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.deployment_rollback_run import SETTINGS
from ansible.module_utils.release_layout import Releases, releases_of
from ansible.module_utils.releases import ReleaseError, in_order
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_parameters import STACK


def listed(releases: Releases, workers: list[str]) -> dict[str, Any]:
    """Return what releases there are, the newest first."""
    known = [{"name": one.name, "whole": one.whole, "lacks": list(one.lacks)} for one in in_order(releases.known())]
    return {"current": releases.current(), "workers": releases.places(workers), "known": known}


def checked(name: str, known: list[dict[str, Any]]) -> None:
    """Raise ReleaseError for a release that is not there or not whole."""
    found = next((one for one in known if one["name"] == name), None)
    if found is None:
        names = ", ".join(one["name"] for one in known) or "none"
        raise ReleaseError(f"the release {name} is not on this host; nothing was switched: it has {names}")
    if not found["whole"]:
        raise ReleaseError(f"the release {name} is broken, it lacks {', '.join(found['lacks'])}; nothing was switched")


def switched(releases: Releases, name: str, workers: list[str], *, dry: bool) -> dict[str, Any]:
    """Bring the host onto a release and return what there is then; raises ReleaseError when that cannot be done."""
    before = listed(releases, workers)
    checked(name, before["known"])
    behind = [place for place in before["workers"].values() if place and place != name]
    changed = before["current"] != name or bool(behind)
    if changed and not dry:
        releases.prove(name)
        releases.switch(name)
        releases.settle(name, patient=True)
    after = listed(releases, workers) if changed and not dry else before
    now = name if dry else after["current"]
    diff = {"before": f"{before['current']}\n", "after": f"{now}\n"}
    return {"changed": changed, "releases": after, "diff": diff}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "default": ""},
            "settings": {"type": "dict", "options": SETTINGS["options"], "apply_defaults": True},
            "stack": {"type": "dict", "options": STACK["options"], "required": True},
        },
        supports_check_mode=True,
    )
    stop_with_controller()
    settings = module.params["settings"]
    try:
        releases = releases_of(settings, module.params["stack"])
        if module.params["release"]:
            result = switched(releases, module.params["release"], settings["workers"], dry=module.check_mode)
        else:
            result = {"changed": False, "releases": listed(releases, settings["workers"])}
    except (OSError, ReleaseError, StackError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
