"""People at the keyboard about schedules, drills and backups: shown, run by hand, ended with a code of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.schedules import DatabaseSchedules
from remediate.domain.drill import EXIT_CODES, RESTORE_TEST, report_digest
from remediate.domain.people import Role
from remediate.domain.report import DrillVerdict, Measure, Verdict, Verification
from remediate.domain.run import PhaseOutcome, RunStatus
from remediate.domain.runbook import Phase
from remediate.domain.schedule import Decision
from remediate.engine.executor_ports import PhaseResult
from remediate.errors import UnknownHost
from remediate.interfaces.cli import noun
from remediate.interfaces.cli import runbook as runbook_cli
from tests.acceptance.test_identity_commands import Terminal
from tests.builders import action, drill, drilled, run, tidy, verified
from tests.house import CASES, House
from tests.identities import grant, people, person
from tests.unit.test_schedule import schedule, turn

NADIA = person("nadia", Role.OPERATOR, Role.VIEWER, os_users=("nadia",), level=1)
VERA = person("vera", Role.VIEWER, os_users=("vera",))
DORA = person("dora", grant(Role.VIEWER, groups=("db",)), os_users=("dora",))
NOBODY = person("nobody", Role.ADMIN, os_users=("nobody",))
EVERYBODY = people(NADIA, VERA, DORA, NOBODY)
HOSTILE = "\x1b[31mevil\nRun: rm -rf /\u202e"


class Desk:
    """A house with runbooks about backups; whoever is named types."""

    def __init__(self, house: House, terminal: Terminal) -> None:
        self.house = house
        self._terminal = terminal

    def types(self, who: str, *words: str) -> tuple[int, str, str]:
        self.house.inhabited_by(EVERYBODY, who)
        return self._terminal(*words)

    def made(self, run_id: str, report: Verification, *, runbook: str = RESTORE_TEST, host: str = "near") -> None:
        """Record a run that has verified."""
        with self.house.database() as database:
            store, now = DatabaseStore(database), datetime.now(UTC)
            store.create_run(run(run_id, runbook=runbook, hosts=(host,), status=RunStatus.SUCCEEDED))
            sequence = store.begin_phase(run_id, Phase.VERIFY, check=False, now=now)
            store.end_phase(run_id, sequence, PhaseResult(outcome=PhaseOutcome.OK, reports={host: report}), now)


def with_runbook(directory: Path, runbook: str) -> None:
    """Make a runbook of the shelf's, under another name; its parameter `only` takes any text."""
    role = runbook.replace("-", "_")
    made = directory / "roles" / role
    shutil.copytree(CASES / "roles" / "tidy_shelf", made)
    for file in (made / "meta").iterdir():
        text = file.read_text().replace("tidy_shelf_shelf", f"{role}_only").replace("tidy_shelf", role)
        file.write_text(text.replace("        choices: [top, bottom]\n", "").replace(", retries: 3, delay: 20s", ""))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    monkeypatch.delenv("REMEDIATE_TOKEN_FILE", raising=False)
    house = House(tmp_path / "state", monkeypatch)
    own = tmp_path / "playbooks"
    for name in (RESTORE_TEST, "backup-verify"):
        with_runbook(own, name)
    house.content = (own, CASES)
    for module in (noun, runbook_cli):
        monkeypatch.setattr(module, "content_directories", lambda _site: house.content)
    house.more = {"schedules": (schedule(hosts=("near",)),)}
    yield Desk(house, Terminal(house, capsys))
    house.close()


def test_a_schedule_is_listed_with_its_next_time_its_last_run_and_what_holds_it_back(desk: Desk) -> None:
    code, listed, _ = desk.types("vera", "schedule", "list")
    assert code == 0
    assert "tidy  tidy-shelf on near\n  when     0 2 * * * (UTC); next " in listed
    assert "held     no service works for this site: start `remediate serve`" in listed
    assert "OVERDUE" not in listed

    desk.house.is_ill(action())
    code, _, said = desk.types("nadia", "schedule", "run", "tidy", "--reason", "to see")
    assert (code, said) == (0, "")
    with desk.house.database() as database:
        last, (newest, *_) = DatabaseSchedules(database).last("tidy"), DatabaseStore(database).runs(limit=1)
    assert last is not None
    assert (last.decision, last.run_id, last.decided_by) == (Decision.BY_HAND, newest.id, "nadia")
    assert (newest.requested_by, newest.reason) == ("nadia", "schedule tidy, by hand; to see")
    listed = desk.types("vera", "schedule", "list")[1]
    assert f"run      {newest.id} succeeded" in listed
    assert "last     by_hand: nadia wanted it" in listed
    (document,) = json.loads(desk.types("vera", "schedule", "list", "--json")[1])
    assert (document["name"], document["time_zone"], document["hosts"]) == ("tidy", "UTC", ["near"])
    assert document["run"]["id"] == newest.id
    assert document["next"].endswith("T02:00:00Z")
    assert document["held_back"] == ["no service works for this site: start `remediate serve`"]
    assert document["overdue_seconds"] == 0


