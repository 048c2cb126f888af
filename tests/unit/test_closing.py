from __future__ import annotations

from datetime import timedelta

import pytest

from remediate.domain.approval import Asking
from remediate.domain.report import Measure, Report, RestorePoint, Verdict
from remediate.domain.run import PhaseOutcome, PhaseRecord, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.interfaces.cli.outcome import closing_lines, waiting_lines
from remediate.testing import EPOCH
from tests.builders import action, finding, plan, put_back, request, run, snapshot, task, verified

LATER = EPOCH + timedelta(seconds=95)


def record(phase: Phase, report: Report | None = None, *, check: bool = False) -> PhaseRecord:
    reports = {"near": report.model_dump(mode="json")} if report else {}
    return PhaseRecord(
        sequence=1,
        phase=phase,
        check=check,
        outcome=PhaseOutcome.OK,
        started_at=EPOCH,
        ended_at=LATER,
        reports=reports,
        tasks=(task(),),
    )


def test_a_cure_ends_with_its_proof_its_record_and_how_to_take_it_back() -> None:
    measured = Measure(name="free", value=31, unit="%", wanted=">= 20", ok=True)
    proof = verified(Verdict.CURED).model_copy(update={"measures": (measured,), "done": (action(bytes=1024),)})
    ended = run(status=RunStatus.SUCCEEDED, outcome="cured: near", ended_at=LATER)

    assert list(closing_lines(ended, [record(Phase.FIX), record(Phase.VERIFY, proof)])) == [
        "",
        "CURED  cured: near",
        "  proof    near",
        "    ok     shelf: as measured",
        "    ok       free: 31 % (wanted >= 20)",
        "    did      dust: 1 action(s), 1.0 KiB",
        "               delete /shelf/dust  1.0 KiB  [held]",
        "  record   run 20260105-030000-bcdf: changed=2, took 1 min 35 s",
        "  next     remediate rollback 20260105-030000-bcdf   (puts back what was held)",
    ]


def test_after_a_fix_it_is_told_how_the_database_goes_back_to_before_it() -> None:
    made, none = RestorePoint(position="bin.000002:7", gtid="0-1-5", made=9.0), RestorePoint(reason="it is\x1b[2J down")
    ended = run(status=RunStatus.FAILED)
    lines = [
        line
        for point in (made, none, None)
        for phases in ([], [record(Phase.FIX)])
        for line in closing_lines(
            ended, [record(Phase.SNAPSHOT, snapshot().model_copy(update={"restore_point": point})), *phases]
        )
        if "point" in line or "database-restore" in line
    ]

    assert lines == [
        "  point    near: restore point bin.000002:7",
        "           `remediate plan database-restore --limit near --set to=run:20260105-030000-bcdf`",
        "  point    near: no restore point: it is\N{REPLACEMENT CHARACTER}[2J down",
    ]


def test_a_rollback_ends_with_what_was_put_back() -> None:
    ended = run(status=RunStatus.ROLLED_BACK, outcome="1 put back", ended_at=LATER)
    lines = list(closing_lines(ended, [record(Phase.FIX), record(Phase.ROLLBACK, put_back("/shelf/\x1b[2Jdust"))]))

    assert lines[1:4] == [
        "ROLLED BACK  1 put back",
        "  put back 1 on near",
        "    ok     /shelf/\N{REPLACEMENT CHARACTER}[2Jdust",
    ]


def test_a_check_changed_nothing_whatever_its_dry_run_says() -> None:
    ended = run(status=RunStatus.PLANNED, check=True, plan=plan(near=finding(action())))
    lines = list(closing_lines(ended, [record(Phase.FIX, check=True)]))

    assert lines[1:] == [
        "PLANNED, nothing was changed  ",
        "  record   run 20260105-030000-bcdf: changed=0",
        "  next     remediate apply 20260105-030000-bcdf   (exactly this plan, valid until 2026-01-05 09:00:00Z)",
    ]


ID = "20260105-030000-bcdf"


@pytest.mark.parametrize(
    ("status", "touched", "following"),
    [
        (RunStatus.NOT_NEEDED, False, None),
        (
            RunStatus.WAITING_APPROVAL,
            False,
            f"remediate approve {ID}   (level 1: whoever is on call may approve their own)",
        ),
        (RunStatus.APPROVED, False, f"remediate resume {ID}   (goes on only with the plan that was approved)"),
        (
            RunStatus.INTERRUPTED,
            True,
            f"remediate resume {ID}   (looks first; what was approved counts only for the same plan)",
        ),
        (RunStatus.REJECTED, False, f"remediate approvals show {ID}   (who said what)"),
        (RunStatus.WITHDRAWN, False, None),
        (RunStatus.FAILED, False, f"remediate runs show {ID}"),
        (RunStatus.FAILED, True, f"remediate rollback {ID}   (puts back what was held)"),
        (RunStatus.CANCELED, True, f"remediate rollback {ID}   (puts back what was held)"),
        (RunStatus.CANCELED, False, None),
        (RunStatus.UNPROVEN, False, f"remediate runs show {ID}"),
        (RunStatus.ROLLBACK_FAILED, True, f"remediate runs show {ID}"),
        (RunStatus.EXPIRED, False, "remediate plan tidy-shelf --limit near --limit far"),
        (RunStatus.ROLLED_BACK, True, None),
    ],
)
def test_every_end_says_what_to_type_next(status: RunStatus, touched: bool, following: str | None) -> None:
    ended = run(status=status, hosts=("near", "far"), plan=plan(level=1, near=finding(action())))

    assert next_commands(ended, touched=touched) == ([following] if following else [])


