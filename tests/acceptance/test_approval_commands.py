"""People at the keyboard: a plan that waits is asked for, looked at, answered, carried out, taken back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from threading import Event

import pytest

from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.approval import Answer, LevelRule
from remediate.domain.incident import Incident, IncidentKind
from remediate.domain.people import Role
from remediate.domain.report import Undo
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseRequest
from remediate.interfaces.library import Site
from tests.acceptance.test_identity_commands import Terminal
from tests.builders import action, finding, tidy
from tests.house import CASES, PAST, TOKEN, House
from tests.identities import people, person

NADIA = person("nadia", Role.OPERATOR, Role.VIEWER, os_users=("nadia",), level=1, email="n@example.org")
OMAR = person("omar", Role.OPERATOR, Role.APPROVER, os_users=("omar",), level=1)
PIA = person("pia", Role.OPERATOR, Role.APPROVER, os_users=("pia",), level=1)
LENA = person("lena", Role.APPROVER, Role.OPERATOR, os_users=("lena",), level=2)
MARA = person("mara", Role.APPROVER, os_users=("mara",), level=2)
MAX = person("max", Role.APPROVER, os_users=("max",), level=3)
VERA = person("vera", Role.VIEWER, os_users=("vera",))
EVERYBODY = people(NADIA, OMAR, PIA, LENA, MARA, MAX, VERA)

DUST, TOY = action("/shelf/dust", bytes=2048), action("/shelf/toy", "clutter")
BOOK, PAPERS = action("/shelf/book", "archive"), action("/shelf/papers", "fire", Undo.NONE)
ASK = ("tidy-shelf", "--limit", "near")


class Stage:
    """A house and its terminal; whoever is named types."""

    def __init__(self, house: House, terminal: Terminal) -> None:
        self.house = house
        self._terminal = terminal
        self.levels: tuple[LevelRule, ...] = ()

    def types(self, who: str, *words: str) -> tuple[int, str, str]:
        self.house.inhabited_by(EVERYBODY, who, *self.levels)
        return self._terminal(*words)

    def asks(self, *actions: object, who: str = "nadia") -> Run:
        """Somebody asks for a run of a host that is ill; it waits."""
        self.house.is_ill(*(entry for entry in (actions or (BOOK,)) if isinstance(entry, type(BOOK))))
        code, said, _ = self.types(who, *ASK)
        assert (code, "WAITING FOR APPROVAL, nothing was changed" in said) == (3, True), said
        return self.newest

    @property
    def newest(self) -> Run:
        with self.house.database() as database:
            return next(run for run in DatabaseStore(database).runs(limit=5) if run.id != PAST.id)

    def run(self, run_id: str) -> Run:
        with self.house.database() as database:
            return DatabaseStore(database).run(run_id)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        with self.house.database() as database:
            return DatabaseApprovals(database).incidents()

    @property
    def acted(self) -> bool:
        return bool({"snapshot", "fix", "rollback"} & set(self.house.executor.walked))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    monkeypatch.delenv("REMEDIATE_TOKEN_FILE", raising=False)
    house = House(tmp_path / "state", monkeypatch)
    copytree(CASES, house.state / "playbooks")
    yield Stage(house, Terminal(house, capsys))
    house.close()


@pytest.fixture
def token_of(stage: Stage, tmp_path: Path) -> Callable[..., str]:
    def write(who: str, *roles: Role) -> str:
        stage.house.add_token(person=who, roles=roles)
        file = tmp_path / "token"
        file.write_text(TOKEN)
        file.chmod(0o600)
        return str(file)

    return write


def next_lines(said: str) -> list[str]:
    """What is offered to type next."""
    lines = [line.strip() for line in said.splitlines()]
    return [line.removeprefix("next").strip(" :") for line in lines if line.startswith(("next  ", "next:"))]


def test_a_level_two_plan_waits_with_exit_3_and_says_for_whom_until_when_and_what_to_type(stage: Stage) -> None:
    stage.house.is_ill(BOOK)
    code, said, beside = stage.types("nadia", *ASK, "--reason", "the alert rang")
    run = stage.newest

    assert (code, beside, stage.acted) == (3, "", False)
    assert "Approval   level 2 (archive asks for level 2)" in said
    assert "WAITING FOR APPROVAL, nothing was changed  level 2: archive asks for level 2" in said
    assert "  waits    for 1 person of level 2 or above; asked now, level 2: lena, mara\n" in said
    assert re.search(r"next step at 20\d\d-\S+ \S+Z, valid until 20\d\d-", said)
    assert next_lines(said) == [f"remediate approvals show {run.id}   (somebody else approves; `cancel` takes it back)"]


def test_yes_is_no_approval_at_level_two(stage: Stage) -> None:
    stage.house.is_ill(BOOK)

    assert stage.types("nadia", *ASK, "--yes")[0] == 3
    assert not stage.acted


def test_approvals_lists_what_waits_and_says_so_when_nothing_does(stage: Stage) -> None:
    assert stage.types("lena", "approvals") == (0, "Nothing waits for approval.\n", "")
    run = stage.asks()
    code, said, _ = stage.types("lena", "approvals")

    assert code == 0
    assert said.startswith(f"{run.id}  SEV3  level 2  tidy-shelf on near  asked: level 2 (lena, mara)  valid until 20")
    assert said.endswith("Everything about one: remediate approvals show RUN\n")
    assert [one["run_id"] for one in json.loads(stage.types("lena", "approvals", "--json")[1])] == [run.id]


def test_whoever_decides_sees_evidence_actions_reach_loss_who_asked_and_until_when(stage: Stage) -> None:
    run = stage.asks(BOOK, PAPERS)
    code, said, _ = stage.types("max", "approvals", "show", run.id)

    assert code == 0
    for seen in (
        "Runbook    tidy-shelf on near",
        "Asked by   nadia (person), 20",
        "near: the shelf is untidy",
        "it is seen",
        "delete /shelf/book",
        "CANNOT BE UNDONE  near: delete /shelf/papers",
        "Approval   level 3",
        "Reaches    1 host(s): near",
        "Diff of near",
        "Answered   0 of 1 approvals of level 3",
        "waits    for 1 person of level 3 or above; asked now, level 3: max",
    ):
        assert seen in said, seen
    assert f"remediate approve {run.id} --digest {run.plan.digest[:12] if run.plan else ''}" in said
    assert f"remediate reject {run.id} --reason TEXT" in said
    assert f"remediate escalate {run.id} --to 4 --reason TEXT" in said


def test_what_is_held_is_said_to_be_put_back(stage: Stage) -> None:
    run = stage.asks()

    assert (
        "Undo       everything that is taken away is held and can be put back"
        in (stage.types("lena", "approvals", "show", run.id)[1])
    )


def test_the_request_is_there_for_programs_with_its_answers(stage: Stage) -> None:
    run = stage.asks()
    document = json.loads(stage.types("lena", "approvals", "show", run.id, "--json")[1])

    assert (document["request"]["asked"], document["answers"]) == (["lena", "mara"], [])
    assert document["run"]["plan"]["digest"] == document["request"]["digest"]


HOSTILE = "\x1b[2J\x1b]0;owned\x07 APPROVED\r\u202eevil\u2028approved by max"


def test_text_from_outside_is_harmless_wherever_it_is_shown_to_whoever_decides(stage: Stage) -> None:
    stage.house.is_ill(action(f"/shelf/{HOSTILE}", "archive", note=HOSTILE, verb=f"delete{HOSTILE}"))
    stage.house.executor.says("near", Phase.DIAGNOSE, finding(
        action(f"/shelf/{HOSTILE}", "archive", note=HOSTILE), summary=HOSTILE, notes=(HOSTILE,)
    ))  # fmt: skip
    stage.types("nadia", *ASK, "--reason", HOSTILE)
    run = stage.newest
    stage.types("omar", "approve", run.id, "--override", "--reason", HOSTILE)
    shown = [
        stage.types("lena", *words)[1]
        for words in (["approvals"], ["approvals", "show", run.id], ["runs"], ["runs", "show", run.id])
    ]
    again = stage.types("lena", "reject", run.id, "--reason", HOSTILE)[1]

    assert run.status is RunStatus.WAITING_APPROVAL
    for said in (*shown, again):
        assert not set("\x1b\x07\r\u202e\u2028") & set(said)


def test_approved_by_another_person_with_a_token_it_is_carried_out_here_and_ends_with_0(
    stage: Stage, token_of: Callable[..., str]
) -> None:
    run = stage.asks()
    file = token_of("lena")
    code, said, _ = stage.types("theo", "--token-file", file, "approve", run.id, "--reason", "go")
    answered = [entry for entry in stage.house.trail if entry.action == "approval.answered"]

    assert code == 0, said
    assert said.startswith("APPROVED  approved by lena (level 2: go)\n")
    assert "No service is running, so this command carries it out." in said
    assert "CURED  cured: near" in said
    assert stage.run(run.id).status is RunStatus.SUCCEEDED
    assert [(entry.actor, entry.subject, entry.details["channel"]) for entry in answered] == [
        ("lena", run.id, "token:bcdfghjkmn")
    ]
    assert stage.incidents == ()


def test_whoever_approves_and_is_no_operator_is_told_who_carries_it_out(stage: Stage) -> None:
    run = stage.asks()
    code, said, _ = stage.types("mara", "approve", run.id)

    assert (code, stage.acted) == (0, False)
    assert next_lines(said) == [f"an operator types: remediate resume {run.id}"]
    code, said, _ = stage.types("nadia", "resume", run.id)
    assert (code, "CURED" in said) == (0, True)


def test_approved_without_waiting_it_says_that_nothing_carries_it_out_yet(stage: Stage) -> None:
    run = stage.asks()
    code, said, _ = stage.types("lena", "approve", run.id, "--no-wait")

    assert (code, stage.acted) == (0, False)
    assert next_lines(said) == [f"nothing carries it out yet: remediate resume {run.id}"]
    assert "APPROVED, nothing was changed yet" in stage.types("nadia", "runs", "show", run.id)[1]


def test_a_rejection_ends_with_0_and_the_run_with_4_and_the_incident_stays_open(stage: Stage) -> None:
    run = stage.asks()
    code, said, _ = stage.types("lena", "reject", run.id, "--reason", "the auditors are in the house")
    rejected = stage.run(run.id)

    assert code == 0
    assert said.startswith("REJECTED, nothing was changed  rejected by lena (level 2: the auditors are in the house)\n")
    assert (rejected.status, rejected.exit_code, stage.acted) == (RunStatus.REJECTED, 4, False)
    assert [one.run_id for one in stage.incidents] == [run.id]
    shown = stage.types("nadia", "approvals", "show", run.id)[1]
    assert "lena (level 2, os-user:lena) rejected: the auditors are in the house" in shown
    assert shown.endswith("It asks for no approval any more: it is rejected.\n")


def test_what_was_rejected_cannot_be_approved_any_more(stage: Stage) -> None:
    run = stage.asks()
    stage.types("lena", "reject", run.id, "--reason", "no")
    code, out, said = stage.types("max", "approve", run.id)

    assert (code, out) == (7, "")
    assert "asks for no approval any more: rejected by lena (level 2: no)" in said
    assert next_lines(said) == [f"see `remediate approvals show {run.id}`"]


def test_the_digest_of_the_plan_that_was_seen_is_enough_and_another_one_is_refused(stage: Stage) -> None:
    run = stage.asks()
    assert run.plan is not None
    code, _, said = stage.types("lena", "approve", run.id, "--digest", "0" * 12)

    assert (code, stage.acted) == (7, False)
    assert f"The plan of run {run.id} is another one by now than the one that was seen." in said
    assert next_lines(said) == [f"look again: `remediate approvals show {run.id}`"]
    assert stage.types("lena", "approve", run.id, "--digest", run.plan.digest[:4])[0] == 2
    assert stage.run(run.id).status is RunStatus.WAITING_APPROVAL
    assert stage.types("lena", "approve", run.id, "--digest", run.plan.digest[:12])[0] == 0


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("nadia", "this takes the role approver, which nadia does not have"),
        ("omar", "it asks for level 2, and omar has level 1"),
        ("vera", "this takes the role approver, which vera does not have"),
    ],
)
def test_whoever_may_not_approve_is_refused_with_7_and_nothing_is_changed(stage: Stage, who: str, said: str) -> None:
    run = stage.asks()
    code, out, why = stage.types(who, "approve", run.id)

    assert (code, out, stage.acted) == (7, "", False)
    assert f"{who} may not answer to run {run.id}: {said}. Nothing was changed." in why
    assert next_lines(why) == [f"see `remediate approvals show {run.id}`"]
    assert stage.run(run.id).status is RunStatus.WAITING_APPROVAL
    (noted,) = [entry for entry in stage.house.trail if entry.action == "access.refused"]
    assert (noted.actor, noted.details["permission"]) == (who, "approve")
    assert f"run {run.id}: {said}" in str(noted.details["reason"])


def test_whoever_asks_does_not_approve_even_with_the_level_and_the_role(stage: Stage) -> None:
    run = stage.asks(who="lena")
    code, _, why = stage.types("lena", "approve", run.id)

    assert (code, stage.acted) == (7, False)
    assert "lena has asked for it, and whoever asks does not approve" in why


def test_a_stranger_is_not_even_told_that_the_run_exists(stage: Stage) -> None:
    run = stage.asks()
    code, out, said = stage.types("theo", "approve", run.id)

    assert (code, out) == (7, "")
    assert "It is not known who you are" in said


def test_level_one_is_approved_later_by_the_engineer_who_asked(stage: Stage) -> None:
    """`--yes` again would ask for a second run, which the storm policy refuses while the first one waits."""
    run = stage.asks(TOY)
    code, said, _ = stage.types("nadia", *ASK, "--yes")
    assert (code, "host_busy" in said) == (7, True)
    shown = stage.types("nadia", "runs", "show", run.id)[1]
    assert next_lines(shown) == [f"remediate approve {run.id}   (level 1: whoever is on call may approve their own)"]
    code, said, _ = stage.types("nadia", "approve", run.id)

    assert (code, "CURED" in said) == (0, True)


def test_at_the_terminal_yes_is_the_approval_of_level_one(stage: Stage) -> None:
    stage.house.is_ill(TOY)
    code, said, _ = stage.types("nadia", *ASK, "--yes")

    assert (code, "CURED" in said) == (0, True)


def test_a_token_that_only_looks_approves_nothing_not_even_the_own_level_one(
    stage: Stage, token_of: Callable[..., str]
) -> None:
    run = stage.asks(TOY)
    code, _, said = stage.types("theo", "--token-file", token_of("nadia", Role.VIEWER), "approve", run.id)

    assert (code, stage.acted) == (7, False)
    assert "this takes the role operator, which nadia has but the token does not carry" in said


def test_on_a_site_of_one_person_level_one_is_theirs_and_level_two_nobodys(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(stage.house, capsys)
    stage.house.inhabited_by(people(), "somebody")
    stage.house.is_ill(TOY)
    assert terminal(*ASK, "--yes")[0] == 0
    stage.house.is_ill(BOOK)
    code, said, _ = terminal("tidy-shelf", "--limit", "near", "--override-storm", "--reason", "again")
    assert (code, "asked now, level 2: nobody of level 2 is there" in said) == (3, True), said
    assert terminal("approve", stage.newest.id)[0] == 7


def test_an_emergency_override_takes_two_people_and_opens_a_review(stage: Stage) -> None:
    run = stage.asks(PAPERS)
    assert stage.types("omar", "approve", run.id, "--override")[0] == 2
    code, said, _ = stage.types("omar", "approve", run.id, "--override", "--reason", "the house is burning")
    assert code == 0
    assert said.splitlines() == [
        f"Recorded. Run {run.id} goes on waiting: 0 of 1 approvals of level 3, 1 of 2 for an override.",
        f"  next     others answer: remediate approvals show {run.id}",
    ]
    assert not stage.acted
    assert stage.types("omar", "approve", run.id, "--override", "--reason", "really")[0] == 7
    code, said, _ = stage.types("pia", "approve", run.id, "--override", "--reason", "I see the smoke")

    assert code == 0
    assert said.startswith("APPROVED  EMERGENCY OVERRIDE, to be reviewed, by omar (level 1: the house is burning)")
    assert "CURED" in said
    assert [one.kind for one in stage.incidents] == [IncidentKind.REVIEW]


def test_a_higher_level_is_asked_at_once_with_a_reason(stage: Stage) -> None:
    run = stage.asks()
    code, said, _ = stage.types("nadia", "escalate", run.id, "--to", "3", "--reason", "customers' data")

    assert code == 0
    assert said.startswith("Level 3 is asked now: max.\n")
    assert "valid until" in said
    assert "asked: level 3 (max)" in stage.types("max", "approvals")[1]
    code, _, said = stage.types("nadia", "escalate", run.id, "--to", "2", "--reason", "less")
    assert (code, next_lines(said)) == (2, [f"see `remediate approvals show {run.id}`"])


def test_runs_show_says_that_a_run_waits_for_whom_and_until_when(stage: Stage) -> None:
    run = stage.asks()
    said = stage.types("vera", "runs", "show", run.id)[1]

    assert "  waits    for 1 person of level 2 or above; asked now, level 2: lena, mara\n" in said
    assert "valid until" in said


def late(stage: Stage, run: Run, **changes: datetime) -> None:
    """Let time have passed for a request while nothing was watching."""
    with stage.house.database() as database:
        approvals = DatabaseApprovals(database)
        request = approvals.request(run.id)
        assert request is not None
        approvals.change(request.model_copy(update=changes), why="for a test", at=datetime.now(UTC))


def test_a_plan_that_expired_while_nothing_was_watching_is_closed_by_the_next_command_and_its_host_is_free(
    stage: Stage,
) -> None:
    run = stage.asks()
    past = datetime.now(UTC) - timedelta(minutes=1)
    late(stage, run, next_at=past, expires_at=past)
    assert stage.types("lena", "approvals") == (0, "Nothing waits for approval.\n", "")
    shown = stage.types("nadia", "runs", "show", run.id)[1]
    assert "EXPIRED, nothing was changed  nobody answered up to level 2, and the plan is no longer valid" in shown
    assert next_lines(shown) == ["remediate plan tidy-shelf --limit near"]

    assert stage.asks().id != run.id


def test_a_level_that_has_had_its_time_is_found_by_whatever_is_typed_next_and_the_next_one_is_asked(
    stage: Stage,
) -> None:
    run = stage.asks()
    now = datetime.now(UTC)
    late(stage, run, next_at=now - timedelta(minutes=1), asked_at=now - timedelta(hours=4))

    assert "asked: level 3 (max)" in stage.types("lena", "approvals")[1]


def test_canceling_a_run_that_waits_withdraws_it(stage: Stage) -> None:
    run = stage.asks()
    code, said, _ = stage.types("nadia", "cancel", run.id)

    assert (code, said) == (0, "WITHDRAWN, nothing was changed  withdrawn: canceled by nadia\n")
    assert stage.run(run.id).exit_code == 4
    code, _, said = stage.types("nadia", "cancel", run.id)
    assert (code, next_lines(said)) == (7, [f"see `remediate runs show {run.id}`"])


def test_a_run_that_another_process_carries_is_asked_to_stop_and_stops(stage: Stage) -> None:
    stage.house.is_ill(DUST)
    canceled: list[RunStatus] = []

    def meanwhile(request: PhaseRequest, stop: Event) -> None:
        if request.check:
            return
        with Site(stage.house.state, executing=False) as other:
            canceled.append(other.cancel(request.run_id).status)
        assert stop.wait(10), "nobody has passed on the wish"

    stage.house.executor.during(Phase.FIX, meanwhile)
    code, said, _ = stage.types("nadia", *ASK)

    assert (code, canceled) == (5, [RunStatus.FIXING])
    assert "STOPPED  stopped by request. State now: " in said


def test_what_is_said_to_whoever_cancels_a_run_that_goes_on(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.house.is_ill(DUST)
    heard: list[str] = []

    def meanwhile(request: PhaseRequest, stop: Event) -> None:
        if not request.check:
            capsys.readouterr()
            code, said, _ = stage.types("nadia", "cancel", request.run_id)
            heard.extend([str(code), said])
            assert stop.wait(10)

    stage.house.executor.during(Phase.FIX, meanwhile)
    stage.types("nadia", *ASK)
    run = stage.newest

    code, said = heard
    # The run itself prints meanwhile, on the same terminal.
    expected = [
        f"Run {run.id} is asked to stop: its task is ended, then the state of the hosts is verified.",
        f"  next     remediate runs show {run.id}",
    ]
    assert code == "0"
    assert [line for line in said.splitlines() if line in expected] == expected


def test_an_interrupted_run_is_gone_on_with_and_looks_first(stage: Stage) -> None:
    stage.house.is_ill(DUST)
    code, said, _ = stage.types("nadia", "resume", PAST.id)

    assert (code, "CURED" in said) == (0, True)
    assert stage.house.executor.walked[0] == "diagnose"
    assert stage.newest.continues == PAST.id


def test_an_interrupted_run_whose_plan_is_another_one_by_now_is_asked_about_anew(stage: Stage) -> None:
    stage.house.is_ill(BOOK)
    code, said, _ = stage.types("nadia", "resume", PAST.id)

    assert (code, stage.acted) == (3, False)
    assert "waits    for 1 person of level 2 or above" in said


def test_an_interrupted_plan_is_made_again_and_still_changes_nothing(stage: Stage) -> None:
    looked = PAST.model_copy(update={"id": "20260105-030000-look", "check": True, "plan": None})
    with stage.house.database() as database:
        DatabaseStore(database).create_run(looked)
    stage.house.is_ill(DUST)
    code, said, _ = stage.types("nadia", "resume", looked.id)

    assert (code, stage.acted) == (0, False)
    assert "PLANNED, nothing was changed" in said


def test_a_run_that_waits_is_not_resumed_and_says_what_it_waits_for(stage: Stage) -> None:
    run = stage.asks()
    code, _, said = stage.types("nadia", "resume", run.id)

    assert (code, next_lines(said)) == (7, [f"see `remediate approvals show {run.id}`"])


def planned(stage: Stage, *actions: object) -> Run:
    """A plan that was made, and its id read from what is offered to type next."""
    stage.house.is_ill(*(entry for entry in (actions or (DUST,)) if isinstance(entry, type(DUST))))
    code, said, _ = stage.types("nadia", "plan", "tidy-shelf", "--limit", "near")
    assert code == 0
    (offered,) = next_lines(said)
    found = re.fullmatch(r"remediate apply (\S+)   \(exactly this plan, valid until \S+ \S+Z\)", offered)
    assert found
    return stage.run(found[1])


def test_a_plan_is_carried_out_unchanged_by_the_id_that_it_prints(stage: Stage) -> None:
    made = planned(stage)
    code, said, _ = stage.types("nadia", "apply", made.id)
    applied = stage.newest

    assert (code, "CURED" in said) == (0, True)
    assert made.plan is not None
    assert applied.plan is not None
    assert (applied.plan.digest, applied.continues) == (made.plan.digest, made.id)


def test_a_level_two_plan_is_applied_only_with_an_approval_of_exactly_that_plan(stage: Stage) -> None:
    made = planned(stage, BOOK)
    assert stage.types("nadia", "apply", made.id)[0] == 3
    waiting = stage.newest
    assert made.plan is not None
    code, said, _ = stage.types("lena", "approve", waiting.id, "--digest", made.plan.digest[:12])

    assert (code, "CURED" in said) == (0, True)


def playbook(stage: Stage) -> None:
    stage.house.executor.digests["content"] = "c1"


def inventory(stage: Stage) -> None:
    stage.house.executor.digests["inventory"] = "1b"


def host(stage: Stage) -> None:
    stage.house.is_ill(DUST, action("/shelf/more-dust"))


def site_policy(stage: Stage) -> None:
    stage.levels = (LevelRule(runbook="tidy-shelf", level=1, reason="it is new to us"),)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (playbook, "the playbooks of the run"),
        (inventory, "the inventory or its variables"),
        (host, "what would be done on near"),
        (site_policy, "the policy in remediate.yml"),
    ],
)
def test_a_plan_is_stale_with_4_when_anything_that_decides_it_has_changed(
    stage: Stage, change: Callable[[Stage], None], what: str
) -> None:
    made = planned(stage)
    change(stage)
    code, said, _ = stage.types("nadia", "apply", made.id)

    assert (code, stage.acted) == (4, False)
    assert f"STALE, nothing was changed  stale: {what} changed since the plan was made" in said
    assert next_lines(said) == ["remediate plan tidy-shelf --limit near"]


def test_a_plan_for_a_host_that_is_well_by_now_does_nothing(stage: Stage) -> None:
    made = planned(stage)
    stage.house.executor.says("near", Phase.DIAGNOSE, tidy())
    code, said, _ = stage.types("nadia", "apply", made.id)

    assert (code, "NOTHING TO DO" in said, stage.acted) == (0, True, False)


def test_what_is_no_plan_is_not_applied(stage: Stage) -> None:
    run = stage.asks()
    code, _, said = stage.types("nadia", "apply", run.id)

    assert code == 7
    assert f"There is no plan to carry out: run {run.id} is waiting_approval" in said
    assert next_lines(said) == ["make a plan first: `remediate plan tidy-shelf`"]


def test_a_site_may_ask_for_more_than_the_card_and_says_why(stage: Stage) -> None:
    stage.levels = (LevelRule(runbook="tidy-shelf", groups=("web",), level=2, reason="it earns the money"),)
    run = stage.asks(DUST)
    said = stage.types("lena", "approvals", "show", run.id)[1]

    assert "(dust asks for level 0; this site asks for level 2: it earns the money)" in said
    assert stage.types("lena", "approve", run.id)[0] == 0


def test_a_rule_about_other_hosts_raises_nothing(stage: Stage) -> None:
    stage.levels = (LevelRule(runbook="tidy-shelf", groups=("db",), level=2, reason="it earns the money"),)
    stage.house.is_ill(DUST)

    assert stage.types("nadia", *ASK)[0] == 0


def test_an_answer_reaches_the_trail_with_everything_that_it_is_about(stage: Stage) -> None:
    run = stage.asks()
    stage.types("lena", "approve", run.id, "--reason", "go")
    actions = [entry.action for entry in stage.house.trail if entry.subject == run.id]
    (given,) = [entry for entry in stage.house.trail if entry.action == "approval.answered"]

    assert actions.index("approval.asked") < actions.index("approval.answered") < actions.index("approval.approved")
    assert given.details == {
        "answer": Answer.APPROVED.value,
        "digest": run.plan.digest if run.plan else "",
        "level": 2,
        "channel": "os-user:lena",
        "reason": "go",
    }
