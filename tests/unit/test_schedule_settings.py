"""The section schedules of remediate.yml: what is wrong is told with its line; what counts without it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from remediate.catalog.schedules import DEFAULTS, check_schedules_on_site, schedules_in_effect
from remediate.catalog.settings import Settings
from remediate.domain.host import Host
from remediate.errors import InvalidDocument
from tests.builders import runbook
from tests.unit.test_on_call_settings import problems, settings

SITE = "version: 1\nschedules:\n"
DISK = "name: a, runbook: disk-full, cron: '0 2 * * *'"


def read(site: Path, *schedules: str) -> Settings:
    return settings(site, SITE + "".join(f"  - {one}\n" for one in schedules))


def test_a_schedule_is_read_with_its_line(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"{{{DISK}}}",
        "{name: b, runbook: disk-full, cron: '0  5 1 * *', time_zone: Europe/Berlin, jitter: 30m, hosts: [web1],"
        " parameters: {target_free: 25}, unattended: 2, missed: 3d}",
    )
    assert found.schedules is not None
    first, second = found.schedules

    assert (first.written_at, second.written_at) == ("remediate.yml:3", "remediate.yml:4")
    assert (first.timing, first.jitter, first.missed) == ("0 2 * * * UTC", timedelta(0), timedelta(days=1))
    assert (first.hosts, first.group, first.unattended) == ((), "", 0)
    assert second.timing == "0 5 1 * * Europe/Berlin"
    assert (second.jitter, second.missed) == (timedelta(minutes=30), timedelta(days=3))
    assert (second.hosts, second.parameters, second.unattended) == (("web1",), {"target_free": 25}, 2)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("{name: a, runbook: disk-ful, cron: '0 2 * * *'}", "there is no runbook 'disk-ful'; did you mean disk-full?"),
        ("{name: a, runbook: zzz, cron: '0 2 * * *'}", "there is no runbook 'zzz'; see `remediate list`, or take"),
        ("{name: a, runbook: disk-full}", "schedules.0.cron: is missing"),
        ("{name: a, runbook: disk-full, cron: '0 25 * * *'}", "hour is wrong"),
        ("{name: a, runbook: disk-full, cron: '@daily'}", "five fields are wanted"),
        ("{name: A b, runbook: disk-full, cron: '0 2 * * *'}", "schedules.0.name: "),
        (f"{{{DISK}, time_zone: Berlin}}", "schedules.0.time_zone: "),
        (f"{{{DISK}, jitter: 24h}}", "it may come after the next time"),
        (f"{{{DISK}, hosts: [web1], group: web}}", "name one of them"),
        (f"{{{DISK}, unattended: 5}}", "schedules.0.unattended: "),
        (f"{{{DISK}, unattended: '1'}}", "schedules.0.unattended: "),
        (f"{{{DISK}, missed: never}}", "a duration such as"),
        (f"{{{DISK}, hots: [web1]}}", "schedules.0.hots: is not a known field"),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_line(tmp_path: Path, schedule: str, said: str) -> None:
    (found,) = problems(tmp_path, f"{SITE}  - {schedule}\n")

    assert said in found
    assert found.startswith("3: schedules.0")


def test_a_name_stands_once(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f"{SITE}  - {{{DISK}}}\n  - {{{DISK}}}\n")

    assert found == "4: schedules.1.name: a stands twice: give each its own name"


def test_what_a_schedule_may_do_by_itself_is_part_of_who_decides_what(tmp_path: Path) -> None:
    plain = settings(tmp_path, "version: 1\n").policy

    assert read(tmp_path, f"{{{DISK}}}").policy == plain
    assert read(tmp_path, f"{{{DISK}, unattended: 1}}").policy != plain


def test_without_the_section_the_default_set_counts_as_far_as_there_are_runbooks_and_hosts(tmp_path: Path) -> None:
    book = runbook()
    runbooks = {
        one.runbook: book.model_copy(update={"id": one.runbook, "role": one.runbook.replace("-", "_")})
        for one in DEFAULTS
        if one.runbook != "backup-create"
    }
    hosts = (Host(name="vault", groups=("restore_test_targets", "backup_create_targets")),)
    assert settings(tmp_path, "version: 1\n").schedules is None
    assert settings(tmp_path, "version: 1\nschedules: []\n").schedules == ()

    assert [one.name for one in schedules_in_effect(None, runbooks, hosts)] == ["monthly-restore-test"]
    assert schedules_in_effect((), runbooks, hosts) == ()
    assert schedules_in_effect(None, {}, hosts) == ()
    check_schedules_on_site(schedules_in_effect(None, runbooks, hosts), runbooks, hosts)


def test_what_does_not_fit_the_site_is_told_whole_with_file_and_line(tmp_path: Path) -> None:
    found = read(
        tmp_path, f"{{{DISK}, group: nowhere}}", "{name: b, runbook: disk-full, cron: '0 2 * * *', hosts: [x]}"
    )
    assert found.schedules is not None
    hosts = (Host(name="near", groups=("web",)),)
    with pytest.raises(InvalidDocument) as refused:
        check_schedules_on_site(found.schedules, {"disk-full": runbook()}, hosts)

    assert "remediate.yml:3: schedules.0.group: no host of the inventory is in" in refused.value.message
    assert "remediate.yml:4: schedules.1.hosts: 'x' is not a host of the inventory" in refused.value.message


@pytest.mark.parametrize("schedule", DEFAULTS, ids=lambda one: one.name)
def test_nothing_of_the_default_set_acts_without_a_human(schedule: object) -> None:
    assert getattr(schedule, "unattended", None) == 0
