"""What is done about an intruder's traces: kept, put back the same, nothing of others touched, killed in the middle."""

# ruff: noqa: S108 - such paths are compared with here, never written to
from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import breach_kinds, breach_runbook, host_checks, network_rules
from ansible.module_utils.breach_kinds import LockUser, Quarantine, StopProcess, locked
from ansible.module_utils.breach_parameters import SETTINGS
from ansible.module_utils.breach_runbook import DataBreach, advice
from ansible.module_utils.breach_suspect import Scan, Suspect
from ansible.module_utils.host_checks import CURED, NOT_CURED
from ansible.module_utils.host_step import HELD, NO_UNDO, Done, Step, StepError, StepNotNeededError
from ansible.module_utils.maintenance_mode import cookie, token_of
from ansible.module_utils.network_rules import Allowed, ruleset
from ansible.module_utils.own_connection import connection_of
from ansible.module_utils.stack_program import Finished, ServiceState

STACK = {"layout": "none", "services": [], "units": {}, "project_dir": "", "compose_file": "", "health_url": ""}


def shell_of(tmp_path: Path) -> tuple[Step, dict[str, Any]]:
    shell = tmp_path / "shell.php"
    shell.write_text("<?php system($_GET['c']);")
    shell.chmod(0o644)
    os.utime(shell, ns=(1_000_000_000, 2_000_000_000))
    step = Step("web_shell", "quarantine", str(shell), HELD)
    return step, Quarantine().save(step, str(tmp_path / "keep"))


def test_a_file_is_taken_away_and_put_back_the_same(tmp_path: Path) -> None:
    step, saved = shell_of(tmp_path)
    kind = Quarantine()
    assert kind.do(step, saved)
    assert not Path(step.target).exists()
    assert not kind.do(step, saved)
    assert kind.obstacle(step, saved) == ""
    kind.undo(step, saved)
    kind.undo(step, saved)
    status = Path(step.target).stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o644, 2_000_000_000)
    assert Path(step.target).read_text() == "<?php system($_GET['c']);"


def test_a_file_that_changed_since_is_left_as_it_is(tmp_path: Path) -> None:
    step, saved = shell_of(tmp_path)
    Path(step.target).write_text("mine")
    with pytest.raises(StepError, match="start a new run"):
        Quarantine().do(step, saved)
    assert Path(step.target).read_text() == "mine"


def test_what_is_newer_is_not_overwritten_and_damage_is_told(tmp_path: Path) -> None:
    step, saved = shell_of(tmp_path)
    Quarantine().do(step, saved)
    Path(step.target).write_text("newer")
    assert "would be lost" in Quarantine().obstacle(step, saved)
    Path(step.target).unlink()
    Path(saved["kept"]).write_text("other")
    assert "damaged" in Quarantine().obstacle(step, saved)


def test_the_notice_of_maintenance_mode_is_in_nobodys_way_while_it_is_there(tmp_path: Path) -> None:
    step, saved = shell_of(tmp_path)
    kind = Quarantine(step.target)
    kind.do(step, saved)
    Path(step.target).write_text("the notice")
    assert "would be lost" in kind.obstacle(step, saved)
    (tmp_path / "down").write_text("{}")
    assert kind.obstacle(step, saved) == ""


def test_undoing_deletes_nothing_that_was_kept(tmp_path: Path) -> None:
    step, saved = shell_of(tmp_path)
    Quarantine().do(step, saved)
    Quarantine().undo(step, saved)
    assert Path(saved["kept"]).exists()


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.php").write_text("x")
    (tmp_path / "link.php").symlink_to(tmp_path / "real.php")
    with pytest.raises(OSError, match="symbolic links"):
        Quarantine().save(Step("web_shell", "quarantine", str(tmp_path / "link.php"), HELD), str(tmp_path / "keep"))


@pytest.fixture
def accounts(tmp_path: Path) -> LockUser:
    kind = LockUser()
    kind.files = (str(tmp_path / "passwd"), str(tmp_path / "shadow"))
    Path(kind.files[0]).write_text("root:x:0:0::/root:/bin/bash\neve:x:1001:1001:E:/home/eve:/bin/bash\n")
    Path(kind.files[1]).write_text("root:*:1:0:9:7:::\neve:$y$hash:1:0:9:7:::\n")
    Path(kind.files[1]).chmod(0o640)
    return kind


STEP = Step("unknown_user", "lock", "eve", HELD, data={"name": "eve"})


