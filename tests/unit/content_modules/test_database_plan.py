"""What a database suffers from, decided from facts alone: every cause by its evidence, and what would be done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.database_backups import Dump
from ansible.module_utils.database_data import Trial
from ansible.module_utils.database_facts import Facts
from ansible.module_utils.database_plan import decide, raised, with_option
from ansible.module_utils.database_sessions import Session, Sessions
from ansible.module_utils.database_tables import Broken, Table
from ansible.module_utils.host_step import HELD, Found

SETTINGS: dict[str, Any] = {
    "service": "mysql",
    "workers": ["queue", "scheduler"],
    "application": ["app"],
    "env_file": "/opt/chom/.env",
    "data_dir": "/var/lib/mysql",
    "settings_file": "/etc/mysql/zz.cnf",
    "backup_dirs": ["/opt/backups"],
    "idle_seconds": 300,
    "keep_users": ["root", "mysql"],
    "connections_percent": 80,
    "max_connections_limit": 500,
    "disk_used_percent": 98,
    "recovery_limit": 3,
}
DUMP = Dump("/opt/backups/full-20261126.sql.gz", 10, 1_790_000_000_000_000_000)
LEDGER = Table("chom", "ledger", "InnoDB", 1)


def sessions(idle: int, working: int, maximum: int = 40) -> Sessions:
    many = [Session(one, "chom", "10.0.0.2", "Sleep", 301 + one, False) for one in range(idle)]
    many += [Session(1000 + one, "chom", "10.0.0.2", "Query", 0, False) for one in range(working)]
    return Sessions(tuple(many), maximum, len(many), "11.8")


def facts(**changes: Any) -> Facts:
    seen = {"running": True, "state": "running", "answers": True, "disk_used": 20.0, "sessions": sessions(1, 3)}
    return Facts(**{**seen, **changes})


def found(settings: dict[str, Any] | None = None, **changes: Any) -> Found:
    return decide(facts(**changes), {**SETTINGS, **(settings or {})})


def verbs(one: Found) -> list[tuple[str, str]]:
    return [(step.verb, step.target) for step in one.steps]


def test_a_healthy_database_has_no_cause_and_nothing_is_done() -> None:
    well = found()
    assert (well.causes, well.steps, well.enough) == ({}, [], True)


def test_a_stopped_server_is_started_and_its_workers_after_it() -> None:
    down = found(running=False, answers=False, state="exited (137)")
    assert list(down.causes) == ["stopped"]
    assert "exited (137)" in down.causes["stopped"][0]
    assert verbs(down) == [("start", "mysql"), ("restart", "queue"), ("restart", "scheduler")]


def test_a_full_disk_is_left_to_the_other_runbook() -> None:
    full = found(disk_used=99.0, sessions=None)
    assert (list(full.causes), full.steps) == (["disk_full"], [])
    assert list(found(inodes_used=100.0).causes) == ["disk_full"]
    assert list(found(disk_used=97.9).causes) == []


def test_stopped_on_a_full_disk_both_are_named_in_the_order_of_their_cure() -> None:
    both = found(disk_used=99.0, running=False, answers=False, state="exited (1)", sessions=None)
    assert list(both.causes) == ["disk_full", "stopped"]


def test_damage_in_the_log_is_no_cause_where_a_server_starts_on_a_copy() -> None:
    down = found(running=False, answers=False, damage=["InnoDB: corrupt"], trial=Trial(0))
    assert list(down.causes) == ["stopped"]
    assert "copy" in down.causes["stopped"][1]


def test_started_with_recovery_only_and_all_rows_readable_is_repaired_without_loss() -> None:
    down = found(answers=False, damage=["bad page"], trial=Trial(1, readable=True), named=[("chom", "ledger")])
    assert list(down.causes) == ["corruption"]
    assert verbs(down)[:2] == [("keep_data", "/var/lib/mysql"), ("rebuild_table", "chom.ledger")]
    assert down.steps[0].undo == HELD
    assert down.steps[1].data["recovery"] == 1
    assert {step.cause for step in down.steps} == {"corruption"}


@pytest.mark.parametrize(
    "trial", [Trial(None), Trial(1), Trial(3)], ids=["never starts", "rows lost", "rows lost at 3"]
)
def test_what_cannot_be_repaired_without_loss_is_restored_after_a_copy_was_kept(trial: Trial) -> None:
    down = found(answers=False, damage=["bad log"], trial=trial, named=[("chom", "ledger")], dump=DUMP)
    assert list(down.causes) == ["unrepairable"]
    assert verbs(down)[:2] == [("keep_data", "/var/lib/mysql"), ("restore", "/var/lib/mysql")]
    assert "full-20261126" in down.steps[1].detail[0]


def test_recovery_that_helps_but_names_no_table_is_no_repair() -> None:
    assert list(found(answers=False, damage=["x"], trial=Trial(1, readable=True), dump=DUMP).causes) == ["unrepairable"]


def test_without_a_good_backup_nothing_is_done_and_a_human_is_asked() -> None:
    down = found(answers=False, damage=["bad log"], trial=Trial(None))
    assert (list(down.causes), down.steps, down.enough) == (["unrepairable"], [], False)
    assert "a human must find one" in down.notes[-1]


def test_a_table_whose_rows_can_be_read_is_rebuilt_and_one_whose_rows_cannot_comes_from_the_backup() -> None:
    other = Table("chom", "orders", "InnoDB", 1)
    broken = [Broken(LEDGER, "index kb is corrupted", True), Broken(other, "PRIMARY is corrupted", False)]
    both = found(broken=broken, dump=DUMP)
    assert list(both.causes) == ["unrepairable", "corruption"]
    assert [step.verb for step in both.steps[:3]] == ["keep_data", "restore_table", "rebuild_table"]
    assert [step.cause for step in both.steps[:3]] == ["unrepairable", "unrepairable", "corruption"]


def test_an_engine_that_can_repair_its_index_does_so() -> None:
    step = found(broken=[Broken(Table("chom", "old", "Aria", 1), "bad key", True)]).steps[1]
    assert (step.verb, step.target) == ("repair", "chom.old")


def test_a_table_of_the_server_itself_is_never_dropped() -> None:
    left = found(broken=[Broken(Table("mysql", "innodb_table_stats", "InnoDB", 1), "bad", True)])
    assert (left.steps, left.enough) == ([], False)


def test_without_a_data_directory_nothing_is_repaired() -> None:
    left = found({"data_dir": ""}, broken=[Broken(LEDGER, "bad", True)])
    assert (left.steps, left.enough) == ([], False)
    assert "database_failure_data_dir" in left.notes[-1]


def test_idle_connections_are_ended_where_that_is_enough() -> None:
    crowded = found(sessions=sessions(30, 8))
    assert list(crowded.causes) == ["connections_exhausted"]
    assert crowded.steps[0].verb == "disconnect"
    assert "38 of 40" in crowded.causes["connections_exhausted"][0]


def test_the_limit_is_raised_only_where_idle_ones_are_too_few() -> None:
    crowded = found(sessions=sessions(3, 36))
    assert list(crowded.causes) == ["connections_limit"]
    step = crowded.steps[0]
    assert (step.verb, step.undo, step.detail[0]) == ("configure", HELD, "max_connections: 40 -> 80")
    assert step.data["content"] == "[mariadbd]\nmax_connections = 80\n"


def test_a_plan_about_connections_is_the_same_however_many_there_are() -> None:
    one, other = found(sessions=sessions(30, 8)), found(sessions=sessions(31, 9))
    assert [(step.target, step.detail) for step in one.steps] == [(step.target, step.detail) for step in other.steps]


@pytest.mark.parametrize("settings", [{"max_connections_limit": 40}, {"settings_file": ""}])
def test_a_limit_that_may_not_be_raised_is_a_humans_matter(settings: dict[str, Any]) -> None:
    left = found(settings, sessions=sessions(0, 39))
    assert (list(left.causes), left.steps, left.enough) == (["connections_limit"], [], False)


def test_where_not_even_the_administrator_gets_in_nothing_is_done() -> None:
    left = found(crowded=True, sessions=None)
    assert (list(left.causes), left.steps, left.enough) == (["connections_exhausted"], [], False)


def test_a_refused_password_is_rotated_and_the_old_one_dropped_last() -> None:
    refused = found(refused=True, access="refused", accounts=2, user="chom")
    assert [step.verb for step in refused.steps] == ["rotate_password", *["restart"] * 3, "drop_old_password"]
    assert [step.target for step in refused.steps[1:4]] == ["app", "queue", "scheduler"]
    assert refused.steps[0].data == {}


def test_an_account_that_is_not_there_is_not_made() -> None:
    left = found(refused=True, access="refused", accounts=0, user="chom")
    assert (left.steps, left.enough) == ([], False)


def test_two_at_once_are_both_named() -> None:
    both = found(broken=[Broken(LEDGER, "bad", True)], refused=True, access="refused", accounts=1, user="chom")
    assert list(both.causes) == ["corruption", "credentials"]
    assert [step.target for step in both.steps if step.verb == "restart"] == ["app", "queue", "scheduler"]


def test_what_cannot_be_told_is_a_note_and_no_cause() -> None:
    assert found(refused=None, access="it cannot be told").notes == ["it cannot be told"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[mariadbd]\nmax_connections = 80\n"),
        ("[mysqld]\nmax-connections=40\nport = 1\n", "[mysqld]\nmax_connections = 80\nport = 1\n"),
        ("[mysqld]\nport = 1", "[mysqld]\nport = 1\n[mariadbd]\nmax_connections = 80\n"),
    ],
)
def test_only_the_limit_changes_in_the_settings(before: str, after: str) -> None:
    assert with_option(before, 80) == after


def test_the_limit_is_doubled_as_far_as_it_may_and_never_lowered() -> None:
    assert (raised(40, 500), raised(400, 500), raised(600, 500)) == (80, 500, 600)
