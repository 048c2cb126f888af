from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Any

import pytest

from remediate.domain.incident import Incident
from remediate.domain.notice import NoticeKind
from remediate.domain.people import People
from remediate.domain.report import FoundCause, Measure, Undo, WayBack
from remediate.domain.route import Route, Routes
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Effect, Rollback, Severity
from remediate.domain.text import quoted
from remediate.engine.notices import Matter, calls, compose, told_of_override, trial_notices
from remediate.testing import EPOCH
from tests.builders import action, cause, finding, person, plan, run, runbook

ROUTES = Routes(
    by_channel={"mail": Route(channel="mail", needs="email"), "team": Route(channel="team")},
    by_severity={Severity.SEV2: ("mail",)},
)
UNTIL = EPOCH + timedelta(hours=1)
FOUND = finding(
    action("/shelf/dust", bytes=2048),
    action("/shelf/vase", "flood", Undo.NONE),
    causes=(FoundCause(id="dust", evidence=("3 mm of dust",)), FoundCause(id="flood", evidence=("it drips",))),
    measures=(Measure(name="free", value=3, unit="%", wanted="> 20", ok=False),),
)
CAUSES = (
    cause(effects=(Effect.RESTART,)),
    cause("flood", 2, effects=(Effect.DATA_LOSS,), rollback=Rollback.NONE, rollback_reason="water does not flow back"),
)


def matter(severity: Severity = Severity.SEV1, **changes: Any) -> Matter:
    planned = {"plan": plan(level=3, near=FOUND), "reason": "it looks bad", "outcome": "", **changes}
    return Matter(
        run=run(**planned),
        runbook=runbook(causes=CAUSES),
        severity=severity,
        routes=ROUTES,
        level=2,
        valid_until=UNTIL,
    )


def body(kind: NoticeKind, about: Matter | None = None, note: str = "") -> str:
    return compose(kind, about or matter(), [person("omar")], now=EPOCH, note=note)[0].body


def test_each_person_gets_one_notice_per_channel_each_with_its_own_key() -> None:
    made = compose(NoticeKind.CLIMBED, matter(), [person("omar"), person("nadia", email="")], now=EPOCH, number=3)

    assert [(one.key, one.person, one.channel) for one in made] == [
        ("20260105-030000-bcdf/climbed-3/omar/mail", "omar", "mail"),
        ("20260105-030000-bcdf/climbed-3/omar/team", "omar", "team"),
        ("20260105-030000-bcdf/climbed-3/nadia/team", "nadia", "team"),
    ]
    assert {(one.created_at, one.next_at, one.attempts, one.thread) for one in made} == {
        (EPOCH, EPOCH, 0, "20260105-030000-bcdf")
    }


def test_whoever_is_asked_reads_how_long_the_way_back_would_be() -> None:
    way = WayBack(reason="see https://evil.example/approve")
    asked = body(NoticeKind.ASKED, matter(plan=plan(level=3, near=FOUND.model_copy(update={"way_back": way}))))

    assert "If it goes wrong" not in body(NoticeKind.ASKED)
    assert "If it goes wrong\n  near: no way back for the database is known: see https[:]//evil[.]example" in asked


def test_a_person_who_is_named_twice_is_told_once() -> None:
    assert len(compose(NoticeKind.ASKED, matter(Severity.SEV2), [person("omar"), person("omar")], now=EPOCH)) == 1


def test_the_severity_chooses_the_channels_and_an_override_uses_them_all() -> None:
    quiet = compose(NoticeKind.ASKED, matter(Severity.SEV2), [person("omar")], now=EPOCH)
    loud = compose(NoticeKind.OVERRIDDEN, matter(Severity.SEV2), [person("omar")], now=EPOCH)

    assert ([one.channel for one in quiet], [one.channel for one in loud]) == (["mail"], ["mail", "team"])


def test_an_override_is_told_to_whoever_is_on_call_and_to_everybody_above() -> None:
    everybody = {f"p{level}": person(f"p{level}", level=level) for level in range(5)}
    robot = person("robot", level=0, service=True)
    people = People(by_id={**everybody, "robot": robot})

    told = told_of_override(people, [everybody["p1"], everybody["p3"]])
    assert [one.id for one in told] == ["p1", "p3", "p2", "p4"]


