"""The controller's side of the copy of sealed evidence: part by part, read again, and compared."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

_PART = 4 << 20
_BLOCK = 1 << 20
_FIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ActionModule(ActionBase):
    """Copies the evidence of one run of one host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy it, unless a whole copy is there, and have the host write down that it was verified."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        seal = self._ask()["seal"]
        if self._task.check_mode or not seal:
            return {**result, "changed": False}
        try:
            path = self._place() / "evidence.tar.gz"
            copied = not (path.exists() and _digest_of(path) == seal["sha256"])
            if copied:
                self._copy(seal, path)
        except OSError as error:
            raise AnsibleActionFail(
                f"the evidence could not be copied off the host: {error}; nothing was changed on it: name a directory "
                "that can be written in data_breach_evidence_dir"
            ) from error
        noted = self._ask(verified=[_digest_of(path), str(path)])
        return {**result, "changed": copied or noted["changed"], "copied_to": str(path), "sha256": seal["sha256"]}

    def _copy(self, seal: dict[str, Any], path: Path) -> None:
        partial = path.with_name(f"{path.name}.partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            for begin in range(0, seal["bytes"], _PART):
                target.write(base64.b64decode(self._ask(part=[begin, _PART])["content"]))
            target.flush()
            os.fsync(target.fileno())
        if (digest := _digest_of(partial)) != seal["sha256"]:
            raise AnsibleActionFail(
                f"the copy of the evidence has the digest {digest}, and {seal['sha256']} was sealed; nothing was "
                "changed on the host: try again"
            )
        if path.exists():
            raise AnsibleActionFail(f"{path} is there and is other evidence; it is left alone, and nothing was changed")
        partial.rename(path)

    def _place(self) -> Path:
        """Make the directory of this host and run; only its user may look into it."""
        host, run = str(self._task_vars["inventory_hostname"]), str(self._task.args["run_id"])
        if not (_FIT.fullmatch(host) and _FIT.fullmatch(run)):
            raise AnsibleActionFail(f"{host!r} and {run!r} do not both fit as names of directories")
        given = str(self._task.args.get("directory") or "")
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        place = Path(given or f"{state}/remediate/evidence").expanduser().absolute() / host / run
        for directory in (place.parent.parent, place.parent, place):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)
        return place

    def _ask(self, **question: Any) -> dict[str, Any]:
        arguments = {name: self._task.args[name] for name in ("run_id", "state_dirs")}
        answer: dict[str, Any] = self._execute_module(
            module_name="evidence_copy", module_args=arguments | question, task_vars=self._task_vars
        )
        if answer.get("failed") or answer.get("unreachable"):
            raise AnsibleActionFail(str(answer.get("msg") or "the host did not answer"))
        return answer


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