def next_commands(ended: Run, *, touched: bool = False) -> list[str]:
    said = list(closing_lines(ended, [record(Phase.FIX, check=not touched)]))
    return [line.removeprefix("  next     ") for line in said if line.startswith("  next")]


@pytest.mark.parametrize(("level", "people"), [(2, 1), (1, 2), (4, 1)])
def test_nobody_is_told_to_approve_what_somebody_else_has_to(level: int, people: int) -> None:
    asked = plan(level=level, near=finding(action())).model_copy(update={"people": people})

    assert next_commands(run(status=RunStatus.WAITING_APPROVAL, plan=asked)) == [
        f"remediate approvals show {ID}   (somebody else approves; `cancel` takes it back)"
    ]


@pytest.mark.parametrize(
    ("status", "outcome", "touched", "headline"),
    [
        (
            RunStatus.EXPIRED,
            "stale: the playbooks changed since the plan was made",
            False,
            "STALE, nothing was changed",
        ),
        (RunStatus.EXPIRED, "nobody has answered, up to level 4", False, "EXPIRED, nothing was changed"),
        (RunStatus.WITHDRAWN, "withdrawn: canceled by nadia", False, "WITHDRAWN, nothing was changed"),
        (RunStatus.APPROVED, "approved by lena (level 2)", False, "APPROVED, nothing was changed yet"),
        (RunStatus.CANCELED, "stopped by request", False, "STOPPED, nothing was changed"),
        (RunStatus.CANCELED, "stopped by request", True, "STOPPED"),
        (RunStatus.PARKED, "the site is paused", False, "REFUSED, nothing was changed"),
        (RunStatus.PARKED, "interrupted 3 times", True, "REFUSED"),
    ],
)
def test_a_headline_says_that_nothing_was_changed_only_where_that_is_so(
    status: RunStatus, outcome: str, touched: bool, headline: str
) -> None:
    lines = list(closing_lines(run(status=status, outcome=outcome), [record(Phase.FIX, check=not touched)]))

    assert lines[1] == f"{headline}  {outcome}"


def test_every_state_has_a_headline_of_its_own_or_its_name() -> None:
    headlines = [next(iter(list(closing_lines(run(status=status), []))[1:])) for status in RunStatus]

    assert len(set(headlines)) == len(RunStatus)


def test_a_run_that_was_handed_over_says_to_what_and_how_to_see_what_waits() -> None:
    handed = run(status=RunStatus.HANDED_OVER, outcome="handed over to disk-full on near (run c)")
    waits = run("c", runbook="disk-full", status=RunStatus.WAITING_APPROVAL, parent=handed.id, outcome="level 2")

    assert list(closing_lines(handed, [], None, [waits])) == [
        "",
        "HANDED OVER, not ended  handed over to disk-full on near (run c)",
        "  child    run c, disk-full on near: waiting_approval: level 2",
        "           `remediate approvals show c`",
        "  record   run 20260105-030000-bcdf: changed=0",
        f"  next     remediate resume {handed.id}   (goes on when what it was handed over to can, or has ended)",
    ]


def test_a_run_that_waits_says_for_whom_and_until_when() -> None:
    waiting = run(status=RunStatus.WAITING_APPROVAL, plan=plan(level=2, near=finding(action())))
    lines = list(closing_lines(waiting, [], request(asked=("lena", "mara"))))

    assert lines[2:4] == [
        "  waits    for 1 person of level 2 or above; asked now, level 2: lena, mara",
        "           next step at 2026-01-05 03:30:00Z, valid until 2026-01-06 03:00:00Z",
    ]


def test_a_run_that_waits_for_nobody_says_so() -> None:
    assert next(waiting_lines(request(people=2))) == (
        "  waits    for 2 people of level 2 or above; asked now, level 2: nobody of level 2 is there"
    )


def test_a_request_that_is_closed_waits_for_nobody_any_more() -> None:
    closed = request(state=Asking.APPROVED, asked=("lena",))

    assert not [line for line in closing_lines(run(status=RunStatus.APPROVED), [], closed) if "waits" in line]