def test_by_hand_it_ends_with_the_code_of_its_run_and_json_is_the_run(desk: Desk) -> None:
    desk.house.is_ill(action(cause_id="archive"))
    code, out, _ = desk.types("nadia", "schedule", "run", "tidy", "--json")

    assert code == 3
    assert json.loads(out)["status"] == "waiting_approval"
    code, _, said = desk.types("nadia", "schedule", "run", "tidy")
    assert code == 7
    assert "goes on: nothing was begun" in said


def test_a_schedule_that_is_late_says_since_when(desk: Desk) -> None:
    with desk.house.database() as database:
        at = datetime.now(UTC) - timedelta(days=3)
        DatabaseSchedules(database).decide(turn(Decision.TAKEN_UP, due=at, decided_at=at))

    assert "  OVERDUE  for " in desk.types("vera", "schedule", "list")[1]


def test_what_there_is_not_is_refused_and_nobody_is_told_what_they_may_not_see(desk: Desk) -> None:
    code, _, said = desk.types("nadia", "schedule", "run", "tydi")
    assert (code, said) == (2, "remediate: There is no schedule 'tydi'.\n  next: see `remediate schedule list`\n")
    assert desk.types("vera", "schedule", "run", "tidy")[0] == 7
    assert desk.types("nobody", "schedule", "list")[0] == 7
    assert desk.types("dora", "schedule", "list")[1].startswith("Nothing is run by itself")
    desk.house.more = {"schedules": (schedule(hosts=("gone",), written_at="remediate.yml:7"),)}
    code, _, said = desk.types("nadia", "schedule", "run", "tidy")
    assert code == UnknownHost.exit_code
    assert "next: correct remediate.yml:7" in said
    assert "held     'gone' is not a host" in desk.types("nadia", "schedule", "list")[1]


@pytest.mark.parametrize("verdict", DrillVerdict)
def test_a_drill_ends_with_the_code_of_its_verdict(desk: Desk, verdict: DrillVerdict) -> None:
    desk.house.is_ill(action(cause_id="clutter"))
    cured = Verdict.CURED if verdict is DrillVerdict.PASS else Verdict.NOT_CURED
    report = drilled(drill("arrakis"), drill("landsraad", verdict.value), verdict=cured)
    desk.house.executor.says("near", Phase.VERIFY, report)
    code, shown, _ = desk.types("nadia", "drill", "run", "--limit", "near", "--source", "landsraad", "--yes")

    assert code == EXIT_CODES[verdict]
    assert f"landsraad        {verdict.value}" in shown
    assert desk.house.executor.requests[0].parameters == {"restore_test_only": "landsraad"}


def test_a_drill_that_was_refused_ends_like_any_run(desk: Desk) -> None:
    desk.house.is_ill(action(cause_id="archive"))

    assert desk.types("nadia", "drill", "run", "--limit", "near", "--no-wait")[0] == 3


def test_drills_are_listed_newest_first_and_hostile_names_write_no_lines(desk: Desk) -> None:
    desk.made("20260105-030000-bbbb", drilled(drill(HOSTILE), drill("landsraad", "CHAIN_GAP", reason=HOSTILE)))
    desk.made("20260106-030000-cccc", drilled(drill(rto_seconds=200, began=drill().began + 86400)))
    listed = desk.types("vera", "drill", "list")[1]

    assert len(listed.splitlines()) == 3
    assert "\x1b" not in listed
    assert (
        "20260106-030000-cccc  landsraad        PASS             RTO 3 min 20 s of 30 min, RPO 1 min of 15 min"
        in (listed.splitlines()[0])
    )
    assert "CHAIN_GAP" in desk.types("vera", "drill", "list", "--source", "landsraad")[1].splitlines()[1]
    documents = json.loads(desk.types("vera", "drill", "list", "--limit", "1", "--json")[1])
    assert [(one["run_id"], one["report"]["rto_seconds"]) for one in documents] == [("20260106-030000-cccc", 200)]
    assert desk.types("dora", "drill", "list")[1].startswith("No drill was made")
    assert desk.types("nobody", "drill", "list")[0] == 7