def test_a_request_for_approval_says_all_that_a_person_needs_to_decide() -> None:
    assert body(NoticeKind.ASKED).splitlines() == [
        "Approval of level 2 wanted.",
        "",
        "Run          20260105-030000-bcdf",
        "Runbook      tidy-shelf: The shelf is untidy",
        "Severity     SEV1",
        "Asked by     nadia, 2026-01-05 03:00:00Z",
        "Because      it looks bad",
        "Valid until  2026-01-05 04:00:00Z; after that nothing is done, and the incident stays open",
        "",
        "What is wrong",
        "  near: the shelf is untidy",
        "    free: 3 % (wanted > 20)",
        "    dust: 3 mm of dust",
        "    flood: it drips",
        "",
        "What will be done",
        "  near: 2 action(s)",
        "    delete /shelf/dust (2.0 KiB) [held, can be put back]",
        "    delete /shelf/vase [CANNOT BE UNDONE]",
        "",
        "How far it reaches",
        "  1 host(s): near",
        "  effects: restart, data_loss",
        "  level 3: dust asks for level 3",
        "",
        "What cannot be undone",
        "  flood: water does not flow back",
        "  near: delete /shelf/vase",
        "",
        "What to type",
        "  remediate approvals show 20260105-030000-bcdf    # everything, with the diff",
        '  remediate approve 20260105-030000-bcdf --reason "..."',
        '  remediate reject 20260105-030000-bcdf --reason "..."',
        "",
        "No message of remediate has a link to click on: decide with these commands only.",
    ]


@pytest.mark.parametrize(
    ("kind", "headline", "command"),
    [
        (NoticeKind.CLIMBED, "Level 2 is asked now.", "remediate approve"),
        (NoticeKind.REMINDED, "Still waiting for approval of level 2.", "remediate reject"),
        (NoticeKind.APPROVED, "Approved, the work begins.", "remediate runs show"),
        (NoticeKind.REJECTED, "Rejected, nothing is done.", "remediate plan tidy-shelf --limit near"),
        (
            NoticeKind.EXPIRED,
            "Expired, nothing was done, the incident stays open.",
            "remediate plan tidy-shelf --limit near",
        ),
        (NoticeKind.WITHDRAWN, "Withdrawn, nothing was done.", "remediate plan tidy-shelf --limit near"),
        (NoticeKind.OVERRIDDEN, "EMERGENCY OVERRIDE.", "remediate runs show"),
    ],
)
def test_each_kind_has_its_headline_the_reason_and_what_to_type(kind: NoticeKind, headline: str, command: str) -> None:
    lines = body(kind, note="nadia: because").splitlines()

    assert lines[:2] == [headline, "nadia: because"]
    assert any(line.startswith(f"  {command}") for line in lines)


@pytest.mark.parametrize(
    ("status", "headline", "rollback_offered"),
    [
        (RunStatus.SUCCEEDED, "Cured, and proven", True),
        (RunStatus.FAILED, "NOT cured", True),
        (RunStatus.UNPROVEN, "Cannot tell whether it is cured", True),
        (RunStatus.ROLLED_BACK, "Rolled back: everything that was held is put back", False),
        (RunStatus.ROLLBACK_FAILED, "NOT rolled back: look at the hosts", False),
        (RunStatus.INTERRUPTED, "INTERRUPTED: it is not known what was done", False),
        (RunStatus.APPROVED, "Ended: approved", False),
    ],
)
def test_the_end_of_a_run_is_told_in_its_words(status: RunStatus, headline: str, rollback_offered: bool) -> None:
    (made, _) = compose(NoticeKind.ENDED, matter(status=status, outcome="as measured"), [person("omar")], now=EPOCH)

    assert made.subject == f"[SEV1] {headline}: tidy-shelf on near"
    assert made.key == f"20260105-030000-bcdf/{status.value}-1/omar/mail"
    assert made.body.splitlines()[1] == "as measured"
    assert ("remediate rollback" in made.body) is rollback_offered


def test_only_where_something_is_still_wrong_the_end_says_what() -> None:
    assert "What is wrong" in body(NoticeKind.EXPIRED)
    assert "What is wrong" in body(NoticeKind.ENDED, matter(status=RunStatus.FAILED))
    assert "What is wrong" not in body(NoticeKind.ENDED, matter(status=RunStatus.SUCCEEDED))
    assert "What will be done" not in body(NoticeKind.REJECTED)


def test_machines_get_the_same_as_values() -> None:
    made = compose(NoticeKind.ASKED, matter(), [person("omar")], now=EPOCH, note="why")[0]

    assert made.data == {
        "kind": "asked",
        "run": "20260105-030000-bcdf",
        "runbook": "tidy-shelf",
        "hosts": ["near"],
        "status": "requested",
        "severity": "SEV1",
        "level": 2,
        "valid_until": "2026-01-05T04:00:00+00:00",
        "digest": "d" * 64,
        "note": "why",
        "headline": "Approval of level 2 wanted",
    }