def test_an_account_is_locked_and_put_back_line_by_line(accounts: LockUser) -> None:
    before = [Path(one).read_text() for one in accounts.files]
    saved = accounts.save(STEP, "")
    assert accounts.do(STEP, saved)
    assert not accounts.do(STEP, saved)
    assert "eve:x:1001:1001:E:/home/eve:/usr/sbin/nologin" in Path(accounts.files[0]).read_text()
    assert "eve:!$y$hash:1:0:9:7::1:" in Path(accounts.files[1]).read_text()
    assert "root:*:1:0:9:7:::" in Path(accounts.files[1]).read_text()
    assert Path(accounts.files[1]).stat().st_mode & 0o777 == 0o640
    assert accounts.obstacle(STEP, saved) == ""
    accounts.undo(STEP, saved)
    assert [Path(one).read_text() for one in accounts.files] == before


def test_locking_goes_on_after_a_kill_between_the_two_files(accounts: LockUser) -> None:
    saved = accounts.save(STEP, "")
    text = Path(accounts.files[0]).read_text()
    Path(accounts.files[0]).write_text(text.replace(saved["lines"][0], locked(saved["lines"][0])))
    assert accounts.do(STEP, saved)
    assert "eve:!$y$hash" in Path(accounts.files[1]).read_text()


def test_an_account_that_somebody_changed_is_left_alone(accounts: LockUser) -> None:
    saved = accounts.save(STEP, "")
    text = Path(accounts.files[1]).read_text()
    Path(accounts.files[1]).write_text(text.replace("$y$hash", "$y$new"))
    with pytest.raises(StepError, match="meanwhile"):
        accounts.do(STEP, saved)
    assert "after the fix" in accounts.obstacle(STEP, saved)


def test_an_account_with_its_password_in_the_open_list_is_locked_there() -> None:
    assert locked("eve:$1$x:0:0::/root:/bin/sh") == "eve:!$1$x:0:0::/root:/usr/sbin/nologin"
    assert locked("") == ""


def test_only_the_process_that_was_recorded_is_stopped() -> None:
    process = subprocess.Popen(["sleep", "60"])
    began = breach_kinds._began(process.pid)
    other = Step("unexpected_process", "stop", "x", NO_UNDO, data={"processes": [[process.pid, began + 1]]})
    with pytest.raises(StepNotNeededError):
        StopProcess().do(other, {})
    assert process.poll() is None
    assert StopProcess().do(Step("c", "stop", "x", NO_UNDO, data={"processes": [[process.pid, began]]}), {})
    assert process.wait(5) == -signal.SIGKILL


def test_the_rules_let_in_whom_they_name_and_drop_the_rest() -> None:
    rules = ruleset(Allowed(("203.0.113.0/28", "2001:db8::1"), ("192.0.2.1",), ("br-1", "docker0")))
    assert rules.count("policy drop;") == 3
    assert "elements = { 203.0.113.0/28 }" in rules
    assert "elements = { 2001:db8::1/128 }" in rules
    assert 'iifname { "br-1", "docker0" } oifname { "br-1", "docker0" } accept' in rules
    assert rules.index("delete table") < rules.index("chain input")
    assert "IP " not in rules
    assert "VV" not in rules