def test_a_drill_is_shown_with_its_evidence_and_where_it_is_going(desk: Desk) -> None:
    reports = [drill(rto_seconds=100.0 + 10 * n, began=drill().began + n * 30 * 86400) for n in range(3)]
    for number, report in enumerate(reports):
        desk.made(f"2026010{number}-030000-cccc", drilled(report))
    code, shown, _ = desk.types("vera", "drill", "show", "20260102-030000-cccc")

    assert code == 0
    assert "RTO        2 min of 30 min; no miss in sight" in shown
    assert "Restored   b-1 (snapshot 5e5e5e5e, off)" in shown
    assert "Up to      mariadb-bin.000004:1234; 3 of 12 tables compared" in shown
    assert f"sha256 {report_digest(reports[2])}" in shown
    document = json.loads(desk.types("vera", "drill", "show", "20260102-030000-cccc", "--json")[1])
    assert document["digest"] == report_digest(reports[2])
    assert [point["seconds"] for point in document["trend"]["rto"]["points"]] == [100, 110, 120]


def test_a_drill_of_several_sources_has_to_be_named_and_another_run_has_none(desk: Desk) -> None:
    desk.made("20260105-030000-bbbb", drilled(drill("arrakis"), drill("landsraad")))
    desk.made("20260105-030000-ghjk", verified(Verdict.CURED))
    code, _, said = desk.types("vera", "drill", "show", "bbbb")
    assert (code, "is about arrakis, landsraad" in said, "--source NAME" in said) == (2, True, True)
    assert desk.types("vera", "drill", "show", "bbbb", "--source", "arrakis")[0] == 0
    code, _, said = desk.types("vera", "drill", "show", "ghjk")
    assert (code, "reported no drill" in said) == (2, True)
    assert desk.types("vera", "drill", "show", "nothing")[0] == 2


def test_the_page_is_written_for_its_owner_only(desk: Desk, tmp_path: Path) -> None:
    desk.made("20260105-030000-bbbb", drilled(drill(HOSTILE)))
    file = tmp_path / "drill.html"
    code, said, _ = desk.types("vera", "drill", "show", "bbbb", "--html", str(file))

    assert (code, said) == (0, f"Written    {file}\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("<!doctype html>")
    code, _, said = desk.types("vera", "drill", "show", "bbbb", "--html", str(tmp_path / "no" / "where"))
    assert (code, "cannot be written" in said) == (2, True)


def test_backups_are_told_by_what_was_last_said_of_them(desk: Desk) -> None:
    old = Measure(name="newest copy", value=9000, unit="s", wanted="< 3600", ok=False)
    said = verified(Verdict.NOT_CURED, "it is too old").model_copy(update={"measures": (old,)})
    desk.made("20260105-030000-bbbb", verified(Verdict.CURED), runbook="backup-verify")
    desk.made("20260106-030000-cccc", said, runbook="backup-verify")
    desk.made("20260106-030000-dddd", verified(Verdict.CURED), runbook="backup-create", host="cellar")
    listed = desk.types("vera", "backup", "list")[1]

    assert "cellar  backup-create: ok" in listed
    assert "near  backup-verify: BAD" in listed
    assert "run 20260106-030000-cccc\n  BAD  shelf: it is too old" in listed
    assert "newest copy: 9000 s (wanted < 3600)" in listed
    assert "bbbb" not in listed
    documents = json.loads(desk.types("dora", "backup", "list", "--json")[1])
    assert [(one["host"], one["verdict"]) for one in documents] == [("cellar", "cured")]


def test_a_noun_is_its_runbook_and_without_it_says_so(desk: Desk) -> None:
    desk.house.executor.says("near", Phase.DIAGNOSE, tidy())
    code, shown, _ = desk.types("nadia", "backup", "verify", "--limit", "near")
    assert (code, "NOTHING TO DO" in shown) == (0, True)
    code, _, said = desk.types("nadia", "backup", "restore", "--limit", "near")
    assert code == 2
    assert "`remediate backup restore` is the runbook database-restore, which this site does not have." in said
    assert "next: see `remediate list`; a runbook is playbooks/database-restore.yml with its role" in said
    for words, wanted in (
        (("backup", "--help"), "restore"),
        (("drill", "--help"), "run"),
        (("schedule", "--help"), "list"),
    ):
        code, shown, _ = desk.types("nadia", *words)
        assert (code, wanted in shown) == (0, True)
