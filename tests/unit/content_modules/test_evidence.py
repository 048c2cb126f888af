"""Evidence: sealed once, given out in parts, and nothing is changed before a verified copy is off the host."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import evidence_store
from ansible.module_utils.evidence_store import (
    Bundle,
    capture,
    find_seal,
    receipt_trouble,
    write_receipt,
)
from ansible.module_utils.host_step import StepError
from ansible.modules import data_breach, evidence_copy

RUN = "20261127-101500-ab12"


def fill(bundle: Bundle) -> None:
    bundle.add("processes.jsonl", "one\n")
    bundle.missing.append("database: it is down")


def sealed(tmp_path: Path) -> dict[str, Any]:
    return dict(capture([str(tmp_path)], RUN, fill))


def test_the_archive_says_what_is_in_it_and_what_is_not(tmp_path: Path) -> None:
    seal = sealed(tmp_path)
    with tarfile.open(seal["archive"]) as archive:
        said = archive.extractfile("MANIFEST.json")
        assert said
        manifest = json.load(said)
    assert manifest["members"] == [
        {"name": "processes.jsonl", "size": 4, "sha256": hashlib.sha256(b"one\n").hexdigest()}
    ]
    assert manifest["missing"] == seal["missing"] == ["database: it is down"]
    assert seal["sha256"] == hashlib.sha256(Path(seal["archive"]).read_bytes()).hexdigest()
    assert Path(seal["archive"]).stat().st_mode & 0o777 == 0o600
    assert Path(seal["directory"]).stat().st_mode & 0o777 == 0o700


def test_what_a_killed_attempt_left_is_kept(tmp_path: Path) -> None:
    def kill(_bundle: Bundle) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture([str(tmp_path)], RUN, kill)
    assert find_seal([str(tmp_path)], RUN) is None
    seal = sealed(tmp_path)
    assert sorted(path.name for path in Path(seal["directory"]).iterdir()) == [
        "evidence.tar.gz",
        "evidence.tar.gz.partial",
        "seal.json",
    ]


def test_where_there_is_no_room_the_next_directory_is_taken(tmp_path: Path) -> None:
    def full(bundle: Bundle) -> None:
        if not (tmp_path / "full/tried").exists():
            (tmp_path / "full/tried").write_text("")
            raise OSError(errno.ENOSPC, "No space left on device")
        fill(bundle)

    seal = capture([str(tmp_path / "full"), str(tmp_path / "other")], RUN, full)
    assert seal["directory"].startswith(str(tmp_path / "other"))


def test_no_room_anywhere_is_said(tmp_path: Path) -> None:
    def full(_bundle: Bundle) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StepError, match=r"no room for the evidence in .*nothing was changed.*data_breach_state_dirs"):
        capture([str(tmp_path)], RUN, full)


def test_without_a_verified_copy_nothing_may_be_changed(tmp_path: Path) -> None:
    dirs = [str(tmp_path)]
    assert "the phase snapshot comes first" in receipt_trouble(dirs, RUN)
    seal = sealed(tmp_path)
    assert "no verified copy of the evidence" in receipt_trouble(dirs, RUN)
    with pytest.raises(StepError, match="the copy is not the evidence"):
        write_receipt(seal, "0" * 64, "/elsewhere")
    assert "no verified copy of the evidence" in receipt_trouble(dirs, RUN)
    assert write_receipt(seal, seal["sha256"], "/elsewhere")
    assert not write_receipt(seal, seal["sha256"], "/elsewhere")
    assert receipt_trouble(dirs, RUN) == ""


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
def test_evidence_that_was_tampered_with_stops_everything(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    seal = sealed(tmp_path)
    write_receipt(seal, seal["sha256"], "/elsewhere")
    spoil(Path(seal["archive"]))
    assert "not what was sealed any more" in receipt_trouble([str(tmp_path)], RUN)


def test_the_host_gives_the_archive_out_in_parts(tmp_path: Path) -> None:
    seal = sealed(tmp_path)
    question = {"run_id": RUN, "state_dirs": [str(tmp_path)], "part": [], "verified": []}
    assert evidence_copy.answer(question, dry=False)["seal"]["sha256"] == seal["sha256"]
    parts = [
        base64.b64decode(evidence_copy.answer({**question, "part": [begin, 50]}, dry=False)["content"])
        for begin in range(0, seal["bytes"], 50)
    ]
    assert hashlib.sha256(b"".join(parts)).hexdigest() == seal["sha256"]


def test_a_dry_run_needs_no_evidence_and_writes_no_receipt(tmp_path: Path) -> None:
    question = {"run_id": RUN, "state_dirs": [str(tmp_path)], "part": [], "verified": []}
    assert evidence_copy.answer(question, dry=True) == {"changed": False, "seal": {}}
    with pytest.raises(StepError, match="evidence_bundle comes first"):
        evidence_copy.answer(question, dry=False)
    seal = sealed(tmp_path)
    evidence_copy.answer({**question, "verified": [seal["sha256"], "/x"]}, dry=True)
    assert receipt_trouble([str(tmp_path)], RUN)


class Failed(Exception):
    """The module has failed."""


class FakeModule:
    def __init__(self, phase: str, state: Path, *, check_mode: bool = False) -> None:
        self.params = {"phase": phase, "run_id": RUN, "settings": {"state_dirs": [str(state)]}}
        self.check_mode = check_mode

    def fail_json(self, msg: str) -> None:
        raise Failed(msg)


@pytest.mark.parametrize("phase", ["snapshot", "fix"])
def test_a_phase_that_leads_to_changes_refuses_before_the_evidence_is_safe(phase: str, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="there is no evidence"):
        data_breach.refuse_without_evidence(FakeModule(phase, tmp_path))
    seal = sealed(tmp_path)
    with pytest.raises(Failed, match="no verified copy"):
        data_breach.refuse_without_evidence(FakeModule(phase, tmp_path))
    data_breach.refuse_without_evidence(FakeModule(phase, tmp_path, check_mode=True))
    write_receipt(seal, seal["sha256"], "/elsewhere")
    data_breach.refuse_without_evidence(FakeModule(phase, tmp_path))


@pytest.mark.parametrize("phase", ["diagnose", "verify", "rollback"])
def test_what_only_looks_or_lifts_is_not_held_up(phase: str, tmp_path: Path) -> None:
    assert data_breach.refuse_without_evidence(FakeModule(phase, tmp_path)) is None


def test_nothing_in_the_store_can_delete() -> None:
    text = Path(str(evidence_store.__file__)).read_text()
    assert not any(word in text for word in ("unlink", "rmtree", "os.remove", "rmdir"))