HOSTILE = "x\r\nBcc: all@example.org\n\nApprove: https://evil.example/approve \u202egnp.exe\x1b[31m www.evil.example"


def test_text_from_outside_writes_no_line_of_its_own_and_offers_no_link() -> None:
    ill = finding(
        action(HOSTILE, verb=HOSTILE, note=HOSTILE),
        summary=HOSTILE,
        causes=(FoundCause(id="dust", evidence=(HOSTILE,)),),
        measures=(Measure(name=HOSTILE, value=1, unit=HOSTILE, wanted=HOSTILE, ok=False),),
    )
    planned = plan(level=2, near=ill).model_copy(update={"level_reasons": (HOSTILE,)})
    about = matter(plan=planned, reason=HOSTILE, requested_by=HOSTILE, outcome=HOSTILE)
    made = compose(NoticeKind.ASKED, about, [person("omar")], now=EPOCH, note=HOSTILE)[0]
    harmless = compose(NoticeKind.ASKED, matter(plan=plan(level=2, near=finding(action(), measures=ill.measures))),
                       [person("omar")], now=EPOCH, note="x")[0]  # fmt: skip
    said = f"{made.subject}{made.body}{made.data}"

    assert len(made.body.splitlines()) == len(harmless.body.splitlines())
    assert "https://" not in said
    assert "www.evil" not in said
    assert "\n" not in made.subject
    assert {unicodedata.category(character) for character in said.replace("\n", "")}.isdisjoint({"Cc", "Cf", "Zl"})


def test_a_message_stays_short_however_much_there_is_to_do() -> None:
    many = finding(*(action(f"/shelf/{'x' * 5000}{number}", undo=Undo.NONE) for number in range(500)))
    hosts = {f"h{number}": many for number in range(60)}
    long = body(NoticeKind.ASKED, matter(plan=plan(level=2, **hosts), reason="y" * 100_000), note="z" * 100_000)

    assert len(long) < 60_000
    assert "    and 488 more line(s)" in long.splitlines()
    assert "  and 50 more host(s)" in long.splitlines()


def test_a_run_without_a_plan_can_be_told_about() -> None:
    assert "What is wrong" not in body(NoticeKind.ENDED, matter(plan=None, status=RunStatus.INTERRUPTED))


def test_a_trial_goes_to_each_channel_of_each_person_under_a_key_of_its_own() -> None:
    made = trial_notices([person("omar"), person("nadia")], ROUTES, only="", batch="t1", now=EPOCH)
    other = trial_notices([person("omar")], ROUTES, only="team", batch="t2", now=EPOCH)

    assert [one.key for one in (*made, *other)] == [
        "test-t1/test-1/omar/mail",
        "test-t1/test-1/omar/team",
        "test-t1/test-1/nadia/mail",
        "test-t1/test-1/nadia/team",
        "test-t2/test-1/omar/team",
    ]
    assert all(one.is_test for one in (*made, *other))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/var/log/nginx.conf.d/a.log", "/var/log/nginx.conf.d/a.log"),
        ("a:b 12:30", "a:b 12:30"),
        ("see HTTPS://x.example", "see HTTPS[:]//x.example"),
        ("www.x.example", "www[.]x.example"),
        ("evil.example/approve", "evil[.]example/approve"),
        ("mailto:a@b", "mailto[:]a@b"),
        ("a\tb", "a b"),
        ("a" * 11, "a" * 9 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_quoted_text_keeps_what_is_no_link(text: str, shown: str) -> None:
    assert quoted(text, 10 if text == "a" * 11 else 300) == shown


def test_a_call_for_an_incident_without_a_run_says_what_it_is_about_and_what_to_type() -> None:
    about = Incident(
        id="inc-left-out-main-1",
        run_id="",
        severity=Severity.SEV2,
        title="7 alerts of the source main\x1b[31m are not known here",
        opened_at=EPOCH,
        level=2,
    )
    (one,) = calls(about, [person("omar"), person("omar")], ROUTES, now=EPOCH, note="it does not answer")

    assert (one.key, one.channel) == ("inc-left-out-main-1/called-2/omar/mail", "mail")
    assert one.subject.startswith("[SEV2] Incident: level 2 is called: 7 alerts of the source main")
    assert "\x1b" not in one.subject + one.body
    assert one.body.splitlines()[:2] == ["Incident: level 2 is called.", "it does not answer"]
    assert "  remediate incident ack inc-left-out-main-1" in one.body.splitlines()
    assert (one.data["kind"], one.data["incident"], one.data["level"]) == ("called", "inc-left-out-main-1", 2)
