"""What pgBackRest reports is believed, and how it ends is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.pgbackrest import PgBackRest, PgBackRestError
from ansible.module_utils.pgbackrest_report import BadReportError, info, verified
from ansible.module_utils.postgresql_server import As
from ansible.module_utils.stack_program import Finished

FULL, DIFF = "20261128-120000F", "20261128-120000F_20261128-180000D"
SEGMENT, OTHER = "000000010000000000000005", "000000010000000000000006"
DIGEST = "0123456789abcdef0123456789abcdef01234567"


def copy(label: str, kind: str, made: int, **more: Any) -> dict[str, Any]:
    return {
        "archive": {"start": SEGMENT, "stop": SEGMENT},
        "backrest": {"format": 5, "version": "2.55.1"},
        "database": {"id": 1, "repo-key": 1},
        "error": False,
        "info": {"delta": 1, "repository": {"delta": 1}, "size": 1},
        "label": label,
        "lsn": {"start": "0/5000028", "stop": "0/5000120"},
        "prior": None,
        "reference": None,
        "timestamp": {"start": made - 5, "stop": made},
        "type": kind,
        **more,
    }


def stanza(*copies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "archive": [{"database": {"id": 1, "repo-key": 1}, "id": "17-1", "max": SEGMENT, "min": SEGMENT}],
        "backup": list(copies),
        "cipher": "aes-256-cbc",
        "db": [{"id": 1, "repo-key": 1, "system-id": 7577000000000000001, "version": "17"}],
        "name": "shop",
        "repo": [{"cipher": "aes-256-cbc", "key": 1, "status": {"code": 0, "message": "ok"}}],
        "status": {"code": 0, "lock": {"backup": {"held": False}}, "message": "ok"},
        **more,
    }


def told(*copies: dict[str, Any], **more: Any) -> str:
    return json.dumps([stanza(*copies, **more)])


def test_the_newest_copy_is_the_last_one_without_damaged_pages() -> None:
    first = copy(FULL, "full", 1000)
    later = copy(DIFF, "diff", 2000, reference=[FULL])
    found = info(told(later, first), "shop")
    assert found.newest is not None
    assert (found.newest.label, found.newest.builds_on, found.newest.first_segment) == (DIFF, (FULL,), SEGMENT)
    assert (found.system, found.archive, found.locked, found.code) == ("7577000000000000001", "17-1", False, 0)
    bad = info(told(first, {**later, "error": True}), "shop")
    assert bad.newest is not None
    assert bad.newest.label == FULL


def test_without_checksums_there_is_no_word_of_damaged_pages_and_that_is_no_damage() -> None:
    silent = copy(FULL, "full", 1000)
    del silent["error"]
    assert info(told(silent), "shop").newest is not None
    assert info(told(), "shop").newest is None


@pytest.mark.parametrize(("since", "there"), [(999.0, True), (1000.0, True), (1001.0, False)])
def test_a_full_copy_counts_for_its_time_and_others_never(since: float, *, there: bool) -> None:
    found = info(told(copy(FULL, "full", 1000), copy(DIFF, "diff", 5000, reference=[FULL])), "shop")
    assert found.full_since(since) is there
    assert not info(told(copy(FULL, "full", 1000, error=True)), "shop").full_since(0.0)


def test_after_an_upgrade_only_the_present_cluster_counts() -> None:
    clusters = [
        {"id": 2, "repo-key": 1, "system-id": 22, "version": "17"},
        {"id": 1, "repo-key": 1, "system-id": 11, "version": "15"},
    ]
    new = copy(DIFF, "full", 2000, database={"id": 2, "repo-key": 1})
    found = info(told(copy(FULL, "full", 9000), new, db=clusters), "shop")
    assert (found.system, found.archive) == ("22", "17-2")
    assert [one.label for one in found.copies] == [DIFF]


def test_a_lock_and_a_status_are_told() -> None:
    held = {"code": 2, "lock": {"backup": {"held": True}}, "message": "no valid backups"}
    found = info(told(status=held), "shop")
    assert (found.code, found.message, found.locked) == (2, "no valid backups", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[1]",
        '[{"name": "shop"}]',
        json.dumps([stanza(), stanza()]),
        told(copy("../../etc", "full", 1)),
        told(copy(FULL, "full", 1, timestamp={})),
        told(db=[{"id": "x"}]),
        json.dumps([stanza(name="other")]),
    ],
)
def test_what_is_no_report_of_the_stanza_is_refused(text: str) -> None:
    with pytest.raises(BadReportError):
        info(text, "shop")


GOOD = f"""stanza: shop
status: ok
  archiveId: 17-1, total WAL checked: 7, total valid WAL: 7
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: {FULL}, status: valid, total files checked: 969, total valid files: 969
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""


