"""The walk of a runbook on a host: written down before anything changes, done once, undone whole, killed or not."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import host_run
from ansible.module_utils.host_checks import CURED, NOT_CURED, check
from ansible.module_utils.host_kinds import Rewrite
from ansible.module_utils.host_run import Kind, run_phase
from ansible.module_utils.host_step import HELD, Done, Found, Seen, Step, StepError, StepNotNeededError

RUN = "20261127-101500-ab12"


class Ended(Exception):
    """The module has ended with this answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer


class Failed(Ended):
    """The module has failed."""


class FakeModule:
    """Stands for Ansible's end of a module."""

    def __init__(self, check_mode: bool, **params: Any) -> None:
        self.check_mode = check_mode
        self.params = params
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def exit_json(self, **answer: Any) -> None:
        raise Ended(answer)

    def fail_json(self, **answer: Any) -> None:
        raise Failed(answer)


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


class Ring(Kind):  # type: ignore[misc]  # Ansible's modules have no types for mypy
    """Rings a bell; that cannot be undone."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self.before: Callable[[Step], None] = lambda _step: None

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        self.before(step)
        self.rung.append(step.target)
        return True


class Bells:
    """A runbook whose host is ill while its settings say so."""

    name = "bells"

    def __init__(self, place: Path) -> None:
        self.settings = place / "bells.conf"
        self.settings.write_text("ill\n")
        self.settings.chmod(0o640)
        self.ring = Ring()
        self.kinds: dict[str, Kind] = {"rewrite": Rewrite(), "ring": self.ring}

    def look(self) -> Found:
        if self.settings.read_text() != "ill\n":
            return Found("every bell is well")
        rewrite = Step("settings", "rewrite", str(self.settings), HELD, data={"content": "well\n"}, detail=("+well",))
        return Found("ill", {"settings": ["it says ill"]}, [rewrite, Step("settings", "ring", "bell")])

    def check(self, done: Done, *, write: bool) -> Seen:
        del done, write
        said = self.settings.read_text().strip()
        return Seen([check("settings", CURED if said == "well" else NOT_CURED, f"they say {said}")])


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_run, "stop_with_controller", lambda: None)


@pytest.fixture
def bells(tmp_path: Path) -> Bells:
    return Bells(tmp_path)


def call(
    bells: Bells, phase: str, dirs: list[Path] | None = None, *, check_mode: bool = False, run_id: str = RUN
) -> dict[str, Any]:
    directories = [str(one) for one in dirs or [bells.settings.parent / "state"]]
    module = FakeModule(check_mode, phase=phase, run_id=run_id, settings={"state_dirs": directories})
    with pytest.raises(Ended) as ended:
        run_phase(module, bells)
    return {"failed": isinstance(ended.value, Failed), "warnings": module.warnings, **ended.value.answer}


def test_a_run_is_written_down_done_proven_and_undone(bells: Bells) -> None:
    found = call(bells, "diagnose")["finding"]
    written = call(bells, "snapshot")
    fixed = call(bells, "fix")
    proven = call(bells, "verify")["verdict"]
    undone = call(bells, "rollback")

    assert found["causes"] == [{"id": "settings", "evidence": ["it says ill"]}]
    assert written["snapshot"]["actions"] == found["actions"] == fixed["fix"]["done"] == proven["done"]
    assert written["changed"]
    assert fixed["changed"]
    assert fixed["diff"]["before"].splitlines()[:2] == [f"rewrite {bells.settings} (held)", "  +well"]
    assert proven["verdict"] == CURED
    assert undone["rollback"]["restored"][0]["target"] == str(bells.settings)
    assert bells.settings.read_text() == "ill\n"
    assert bells.settings.stat().st_mode & 0o777 == 0o640


def test_each_phase_done_again_changes_nothing(bells: Bells) -> None:
    for phase in ("snapshot", "fix", "rollback"):
        call(bells, phase)
        again = call(bells, phase)
        assert not again["changed"], phase
        assert not again["failed"], phase
        if phase == "rollback":
            assert again["rollback"]["restored"]
    assert bells.ring.rung == ["bell"]


def test_check_mode_tells_the_truth_and_changes_nothing(bells: Bells) -> None:
    before = bells.settings.read_text()
    answers = [call(bells, phase, check_mode=True) for phase in ("snapshot", "fix")]
    assert (answers[0]["changed"], answers[1]["changed"]) == (False, True)
    assert answers[1]["fix"]["done"] == call(bells, "diagnose")["finding"]["actions"]
    assert not (bells.settings.parent / "state").exists()
    call(bells, "snapshot")
    call(bells, "fix")
    after = call(bells, "fix", check_mode=True)
    assert (after["changed"], after["diff"]["before"]) == (False, "")
    undone = call(bells, "rollback", check_mode=True)
    assert undone["changed"]
    assert (before, bells.settings.read_text()) == ("ill\n", "well\n")


@pytest.mark.parametrize("phase", ["fix", "rollback"])
def test_without_a_manifest_nothing_is_done(bells: Bells, phase: str) -> None:
    answer = call(bells, phase)
    assert answer["failed"]
    assert "the phase snapshot of the same run comes first" in answer["msg"]


def test_a_run_that_was_rolled_back_does_not_act_again(bells: Bells) -> None:
    for phase in ("snapshot", "fix", "rollback"):
        call(bells, phase)
    answer = call(bells, "fix")
    assert answer["failed"]
    assert "start a new run" in answer["msg"]


def test_killed_between_two_steps_it_goes_on_with_the_second(bells: Bells) -> None:
    def kill(_step: Step) -> None:
        raise Killed

    call(bells, "snapshot")
    bells.ring.before = kill
    module = FakeModule(False, phase="fix", run_id=RUN, settings={"state_dirs": [str(bells.settings.parent / "state")]})
    with pytest.raises(Killed):
        run_phase(module, bells)
    bells.ring.before = lambda _step: None
    fixed = call(bells, "fix")
    assert fixed["changed"]
    assert [one["verb"] for one in fixed["fix"]["done"]] == ["rewrite", "ring"]
    assert bells.ring.rung == ["bell"]


def test_a_step_that_fails_ends_the_fix_and_what_was_done_is_undone(bells: Bells) -> None:
    def fail(_step: Step) -> None:
        raise StepError("the bell is gone; nothing more was done")

    call(bells, "snapshot")
    bells.ring.before = fail
    answer = call(bells, "fix")
    assert (answer["failed"], answer["msg"]) == (True, "the bell is gone; nothing more was done")
    assert call(bells, "rollback")["rollback"]["complete"]
    assert bells.settings.read_text() == "ill\n"


def test_a_step_that_is_not_needed_any_more_is_left_out_and_told(bells: Bells) -> None:
    def gone(_step: Step) -> None:
        raise StepNotNeededError("there is no bell any more")

    call(bells, "snapshot")
    bells.ring.before = gone
    answer = call(bells, "fix")
    assert [one["verb"] for one in answer["fix"]["done"]] == ["rewrite"]
    assert answer["warnings"] == ["ring bell was left out: there is no bell any more"]
    assert not call(bells, "fix")["changed"]


def test_a_last_resort_is_left_out_where_the_host_is_well_without_it(bells: Bells) -> None:
    look = bells.look

    def with_resort() -> Found:
        found = look()
        found.steps.append(Step("settings", "ring", "all bells", only_while_ill=True))
        return found

    bells.look = with_resort  # type: ignore[method-assign]  # one more step
    call(bells, "snapshot")
    answer = call(bells, "fix")
    assert answer["fix"]["stopped"] == "target_met"
    assert bells.ring.rung == ["bell"]


def test_a_file_that_somebody_changed_since_is_not_overwritten(bells: Bells) -> None:
    call(bells, "snapshot")
    bells.settings.write_text("mine\n")
    answer = call(bells, "fix")
    assert answer["failed"]
    assert "changed by somebody else meanwhile" in answer["msg"]
    assert bells.settings.read_text() == "mine\n"


def test_a_rollback_refuses_whole_where_something_is_newer(bells: Bells) -> None:
    call(bells, "snapshot")
    call(bells, "fix")
    bells.settings.write_text("better\n")
    answer = call(bells, "rollback")
    assert (answer["changed"], answer["rollback"]["complete"]) == (False, False)
    assert answer["rollback"]["refused"][0]["target"] == str(bells.settings)
    assert bells.settings.read_text() == "better\n"


def test_where_there_is_no_room_for_a_snapshot_the_next_directory_is_taken(
    bells: Bells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str) -> None:
        if path.startswith(str(tmp_path / "full")):
            raise OSError(errno.ENOSPC, "No space left on device")
        Path(path).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(host_run, "make_private", full)
    refused = call(bells, "snapshot", [tmp_path / "full"])
    taken = call(bells, "snapshot", [tmp_path / "full", tmp_path / "other"])

    assert refused["failed"]
    assert "no room in" in refused["msg"]
    assert "bells_state_dirs" in refused["msg"]
    assert taken["snapshot"]["hold"]["path"].startswith(str(tmp_path / "other"))


def test_what_was_kept_and_then_damaged_is_not_put_back(bells: Bells) -> None:
    hold = call(bells, "snapshot")["snapshot"]["hold"]["path"]
    call(bells, "fix")
    (Path(hold) / "keep/00000/content").write_text("something else")
    answer = call(bells, "rollback")
    assert answer["failed"]
    assert "damaged" in answer["msg"]
    assert bells.settings.read_text() == "well\n"


def test_a_file_behind_a_link_is_not_touched(bells: Bells, tmp_path: Path) -> None:
    bells.settings.rename(tmp_path / "real")
    bells.settings.symlink_to(tmp_path / "real")
    assert call(bells, "snapshot")["failed"]


def test_a_file_that_was_not_there_is_removed_again(tmp_path: Path) -> None:
    step = Step("settings", "rewrite", str(tmp_path / "new.conf"), HELD, data={"content": "x\n", "mode": 0o644})
    kind = Rewrite()
    saved = json.loads(json.dumps(kind.save(step, str(tmp_path / "keep"))))
    assert kind.do(step, saved)
    assert not kind.do(step, saved)
    assert (tmp_path / "new.conf").stat().st_mode & 0o777 == 0o644
    assert kind.obstacle(step, saved) == ""
    kind.undo(step, saved)
    assert not (tmp_path / "new.conf").exists()


def test_a_file_that_a_container_has_mounted_is_written_in_place(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=1\n")
    inode = file.stat().st_ino
    step = Step("settings", "rewrite", str(file), HELD, data={"content": "A=2\n", "in_place": True})
    kind = Rewrite()
    saved = kind.save(step, str(tmp_path / "keep"))
    kind.do(step, saved)
    assert (file.read_text(), file.stat().st_ino) == ("A=2\n", inode)
    kind.undo(step, saved)
    assert (file.read_text(), file.stat().st_ino) == ("A=1\n", inode)
