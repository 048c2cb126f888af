"""The steps of a rollback on a host that is made up: done, killed, done again, undone, refused."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import deployment_rollback_run, host_run, release_kinds
from ansible.module_utils.answer_log import Rate
from ansible.module_utils.deployment_rollback_run import SETTINGS, DeploymentRollback
from ansible.module_utils.host_checks import CURED, NOT_CURED, check
from ansible.module_utils.host_step import Done, Seen
from ansible.module_utils.release_facts import Facts, Reply
from ansible.module_utils.releases import Release, ReleaseError
from ansible.modules import release_switch

OLD, NEW, MIGRATION = "20261118-093000", "20261127-120000", "2026_11_27_rename"
STACK = {
    "layout": "systemd",
    "services": ["app", "nginx", "mysql", "redis", "queue", "scheduler"],
    "units": {},
    "project_dir": "",
    "compose_file": "",
    "health_url": "http://127.0.0.1/health/ready",
}


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


class Host:
    """A host with two releases, a database and a memory of what was done to it."""

    def __init__(self, place: Path) -> None:
        self.now, self.running = NEW, NEW
        self.applied = [MIGRATION, "2026_01_01_first"]
        self.pretended = (0, "alter table `orders` rename column `article` to `item`")
        self.did: list[str] = []
        self.kill_at = ""
        self.starts = True
        self.races = False
        self.kill_after = False
        self.switched, self.went_back = 1000.0, 0.0
        self.releases = [Release(OLD, 1), Release(NEW, 2)]
        self.blame: tuple[str, ...] = ()
        self.place = place
        (place / f"{MIGRATION}.php").write_text("x")

    def _do(self, what: str) -> None:
        if what == self.kill_at:
            self.kill_at = ""
            raise Killed
        self.did.append(what)

    # What the releases of a layout answer.
    def known(self) -> list[Release]:
        return self.releases

    def current(self) -> str:
        return self.now

    def switched_at(self) -> float:
        return self.switched

    def places(self, services: list[str]) -> dict[str, str]:
        return dict.fromkeys(services, self.running)

    def migrations(self, release: str) -> list[str]:
        return ["2026_01_01_first", *([MIGRATION] if release == NEW else [])]

    def keep_migrations(self, release: str, keep: str) -> str:
        return str(self.place)

    def pretend(self, release: str, older: str, argv: list[str]) -> tuple[int, str]:
        return self.pretended

    def artisan(self, release: str, argv: list[str], migrations: str = "") -> tuple[int, str]:
        self._do(f"artisan {argv[0]} of {release}")
        if argv[0] == "migrate":
            self.applied.insert(0, MIGRATION)
            # What a container did at the same moment: this one came second.
            return (1, "Duplicate column") if self.races else (0, "")
        self.applied.pop(0)
        if self.kill_after:
            self.kill_after = False
            raise Killed
        return 0, ""

    def prove(self, release: str) -> None:
        if not self.starts:
            raise ReleaseError(f"the release {release} does not start; nothing was switched")

    def switch(self, release: str) -> bool:
        self._do(f"switch to {release}")
        changed, self.now = self.now != release, release
        return changed

    def settle(self, release: str, *, patient: bool) -> bool:
        self._do(f"settle on {release}{'' if patient else ' without waiting'}")
        changed, self.running = self.running != release, release
        return changed

    # What the database and the services do.
    def ask(self, question: str) -> list[str]:
        if question.startswith("SELECT EXISTS"):
            return ["1"]
        return list(self.applied)

    def bytes(self) -> int:
        return 100

    def dump(self, path: str) -> str:
        self._do("copy")
        Path(path).write_text("copy")
        return "digest"

    def stop(self, names: list[str]) -> None:
        self._do(f"stop {names[0]}")

    def start(self, names: list[str]) -> None:
        self._do(f"start {names[0]}")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)

    def facts(_settings: Any, _stack: Any, current: str, moments: tuple[float, float]) -> Facts:
        switched, made.went_back = moments
        ill = made.now == NEW
        rate = Rate(100, 90) if ill else Rate(100, 0)
        return Facts(2000.0, current, switched, (Reply(200, 0.1),), (), made.blame, last_minute=rate, longer=rate)

    def seen(_settings: Any, _stack: Any, releases: Host, _done: Done) -> Seen:
        return Seen([check("release", CURED if releases.running == OLD else NOT_CURED, releases.running)])

    for module in (deployment_rollback_run, release_kinds, release_switch):
        monkeypatch.setattr(module, "releases_of", lambda _settings, _stack: made, raising=False)
        monkeypatch.setattr(module, "database_of", lambda _settings, _stack: made, raising=False)
        monkeypatch.setattr(module, "stack_of", lambda _stack: made, raising=False)
    monkeypatch.setattr(deployment_rollback_run, "facts", facts)
    monkeypatch.setattr(deployment_rollback_run.release_checks, "seen", seen)
    monkeypatch.setattr(host_run, "stop_with_controller", lambda: None)
    return made


def phase(host: Host, name: str, run_id: str = "run-1", *, dry: bool = False, **settings: Any) -> dict[str, Any]:
    given = {key: option.get("default") for key, option in SETTINGS["options"].items()}
    given |= {"state_dirs": [str(host.place / "state")], **settings}
    answer: dict[str, Any] = {}

    def end(**result: Any) -> None:
        answer.update(result)
        raise SystemExit

    module = SimpleNamespace(
        check_mode=dry,
        params={"phase": name, "run_id": run_id, "settings": given},
        exit_json=end,
        fail_json=lambda **result: end(failed=True, **result),
        warn=lambda _text: None,
    )
    with pytest.raises(SystemExit):
        host_run.run_phase(module, DeploymentRollback(given, STACK))
    return answer


def test_a_bad_release_with_a_migration_goes_back_whole_and_forward_again(host: Host) -> None:
    found = phase(host, "diagnose")["finding"]
    assert [one["id"] for one in found["causes"]] == ["bad_release_errors", "bad_release_with_migration"]
    phase(host, "snapshot")
    assert phase(host, "fix")["changed"]
    assert host.did == [
        "stop app",
        "stop queue",
        "stop scheduler",
        "copy",
        f"artisan migrate:rollback of {OLD}",
        f"switch to {OLD}",
        f"settle on {OLD}",
    ]
    assert not phase(host, "fix")["changed"]
    assert phase(host, "verify")["verdict"]["verdict"] == CURED
    assert not phase(host, "diagnose")["finding"]["applies"]
    host.did.clear()
    assert phase(host, "rollback")["rollback"]["complete"]
    assert host.did[:3] == [f"switch to {NEW}", f"settle on {NEW} without waiting", f"artisan migrate of {OLD}"]
    assert (host.now, host.applied[0]) == (NEW, MIGRATION)
    assert phase(host, "diagnose")["finding"]["applies"]
    # What was answered before the older release was current says nothing about it.
    host.switched = time.time() + 1
    phase(host, "diagnose")
    assert time.time() - 60 < host.went_back < host.switched


@pytest.mark.parametrize(
    "moment", ["copy", f"artisan migrate:rollback of {OLD}", f"switch to {OLD}", f"settle on {OLD}"]
)
def test_killed_at_any_step_the_same_run_ends_it(host: Host, moment: str) -> None:
    phase(host, "snapshot")
    host.kill_at = moment
    with pytest.raises(Killed):
        phase(host, "fix")
    assert phase(host, "fix")["changed"]
    assert (host.now, host.running, host.applied) == (OLD, OLD, ["2026_01_01_first"])
    assert host.did.count(f"artisan migrate:rollback of {OLD}") == 1


def test_killed_after_a_migration_went_back_and_before_that_was_written_down_it_goes_back_once(host: Host) -> None:
    phase(host, "snapshot")
    host.kill_after = True
    with pytest.raises(Killed):
        phase(host, "fix")
    assert phase(host, "fix")["changed"]
    assert host.applied == ["2026_01_01_first"]
    assert host.did.count(f"artisan migrate:rollback of {OLD}") == 1


def test_a_migration_that_a_container_applied_at_the_same_moment_counts_as_applied(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_kinds, "_PAUSE", 0)
    for name in ("snapshot", "fix"):
        phase(host, name)
    host.races = True
    assert phase(host, "rollback")["rollback"]["complete"]
    assert host.applied[0] == MIGRATION


def test_looking_and_trying_change_nothing(host: Host) -> None:
    for name in ("diagnose", "snapshot", "fix", "verify"):
        phase(host, name, dry=True)
    assert host.did == []
    assert not (host.place / "state").exists()


def test_an_older_release_that_does_not_start_is_not_switched_to(host: Host) -> None:
    host.starts = False
    answer = phase(host, "snapshot")
    assert "does not start; nothing was switched" in answer["msg"]
    assert phase(host, "fix")["failed"]
    assert (host.now, host.did) == (NEW, [])


def test_what_was_deployed_meanwhile_is_not_taken_away(host: Host) -> None:
    phase(host, "snapshot", kind="standard")
    host.now = "20261127-130000"
    assert "was deployed meanwhile" in phase(host, "fix", kind="standard")["msg"]
    host.now = NEW
    phase(host, "fix", kind="standard")
    host.now = "20261127-130000"
    refused = phase(host, "rollback", kind="standard")["rollback"]
    assert not refused["complete"]
    assert "was deployed since" in refused["refused"][0]["reason"]
    assert host.now == "20261127-130000"


def test_without_an_older_release_the_cause_is_named_and_a_human_called(host: Host) -> None:
    host.releases = [Release(NEW, 2)]
    found = phase(host, "diagnose")["finding"]
    assert [one["id"] for one in found["causes"]] == ["bad_release_errors"]
    assert (found["actions"], found["enough"]) == ([], False)
    assert "there is no release older" in found["notes"][-1]


def test_a_database_that_is_down_is_no_matter_of_a_release(host: Host) -> None:
    host.blame = ("mysql does not answer",)
    for kind in ("auto", "emergency", "standard", "with_database", "full"):
        found = phase(host, "diagnose", kind=kind, release=OLD)["finding"]
        assert not found["applies"], kind
        assert any("mysql does not answer" in note for note in found["notes"])


def test_a_way_back_that_drops_data_is_planned_as_one_that_cannot_be_undone(host: Host) -> None:
    host.pretended = (0, "drop table `coupons`")
    actions = phase(host, "diagnose")["finding"]["actions"]
    assert {one["undo"] for one in actions if one["verb"] == "migrate back"} == {"none"}


def test_a_standard_rollback_leaves_the_database_alone_and_says_so(host: Host) -> None:
    found = phase(host, "diagnose", kind="standard")["finding"]
    assert [one["verb"] for one in found["actions"]] == ["switch"]
    assert "stays in the database" in found["notes"][-1]


def test_two_looks_at_an_unchanged_host_plan_the_same(host: Host) -> None:
    first, second = (phase(host, "fix", dry=True)["diff"] for _ in range(2))
    assert first == second


def test_a_stack_without_the_services_is_told_by_name(host: Host) -> None:
    answer = phase(host, "diagnose", workers=["horizon"])
    assert answer["failed"]
    assert "no service horizon" in answer["msg"]


def test_the_switch_by_itself_lists_switches_once_and_only_tells_in_check_mode(host: Host) -> None:
    dry = release_switch.switched(host, OLD, ["queue"], dry=True)
    assert (dry["changed"], host.did) == (True, [])
    assert dry["diff"] == {"before": f"{NEW}\n", "after": f"{OLD}\n"}
    assert release_switch.switched(host, OLD, ["queue"], dry=False)["releases"]["current"] == OLD
    assert not release_switch.switched(host, OLD, ["queue"], dry=False)["changed"]
    host.releases = [dataclasses.replace(host.releases[0], lacks=("artisan",))]
    with pytest.raises(ReleaseError, match="lacks artisan"):
        release_switch.switched(host, OLD, ["queue"], dry=False)
    with pytest.raises(ReleaseError, match="is not on this host"):
        release_switch.switched(host, "../etc", ["queue"], dry=False)
