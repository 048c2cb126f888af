"""The copy of evidence on the controller: private, whole, read again, and nothing is confirmed that is not the same."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

PLUGIN = Path(__file__).parents[3] / "playbooks/action_plugins/evidence_copy.py"
CONTENT = bytes(range(256)) * 40_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Host:
    """A host that gives its evidence out in parts."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.verified: list[list[str]] = []
        self.biggest = 0

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question.get("verified"):
            self.verified.append(question["verified"])
            return {"changed": True}
        if question.get("part"):
            begin, length = question["part"]
            self.biggest = max(self.biggest, length)
            return {"content": base64.b64encode(self.content[begin : begin + length]).decode()}
        return {"seal": {"sha256": DIGEST, "bytes": len(CONTENT)}}


def run(host: Host, directory: Path, *, check_mode: bool = False, name: str = "landsraad") -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("evidence_copy_action", PLUGIN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plugin = module.ActionModule.__new__(module.ActionModule)
    arguments = {"run_id": "run-1", "state_dirs": ["/var/lib/remediate"], "directory": str(directory)}
    plugin._task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0, action="evidence_copy")
    plugin._execute_module = lambda **question: host.answer(question["module_args"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module.ActionBase, "run", lambda _self, _tmp, _vars: {})
        return dict(plugin.run(task_vars={"inventory_hostname": name}))


def copy_in(directory: Path) -> Path:
    return directory / "landsraad/run-1/evidence.tar.gz"


def test_the_copy_is_private_and_the_same_and_comes_in_parts(tmp_path: Path) -> None:
    host = Host()
    result = run(host, tmp_path / "evidence")
    copy = copy_in(tmp_path / "evidence")
    assert copy.read_bytes() == CONTENT
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    assert host.verified == [[DIGEST, str(copy)]]
    assert (result["changed"], result["sha256"]) == (True, DIGEST)
    assert host.biggest < len(CONTENT)


def test_a_copy_that_is_there_and_whole_is_not_made_again(tmp_path: Path) -> None:
    run(Host(), tmp_path)
    again = Host()
    run(again, tmp_path)
    assert again.biggest == 0
    assert again.verified == [[DIGEST, str(copy_in(tmp_path))]]


def test_a_copy_that_is_not_the_same_is_not_confirmed(tmp_path: Path) -> None:
    host = Host()
    host.content = CONTENT[:-1] + b"x"
    with pytest.raises(AnsibleActionFail, match="nothing was changed on the host"):
        run(host, tmp_path)
    assert host.verified == []
    assert not copy_in(tmp_path).exists()


def test_where_nothing_can_be_written_nothing_is_confirmed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    host = Host()
    with pytest.raises(AnsibleActionFail, match=r"could not be copied off the host.*data_breach_evidence_dir"):
        run(host, tmp_path / "file")
    assert host.verified == []


def test_other_evidence_is_never_overwritten(tmp_path: Path) -> None:
    copy_in(tmp_path).parent.mkdir(parents=True)
    copy_in(tmp_path).write_text("other evidence")
    with pytest.raises(AnsibleActionFail, match="it is left alone"):
        run(Host(), tmp_path)
    assert copy_in(tmp_path).read_text() == "other evidence"


def test_a_name_that_leads_elsewhere_makes_no_directory(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="do not both fit"):
        run(Host(), tmp_path / "evidence", name="../../etc")
    assert not (tmp_path / "evidence").exists()


def test_a_dry_run_copies_nothing(tmp_path: Path) -> None:
    assert run(Host(), tmp_path / "evidence", check_mode=True) == {"changed": False}
    assert not (tmp_path / "evidence").exists()
