#!/usr/bin/python
"""Makes a lab host forget a flood: blocks, bans, limits, and what the access log says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.nft_table import Blocklist
from ansible.module_utils.nginx_block import LIMITS, PATHS, take
from ansible.module_utils.nginx_kinds import read_configuration, write_configuration

DOCUMENTATION = r"""
---
module: flood_sweeper
short_description: Make a lab host forget a flood
description:
  - Takes away what faults, runs and rollbacks have left. Can also give the web server limits of the site's own.
options:
  files:
    description: Configurations that runs write into.
    type: list
    elements: str
    default: []
  site_files:
    description: Configurations that the site's own limits stand in.
    type: list
    elements: str
    default: []
  site_limits:
    description: Limits that the first of site_files is to have; with them nothing is forgotten.
    type: str
    default: ""
  reload:
    description: The command that makes the web server read its configuration again.
    type: list
    elements: str
    required: true
  log:
    description: The access log, or the container that has it; it is emptied.
    type: str
    required: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Forget the flood
  flood_sweeper:
    files: [/etc/nginx/conf.d/remediate-limits.conf]
    reload: [systemctl, reload, nginx]
    log: /var/log/nginx/chom-access.log
"""

RETURN = r"""
"""

_BEGIN, _END = "# the site's own limits begin\n", "# the site's own limits end\n"


def swept(path: str) -> bool:
    """Take our blocks and the site's limits out of a configuration; return whether it changed."""
    before = read_configuration(path)
    after = take(take(before, LIMITS), PATHS)
    if _BEGIN in after:
        after = after[: after.index(_BEGIN)] + after[after.index(_END) + len(_END) :]
    if after != before:
        write_configuration(path, after)
    return bool(after != before)


def limited(path: str, limits: str) -> None:
    """Give the site limits of its own, in place."""
    head, http, tail = read_configuration(path).partition("http {\n")
    write_configuration(path, f"{head}{http}{_BEGIN}{limits}\n{_END}{tail}")


def forget(log: str) -> None:
    """Take away blocks, bans, routes to attackers, what runs have written down, and what the log says."""
    subprocess.run(["systemctl", "stop", "fail2ban.service"], check=True)
    for path in Path("/etc/fail2ban").glob("*/remediate-refused.conf"):
        path.unlink()
    Path("/var/lib/fail2ban/fail2ban.sqlite3").unlink(missing_ok=True)
    Blocklist().remove()
    routes = b"route del 203.0.113.0/24\nroute del 198.51.100.0/24\n"
    subprocess.run(["ip", "-force", "-batch", "-"], input=routes, check=False)  # not there on a healthy host
    Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("1", encoding="ascii")
    for parent in ("/var/lib/remediate", "/run/remediate"):
        shutil.rmtree(f"{parent}/ddos_attack", ignore_errors=True)
    os.truncate(log, 0)


def log_of(named: str) -> str:
    """Return the log; a name that is no path is that of a container."""
    if named.startswith("/"):
        return named
    shown = subprocess.run(["docker", "inspect", named], check=True, capture_output=True).stdout
    return str(json.loads(shown)[0]["LogPath"])


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "str", "default": []},
            "site_files": {"type": "list", "elements": "str", "default": []},
            "site_limits": {"type": "str", "default": ""},
            "reload": {"type": "list", "elements": "str", "required": True},
            "log": {"type": "str", "required": True},
        }
    )
    given = module.params
    log = log_of(given["log"])
    if given["site_limits"]:
        limited(given["site_files"][0], given["site_limits"])
        changed = [True]
    else:
        forget(log)
        changed = [swept(path) for path in dict.fromkeys([*given["files"], *given["site_files"]])]
    if any(changed):
        subprocess.run(given["reload"], check=True)
    module.exit_json(changed=True, log=log)


if __name__ == "__main__":
    main()
