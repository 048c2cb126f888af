"""Sessions of one program use the same connections to a host: the end of one play must not be that of another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from remediate.adapters.ansible.sessions import Sessions
from remediate.catalog.settings import AnsibleSettings
from tests.integration.lab.hosts import ROOT, LabHost

pytestmark = pytest.mark.lab

#: Works until it is told by name that it may end, or until nobody listens to it.
_MODULE = """
import os, time
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
module = AnsibleModule({"name": {"type": "str"}})
stop_with_controller()
working, may_end = ("/tmp/%s.%s" % (module.params["name"], what) for what in ("working", "end"))
with open(working, "w") as told:
    told.write(str(os.getpid()))
while not os.path.exists(may_end):
    time.sleep(0.05)
module.exit_json(changed=False)
"""
_PLAY = """
- name: Work
  hosts: "{{ host }}"
  gather_facts: false
  tasks:
    - name: Work until told
      hold:
        name: "{{ name }}"
"""


class Work:
    """A play that goes on until it is told to end, in a session of its own."""

    def __init__(self, sessions: Sessions, place: Path, host: LabHost, name: str) -> None:
        self.host, self.name = host, name
        self.stop = Event()
        self.status: object = None
        directory = place / name
        directory.mkdir()
        self._play = {
            "op": "play",
            "directory": str(directory),
            "project": str(place / "project"),
            "playbook": "work.yml",
            "inventory": str(ROOT / "inventory/lab"),
            "cmdline": f'--extra-vars \'{{"host": "{host.name}", "name": "{name}"}}\'',
            "local_tmp": str(directory),
            "timeout": 120,
        }
        self._thread = threading.Thread(target=self._work, args=[sessions])
        self._thread.start()

    def _work(self, sessions: Sessions) -> None:
        with sessions.one(self.stop) as session:
            self.status = session.request(self._play, lambda _task: None, self.stop)["status"]

    def is_working(self) -> bool:
        """Whether its module runs on the host."""
        return self.host.run(f"kill -0 $(cat /tmp/{self.name}.working) 2>/dev/null && echo yes || true") == "yes"

    def end(self) -> object:
        """Wait for its end and return its status."""
        self._thread.join(60)
        return self.status


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so; fails where it is not after that time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.1)


def test_one_play_is_stopped_and_another_one_over_the_same_connection_goes_on(host: LabHost, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "library").mkdir(parents=True)
    (project / "library/hold.py").write_text(_MODULE)
    (project / "module_utils").symlink_to(ROOT / "playbooks/module_utils")
    (project / "work.yml").write_text(_PLAY)
    host.run("rm -f /tmp/first.* /tmp/second.*")
    sessions = Sessions(AnsibleSettings())
    try:
        first = Work(sessions, tmp_path, host, "first")
        wait_for(first.is_working, 60)
        second = Work(sessions, tmp_path, host, "second")
        wait_for(second.is_working, 60)
        # The first one opened the connection.
        first.stop.set()
        assert first.end() == "canceled"
        wait_for(lambda: not first.is_working(), 5)
        assert second.is_working()
        host.run("touch /tmp/second.end")
        assert second.end() == "successful"
    finally:
        sessions.close()
        host.run("touch /tmp/first.end /tmp/second.end")
