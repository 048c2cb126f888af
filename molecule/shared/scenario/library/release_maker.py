#!/usr/bin/python
"""Deploys a release on a lab host as a deployment would, with faults built in, and removes such releases again."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: release_maker
short_description: Deploy a release with faults, or remove all but the lab's own
description:
  - Uses nothing of the runbook's own code, or it would prove nothing about it.
options:
  layout:
    description: How the application is laid out.
    type: str
    choices: [compose, systemd]
    required: true
  state:
    description: C(deployed) makes a release of the present one and switches to it; C(clean) goes back to the lab's own.
    type: str
    choices: [deployed, made, clean]
    default: deployed
  name:
    description: Name of the release; without one it is of today.
    type: str
    default: ""
  edits:
    description: What is different from the release before; C(path), and C(find) with C(replace), or C(content).
    type: list
    elements: dict
    default: []
  remove:
    description: Files that the release lacks.
    type: list
    elements: str
    default: []
  migrate:
    description: Whether the deployment runs migrations.
    type: bool
    default: false
  workers:
    description: Whether the deployment restarts the workers.
    type: bool
    default: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Deploy a release that cannot start
  release_maker:
    layout: systemd
    edits: [{path: bootstrap/app.php, find: "<?php", replace: "<?php throw new Exception('x');"}]
"""

RETURN = r"""
release:
  description: The current release.
  returned: always
  type: str
"""

_HOME = Path("/var/www/chom")
_SETTINGS = Path("/opt/chom/.env")
_IMAGE = "chom/app"
_COMPOSE = ("docker", "compose", "--file=/opt/chom/docker-compose.production.yml", "up", "--detach", "--no-deps")
_WEB = ("app", "nginx")
_WORKERS = ("queue", "scheduler")
_OWN = re.compile(r"\d{8}-093000")


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "layout": {"type": "str", "choices": ["compose", "systemd"], "required": True},
            "state": {"type": "str", "choices": ["deployed", "made", "clean"], "default": "deployed"},
            "name": {"type": "str", "default": ""},
            "edits": {"type": "list", "elements": "dict", "default": []},
            "remove": {"type": "list", "elements": "str", "default": []},
            "migrate": {"type": "bool", "default": False},
            "workers": {"type": "bool", "default": True},
        },
    )
    wanted = module.params
    wanted["name"] = wanted["name"] or time.strftime("%Y%m%d-120000", time.gmtime())
    layout = Images() if wanted["layout"] == "compose" else Directories()
    try:
        if wanted["state"] == "clean":
            changed = layout.clean()
        else:
            layout.make(wanted)
            if wanted["state"] == "deployed":
                layout.switch(wanted["name"], migrate=wanted["migrate"], workers=wanted["workers"])
            changed = True
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"{' '.join(error.cmd)} ended with {error.returncode}: {error.stderr[-2000:]}")
    module.exit_json(changed=changed, release=layout.current())


def run(*command: str, check: bool = True) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout.strip()


def edit(directory: Path, wanted: dict[str, Any]) -> None:
    """Change the code of a release."""
    (directory / "release.php").write_text(f"<?php return '{wanted['name']}';\n")
    for one in wanted["edits"]:
        file = directory / one["path"]
        if "content" in one:
            file.write_text(one["content"])
        else:
            before = file.read_text()
            if one["find"] not in before:
                raise subprocess.CalledProcessError(1, ["edit", one["path"]], stderr=f"no {one['find']} in it")
            file.write_text(before.replace(one["find"], one["replace"], 1))
        file.chmod(0o644)
    for path in wanted["remove"]:
        (directory / path).unlink()


class Directories:
    """Releases that are directories."""

    def current(self) -> str:
        """Return the current release."""
        return (_HOME / "current").resolve().name

    def make(self, wanted: dict[str, Any]) -> None:
        """Make a release of the present one."""
        release = _HOME / "releases" / wanted["name"]
        if release.exists():
            shutil.rmtree(release)
        shutil.copytree((_HOME / "current").resolve(), release, symlinks=True)
        edit(release, wanted)

    def switch(self, name: str, *, migrate: bool, workers: bool) -> None:
        """Make a release the current one."""
        release = _HOME / "releases" / name
        if migrate:
            run("runuser", "--user", "www-data", "--", "php", str(release / "artisan"), "migrate", "--force")
        new = _HOME / "current.new"
        new.unlink(missing_ok=True)
        new.symlink_to(release)
        new.rename(_HOME / "current")
        run("systemctl", "reload-or-restart", "php8.4-fpm.service")
        if workers:
            run("systemctl", "restart", "chom-queue@1.service", "chom-scheduler.service", check=False)

    def clean(self) -> bool:
        """Go back to the newest of the lab's own releases and remove the others; start what is down."""
        releases = sorted(path for path in (_HOME / "releases").iterdir() if path.is_dir())
        foreign = [path for path in releases if not _OWN.fullmatch(path.name)]
        own = [path.name for path in releases if _OWN.fullmatch(path.name)]
        if foreign or self.current() != own[-1]:
            run("systemctl", "reset-failed", check=False)
            self.switch(own[-1], migrate=False, workers=True)
        run("systemctl", "start", "nginx.service", "php8.4-fpm.service", "mariadb.service", "redis-server.service")
        run("systemctl", "start", "chom-queue@1.service", "chom-scheduler.service")
        for path in foreign:
            shutil.rmtree(path)
        return bool(foreign)


class Images:
    """Releases that are images."""

    def current(self) -> str:
        """Return the release that the settings name."""
        found = re.search(r"^CHOM_RELEASE=(.*)$", _SETTINGS.read_text(), re.MULTILINE)
        return found.group(1) if found else ""

    def make(self, wanted: dict[str, Any]) -> None:
        """Make an image of the present one's code."""
        before = run("docker", "create", f"{_IMAGE}:{self.current()}", "true")
        base = run("docker", "create", "chom/service:production", "true")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            code = Path(directory) / "code"
            run("docker", "cp", "--quiet", f"{before}:/srv/chom", str(code))
            edit(code, wanted)
            run("docker", "cp", "--quiet", str(code), f"{base}:/srv/chom")
        run("docker", "commit", base, f"{_IMAGE}:{wanted['name']}")
        run("docker", "rm", before, base)

    def switch(self, name: str, *, migrate: bool, workers: bool) -> None:
        """Name a release in the settings and make its containers; the container of `app` migrates by itself."""
        del migrate
        said = re.sub(r"^CHOM_RELEASE=.*$", f"CHOM_RELEASE={name}", _SETTINGS.read_text(), flags=re.MULTILINE)
        _SETTINGS.write_text(said)
        run(*_COMPOSE, *_WEB, *(_WORKERS if workers else ()))

    def clean(self) -> bool:
        """Go back to the newest of the lab's own releases and remove the others; start what is down."""
        tags = sorted(run("docker", "image", "ls", "--format={{.Tag}}", _IMAGE).split())
        own = [tag for tag in tags if _OWN.fullmatch(tag)]
        self.switch(own[-1], migrate=False, workers=True)
        run(*_COMPOSE, "mysql", "redis")
        foreign = [tag for tag in tags if tag not in own]
        deadline = time.monotonic() + 20
        for tag in foreign:
            while run("docker", "ps", "--all", "--quiet", f"--filter=ancestor={_IMAGE}:{tag}"):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            run("docker", "image", "rm", f"{_IMAGE}:{tag}")
        return bool(foreign)


if __name__ == "__main__":
    main()