@pytest.mark.parametrize("hostile", ["10.0.0.1 } accept; #", "any", ""])
def test_what_is_no_address_never_gets_into_the_rules(hostile: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        ruleset(Allowed((hostile,), ()))


def test_nobody_is_shut_out_who_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(network_rules, "need_tools", lambda: None)

    def run(argv: list[str], *_rest: Any, **_more: Any) -> Finished:
        ran.append(argv)
        return Finished(0, "", "")

    monkeypatch.setattr(network_rules, "run_program", run)
    with pytest.raises(StepError, match="nobody would be let in any more"):
        network_rules.shut(Allowed((), ("192.0.2.1",)), 60)
    assert ran == []
    network_rules.shut(Allowed(("203.0.113.1",), ()), 60)
    programs = [argv[0] for argv in ran]
    # What takes the rules back is armed before they are loaded.
    assert programs.index("systemd-run") < len(programs) - 1
    assert ran[-1] == ["nft", "--file", "-"]


def test_the_connection_that_runs_us_is_read_from_what_sshd_said() -> None:
    found = connection_of({"SSH_CONNECTION": "203.0.113.7 50000 10.0.0.1 22", "USER": "ops"})
    assert found
    assert (found.address, found.port, found.user) == ("203.0.113.7", "50000", "ops")
    mapped = connection_of({"SSH_CONNECTION": "::ffff:203.0.113.7 1 ::1 22"})
    assert mapped
    assert mapped.address == "203.0.113.7"
    assert connection_of({"SSH_CONNECTION": "nonsense 1 2 3"}) is None
    assert connection_of({}) is None


def test_the_bypass_cookie_is_signed_with_the_token_and_does_not_hold_it(tmp_path: Path) -> None:
    assert "secret-token" not in cookie("secret-token", time.time())
    (tmp_path / "framework").mkdir()
    assert token_of(str(tmp_path)) == ""
    (tmp_path / "framework/down").write_text("not json")
    assert token_of(str(tmp_path)) == ""
    (tmp_path / "framework/down").write_text('{"secret": "abc"}')
    assert token_of(str(tmp_path)) == "abc"


def settings_of(**more: Any) -> dict[str, Any]:
    given = {name: option.get("default") for name, option in SETTINGS["options"].items()}
    return {**given, "state_dirs": ["/nowhere"], **more}


SUSPECTS = [
    Suspect("web_shell", "/srv/shell.php", "a shell"),
    Suspect("unknown_user", "eve", "eve", {"name": "eve"}),
    Suspect("unexpected_process", "/var/tmp/x", "x", {"processes": [[1, 2]]}),
    Suspect("unknown_cron", "/etc/x.timer", "x", {"timer": True}),
    Suspect("outbound_connection", "/x to 203.0.113.5:1", "x"),
]


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> Scan:
    found = Scan()
    monkeypatch.setattr(breach_runbook, "scan_host", lambda _settings: found)
    monkeypatch.setattr(breach_runbook, "is_in_force", lambda: False)
    monkeypatch.setattr(breach_runbook, "need_tools", lambda: None)
    return found


def runbook(**more: Any) -> DataBreach:
    return DataBreach(settings_of(**more), STACK, "")


def test_a_healthy_host_has_no_cause_and_nothing_to_do(scan: Scan) -> None:
    found = runbook().look()
    assert (found.causes, found.steps) == ({}, [])
    assert "no trace" in found.summary


def test_a_connection_alone_is_shut_off_and_no_credential_is_replaced(scan: Scan, tmp_path: Path) -> None:
    scan.suspects.append(SUSPECTS[4])
    found = runbook(env_file=str(tmp_path / "none")).look()
    assert list(found.causes) == ["outbound_connection"]
    assert [(step.verb, step.target) for step in found.steps] == [("contain", "network")]


def test_everything_at_once_is_named_and_cured_in_order(scan: Scan, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("DB_PASSWORD=a\nAPP_KEY=b\n")
    scan.suspects += SUSPECTS
    given = {"env_file": str(tmp_path / "env"), "app_storage": str(tmp_path), "restart_services": ["app", "queue"]}
    found = runbook(**given).look()
    assert [(step.verb, step.undo) for step in found.steps] == [
        ("contain", "held"),
        ("disable", "held"),
        ("stop", "none"),
        ("lock", "held"),
        ("quarantine", "held"),
        ("replace database", "not_needed"),
        ("replace app_key", "not_needed"),
        ("restart", "not_needed"),
        ("maintenance", "held"),
    ]
    assert {step.verb for step in found.steps} <= runbook().kinds.keys()
    assert {step.cause for step in found.steps} <= found.causes.keys()
    assert list(found.causes)[-1] == "exposed_credentials"


@pytest.mark.parametrize(
    ("notice", "state", "verdict"),
    [
        (True, "restarting", CURED),
        (True, "exited (1)", NOT_CURED),
        (False, "restarting", NOT_CURED),
    ],
)
def test_behind_the_notice_a_worker_may_end_and_begin_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, notice: bool, state: str, verdict: str
) -> None:
    class Stack:
        def status(self) -> dict[str, ServiceState]:
            return {"app": ServiceState(True, "running", ""), "queue": ServiceState(False, state, "")}

    monkeypatch.setattr(breach_runbook, "stack_of", lambda _stack: Stack())
    monkeypatch.setattr(host_checks, "stack_of", lambda _stack: Stack())
    (tmp_path / "framework").mkdir()
    if notice:
        (tmp_path / "framework/down").write_text("{}")
    assert runbook(app_storage=str(tmp_path))._services()["verdict"] == verdict


def test_what_is_approved_is_the_same_at_every_look(scan: Scan) -> None:
    scan.suspects += SUSPECTS
    before = [(step.verb, step.target, step.detail) for step in runbook().look().steps]
    scan.suspects[2] = Suspect("unexpected_process", "/var/tmp/x", "x", {"processes": [[7, 8]]})
    assert [(step.verb, step.target, step.detail) for step in runbook().look().steps] == before


def test_verification_sees_what_is_left_and_missing_containment(scan: Scan) -> None:
    scan.suspects.append(SUSPECTS[0])
    seen = runbook().check(Done((Step("web_shell", "contain", "network", HELD),)), write=False)
    assert [(one["name"], one["verdict"]) for one in seen.checks] == [
        ("traces", "not_cured"),
        ("containment", "not_cured"),
    ]


def test_the_deadline_of_the_notification_is_computed() -> None:
    assert "until 2026-11-30 13:40 UTC" in advice(datetime(2026, 11, 27, 13, 40, tzinfo=UTC))[0]
