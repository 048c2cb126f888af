"""What a restore of a host is decided from: bareness, the numbers of accounts, keys of Redis, chosen snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils import bare_host, files_plan, host_description, redis_restore
from ansible.module_utils.backup_shelf import manifest_of, stored_files
from ansible.module_utils.file_tree import FILE, Entry
from ansible.module_utils.files_plan import NoFilesError, chosen, kept_below, nanoseconds_of
from ansible.module_utils.host_description import Description
from ansible.module_utils.restic_repository import Snapshot

STACK = {"layout": "none", "services": [], "units": {}, "project_dir": "", "compose_file": ""}


def snapshot(made: float, name: str, paths: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(f"{name}{'0' * 56}", "here", made, ("remediate", "files", f"id={name}-files"), paths)


NEWEST_FIRST = [snapshot(300.0, "cccccccc"), snapshot(200.5, "bbbbbbbb"), snapshot(100.0, "aaaaaaaa")]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("", "cccccccc"),
        ("bbbbbbbb-files", "bbbbbbbb"),
        ("aaaaaaaa", "aaaaaaaa"),
        ("1970-01-01T00:05:00Z", "cccccccc"),
        ("1970-01-01T01:04:59+01:00", "bbbbbbbb"),
        ("1970-01-01T00:03:20Z", "aaaaaaaa"),
        ("1970-01-01T00:01:40Z", "aaaaaaaa"),
    ],
)
def test_a_time_means_the_newest_backup_that_is_not_later(wanted: str, name: str) -> None:
    assert chosen(NEWEST_FIRST, wanted).tag("id") == f"{name}-files"


@pytest.mark.parametrize("wanted", ["1970-01-01T00:01:39Z", "1970-01-01T00:05:00", "aaaa", "tomorrow"])
def test_what_there_is_no_backup_for_is_an_error(wanted: str) -> None:
    with pytest.raises(NoFilesError):
        chosen(NEWEST_FIRST, wanted)
    with pytest.raises(NoFilesError, match="no backup"):
        chosen([], wanted)


def test_the_files_of_an_application_are_not_taken_for_the_manifest() -> None:
    stage = "/var/lib/remediate-backup/stage"
    paths = ("/opt/app/manifest.json", "/srv/app", f"{stage}/host.json", f"{stage}/manifest.json")
    found = snapshot(1.0, "aaaaaaaa", paths)
    assert manifest_of(found) == f"{stage}/manifest.json"
    assert stored_files(found) == ["/opt/app/manifest.json", "/srv/app"]


def test_parts_that_stay_are_named_below_their_path() -> None:
    assert kept_below("/srv/app", ["/srv/app/logs/", "/srv/application/x", "/srv/app"]) == ["logs"]


def test_times_are_exact_to_the_nanosecond() -> None:
    assert nanoseconds_of("2026-11-28T03:51:22.732694547Z") % 10**9 == 732694547
    assert nanoseconds_of("1970-01-01T01:00:01+01:00") == 10**9
    assert files_plan.stamp(0) == "1970-01-01 00:00:00 UTC"


def test_accounts_are_told_by_name_and_not_by_number() -> None:
    there = Description(users={"mysql": 100, "www-data": 33, "deploy": 1000}, groups={"mysql": 101, "www-data": 33})
    numbers = host_description.numbers(there, {"mysql": 105, "www-data": 33}, {"mysql": 100, "www-data": 33})
    assert numbers.of(Entry(FILE, 0o600, 100, 101)) == Entry(FILE, 0o600, 105, 100)
    assert numbers.of(Entry(FILE, 0o600, 33, 33)) == Entry(FILE, 0o600, 33, 33)
    assert numbers.of(Entry(FILE, 0o600, 1000, 7)) == Entry(FILE, 0o600, 1000, 7)


def test_a_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    there = Description({"nginx": "1.26"}, ["nginx"], ["nginx.service"], {"root": 0}, {"root": 0})
    assert host_description.read(Path(there.write(str(tmp_path))).read_text()) == there


def test_a_server_with_nothing_but_its_own_is_bare(tmp_path: Path) -> None:
    for name in ("mysql/user.frm", "sys/x.frm", "#sql-remediate-1/new", "empty/db.opt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert bare_host.not_bare(STACK, str(tmp_path)) == []
    assert bare_host.not_bare(STACK, str(tmp_path / "nowhere")) == []

    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/orders.ibd").write_text("")
    assert bare_host.not_bare(STACK, str(tmp_path)) == [f"shop in the database ({tmp_path})"]


def test_keys_are_counted_in_all_databases() -> None:
    assert redis_restore.held("# Keyspace\r\ndb0:keys=501,expires=1,avg_ttl=5\r\ndb1:keys=2,expires=0\r\n") == 503
    assert redis_restore.held("# Keyspace\r\n") == 0