def test_what_is_valid_is_said_of_each_copy() -> None:
    found = verified(GOOD)
    assert (found.ok, found.wrong_with([FULL]), found.bad_segments, found.bad_count) == (True, "", (), 0)
    assert found.wrong_with([FULL, DIFF]) == f"{DIFF} is not looked at"


def test_a_damaged_copy_is_found_by_what_is_said_of_it() -> None:
    bad = GOOD.replace("status: ok", "status: error").replace("status: valid", "status: invalid")
    found = verified(
        bad, "2026-11-28 20:43:46.209 P01   INFO: invalid checksum '20261128-120000F/pg_data/base/5/2619.gz'"
    )
    assert not found.ok
    assert found.wrong_with([FULL]) == f"{FULL} is invalid"
    assert "invalid checksum" in found.words
    for status in ("manifest missing", "in-progress"):
        assert status in verified(GOOD.replace("status: valid", f"status: {status}")).wrong_with([FULL])


def test_damaged_segments_are_named_and_counted() -> None:
    bad = GOOD.replace("status: ok", "status: error").replace("valid WAL: 7", "valid WAL: 5")
    at, place = "2026-11-28 20:43:46.076 P01   INFO: ", "17-1/0000000100000000"
    # As pgBackRest 2.55 says it: as information, and the report once more.
    log = (
        f"{at}invalid result {place}/{OTHER}-{DIGEST}.zst: [95] raised from local-1 protocol: unable to flush\n"
        f"        [CryptoError] on 2 retries from 9-15011ms: unable to flush\n"
        f"{at}invalid checksum '{place}/{SEGMENT}-{DIGEST}.gz'\n{at}{bad}"
    )
    found = verified(f"{log}\n{bad}")
    assert (found.ok, found.bad_segments, found.bad_count) == (False, (SEGMENT, OTHER), 2)
    assert found.words.startswith("invalid result 17-1/")
    # What is wrong with the log is not said of the copy.
    assert found.wrong_with([FULL]) == ""


def test_an_error_that_is_only_logged_is_one() -> None:
    assert not verified(GOOD, "P00  ERROR: [029]: No usable archive.info file").ok
    assert verified(GOOD, "P00   WARN: something").ok


@pytest.mark.parametrize("text", ["", "stanza: shop\nstatus: ok\n", "status: error\nP00 ERROR: [029]: no usable"])
def test_what_says_nothing_of_any_copy_proves_nothing(text: str) -> None:
    with pytest.raises(BadReportError, match="nothing to verify"):
        verified(text)


class Ended(As):  # type: ignore[misc]  # the content is not typed for this checker
    """Somebody as whom everything ends in one way."""

    def run(self, argv: Any, seconds: float, given: str = "") -> Finished:
        assert list(argv[:3]) == ["pgbackrest", "--config=/c", "--stanza=shop"]
        del seconds, given
        return self.options["end"]


def tool(end: Finished) -> PgBackRest:
    return PgBackRest(Ended((), {"end": end}), "/c", "shop")


def test_a_command_that_fails_says_why_and_one_that_ends_well_is_still_read() -> None:
    failed = Finished(25, "P00  ERROR: [025]: checksum does not match\nP00   INFO: the end", "")
    with pytest.raises(PgBackRestError, match=r"backup ended with 25: .*checksum does not match"):
        tool(failed).backup("full")
    with pytest.raises(PgBackRestError, match="cannot be read"):
        tool(Finished(0, "what", "")).info()
    with pytest.raises(PgBackRestError, match="nothing to verify"):
        tool(Finished(0, "", "")).verify()
    assert tool(Finished(0, told(copy(FULL, "full", 1)), "")).info().newest is not None


@pytest.mark.parametrize("name", ["", "-x", "a b", "a'b", "../x", "x" * 65])
def test_what_is_no_name_of_a_stanza_is_never_passed_on(name: str) -> None:
    with pytest.raises(Exception, match="no name of a stanza"):
        PgBackRest(Ended((), {}), "/c", name)
