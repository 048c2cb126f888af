#!/usr/bin/python
"""Takes an application down in one way, for real, or undoes that."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: outage_fault
short_description: Take an application down for a test
description:
  - Breaks a lab host, or heals what this module has broken.
options:
  kind:
    description: Which fault, or C(heal).
    type: str
    required: true
  layout:
    description: How the application is laid out.
    type: str
    required: true
  units:
    description: The unit of each service, for the layout C(systemd).
    type: dict
    default: {}
author:
  - The remediate authors
"""

COMPOSE = ["docker", "compose", "--project-directory", "/opt/chom", "--file", "/opt/chom/docker-compose.production.yml"]
WEB = {"compose": "/opt/chom/docker/nginx.conf", "systemd": "/etc/nginx/sites-enabled/default"}
DROP_IN = Path("/run/systemd/system/docker.service.d/no-restart.conf")
SOCKET = Path("/run/php/php8.4-fpm.sock")


def run(*arguments: str, check: bool = True) -> str:
    """Run a program; raises CalledProcessError."""
    return subprocess.run(arguments, check=check, capture_output=True, text=True).stdout.strip()


class Compose:
    """Faults of the compose layout."""

    def stop(self, *names: str) -> None:
        """Stop services."""
        run("docker", "stop", "--time=1", *(f"chom-{name}" for name in names))

    def refuse(self, name: str, port: int) -> None:
        """Let a service refuse connections while it runs; the rule goes with the container's network."""
        pid = run("docker", "inspect", "--format", "{{.State.Pid}}", f"chom-{name}")
        rule = ["-p", "tcp", "--dport", str(port), "-j", "REJECT", "--reject-with", "tcp-reset"]
        run("nsenter", "--target", pid, "--net", "iptables", "-I", "INPUT", "!", "-i", "lo", *rule)

    def reload_web(self) -> None:
        """Make the web server read its configuration."""
        run("docker", "exec", "chom-nginx", "nginx", "-s", "reload")

    def gateway(self) -> None:
        """PHP-FPM runs and refuses connections."""
        self.refuse("app", 9000)

    def redis(self) -> None:
        """Redis runs and refuses connections."""
        self.refuse("redis", 6379)

    def engine_dead(self) -> None:
        """Kill the engine, and let nothing start it again."""
        DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        DROP_IN.write_text("[Service]\nRestart=no\n", encoding="ascii")
        run("systemctl", "daemon-reload")
        pid = int(run("systemctl", "show", "--property=MainPID", "--value", "docker.service"))
        os.kill(pid, signal.SIGKILL)
        # Whoever asks it would start it by its socket.
        run("systemctl", "stop", "docker.socket", check=False)

    def heal(self) -> None:
        """Bring everything up."""
        run("systemctl", "daemon-reload")
        run("systemctl", "start", "docker.service")
        # A rule that refuses connections is gone with the container's network.
        run("docker", "restart", "--time=5", "chom-app", "chom-redis", check=False)
        run(*COMPOSE, "up", "--detach", "--no-recreate", "--pull=never")
        self.reload_web()


class Systemd:
    """Faults of the systemd layout."""

    def __init__(self, units: dict[str, str]) -> None:
        self._units = units

    def stop(self, *names: str) -> None:
        """Stop services."""
        run("systemctl", "stop", *(self._units[name] for name in names))

    def reload_web(self) -> None:
        """Make the web server read its configuration."""
        run("systemctl", "reload", self._units["nginx"])

    def gateway(self) -> None:
        """PHP-FPM runs, and its socket is gone."""
        SOCKET.unlink()

    def redis(self) -> None:
        """Redis runs and refuses connections."""
        self._rule("-I")

    def _rule(self, verb: str) -> str:
        rule = ["-p", "tcp", "--dport", "6379", "-j", "REJECT", "--reject-with", "tcp-reset"]
        return run("iptables", verb, "INPUT", *rule, check=verb == "-I")

    def heal(self) -> None:
        """Bring everything up."""
        self._rule("-D")
        if not SOCKET.exists():
            run("systemctl", "restart", self._units["app"])
        run("systemctl", "reset-failed", *self._units.values(), check=False)
        run("systemctl", "start", *self._units.values())
        self.reload_web()


def misremember(host: Compose | Systemd, layout: str) -> None:
    """Let the web server load a configuration that fails every request, and put the right one on the disk again."""
    path = Path(WEB[layout])
    right = path.read_text(encoding="utf-8")
    # Written in place: a container has just this file mounted.
    try:
        path.write_text(right.replace("location / {", "location / {\n        return 500;", 1), encoding="utf-8")
        host.reload_web()
    finally:
        path.write_text(right, encoding="utf-8")


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "required": True},
            "layout": {"type": "str", "required": True},
            "units": {"type": "dict", "default": {}},
        }
    )
    layout = module.params["layout"]
    host: Compose | Systemd = Compose() if layout == "compose" else Systemd(module.params["units"])
    deeds: dict[str, Callable[[], None]] = {
        "services_stopped": lambda: host.stop("nginx", "queue"),
        "bad_gateway": host.gateway,
        "unexplained": lambda: misremember(host, layout),
        "database_down": lambda: host.stop("mysql"),
        "two": lambda: host.stop("mysql", "nginx"),
        "redis_unreachable": host.redis,
        "heal": host.heal,
    }
    if isinstance(host, Compose):
        deeds["engine_dead"] = host.engine_dead
    try:
        deeds[module.params["kind"]]()
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"{' '.join(map(str, error.cmd))}: {error.stderr}")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
