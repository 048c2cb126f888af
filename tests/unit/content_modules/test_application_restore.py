"""What is laid out counts only when it is the backup, content by content; and what is decided from the differences."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import application_restore_kinds, files_plan
from ansible.module_utils.application_restore_kinds import LayOut, Switch
from ansible.module_utils.application_restore_runbook import decide
from ansible.module_utils.file_tree import DIRECTORY, FILE, Differences, Entry
from ansible.module_utils.files_plan import FilesPlan, Listing
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.restic_repository import Snapshot

SNAPSHOT = Snapshot("a" * 64, "here", 1_700_000_000.0, ("remediate", "files", "id=x-files"))
STACK = {"layout": "none", "services": [], "units": {}, "project_dir": "", "compose_file": "", "health_url": ""}


def settings(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {
        "source": "here",
        "to": "",
        "repositories": [],
        "paths": [],
        "keep": [],
        "services": [],
        "stage_dir": str(tmp_path / "stage"),
        **more,
    }


class Repository:
    """Gives out one file with this content."""

    name = "near"

    def __init__(self, content: str) -> None:
        self.content = content

    def restore(self, _snapshot: str, target: str, only: list[str]) -> None:
        place = Path(target + only[0])
        place.mkdir(parents=True)
        place.chmod(0o755)
        (place / "a").write_text(self.content)
        (place / "a").chmod(0o644)


def planned(place: Path, repository: Repository) -> FilesPlan:
    root = place.stat()
    owner = (root.st_uid, root.st_gid)
    content = hashlib.sha256(b"good").hexdigest()
    entries = {"": Entry(DIRECTORY, 0o755, *owner), "a": Entry(FILE, 0o644, *owner, 4, 0, content)}
    shelf: Any = SimpleNamespace(repository=repository, source="here")
    return FilesPlan(shelf, SNAPSHOT, {str(place): Listing(entries, 1.0)}, {})


@pytest.mark.parametrize(("content", "good"), [("good", True), ("evil", False), ("goo", False)])
def test_only_what_is_as_the_backup_says_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, good: bool
) -> None:
    place = tmp_path / "app"
    place.mkdir()
    (place / "old").write_text("old")
    plan = planned(place, Repository(content))
    monkeypatch.setattr(files_plan, "plan", lambda *_, **__: plan)
    # The time of the file is not what is tried here.
    real = application_restore_kinds.file_tree.compare
    monkeypatch.setattr(
        application_restore_kinds.file_tree, "compare", lambda wanted, root: real(_timed(wanted, Path(root)), root)
    )
    step = Step("wanted", "lay_out", "x", data={"snapshot": "a", "paths": [str(place)], "token": "t"})
    switch = Switch(settings(tmp_path), STACK)
    if not good:
        with pytest.raises(StepError, match="is not what was stored"):
            LayOut(settings(tmp_path)).do(step, {})
        with pytest.raises(StepError, match="not laid out whole"):
            switch.do(step, {})
        assert (place / "old").exists()
        return
    assert LayOut(settings(tmp_path)).do(step, {})
    assert not LayOut(settings(tmp_path)).do(step, {})
    assert switch.do(step, {})
    assert not switch.do(step, {})
    assert [path.name for path in place.iterdir()] == ["a"]
    switch.undo(step, {})
    assert [path.name for path in place.iterdir()] == ["old"]


def _timed(wanted: dict[str, Entry], root: Path) -> dict[str, Entry]:
    return {
        path: Entry(**{**entry.__dict__, "mtime": (root / path).stat().st_mtime_ns}) if entry.kind == FILE else entry
        for path, entry in wanted.items()
    }


@pytest.mark.parametrize(
    ("found", "to", "cause"),
    [
        (Differences(), "", []),
        (Differences(), "x-files", []),
        (Differences(changed=["a"], added=["b"]), "", []),
        (Differences(changed=["a"]), "x-files", ["wanted"]),
        (Differences(missing=["a"], damaged=["b"]), "", ["files_missing"]),
        (Differences(damaged=["b"]), "", ["files_damaged"]),
    ],
)
def test_work_is_no_damage_unless_somebody_wants_the_past(
    tmp_path: Path, found: Differences, to: str, cause: list[str]
) -> None:
    shelf: Any = SimpleNamespace(repository=Repository(""), source="here")
    listings = {"/srv/a": Listing({}, 1.0), "/srv/same": Listing({}, 1.0)}
    plan = FilesPlan(shelf, SNAPSHOT, listings, {"/srv/a": found, "/srv/same": Differences()})

    decided = decide(plan, settings(tmp_path, to=to, keep=["/srv/a/logs"]))

    assert list(decided.causes) == cause
    assert [step.verb for step in decided.steps] == (["lay_out", "switch"] if cause else [])
    assert all(step.data["paths"] == ["/srv/a"] for step in decided.steps)
    assert ("/srv/a/logs stays as it is" in decided.notes) is bool(cause)
