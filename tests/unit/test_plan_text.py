from __future__ import annotations

from remediate.domain.report import Finding, FoundCause, Measure, Undo, WayBack
from remediate.interfaces.cli.plan_text import plan_lines
from tests.builders import action, finding, plan


def test_a_plan_is_shown_with_causes_actions_what_cannot_be_undone_and_who_approves() -> None:
    found = finding(
        action("/shelf/dust", bytes=1024, verb="wipe"),
        action("/shelf/book", "archive", Undo.NONE, bytes=5, note="nobody reads it"),
        action("/shelf/lamp", "archive", Undo.NOT_NEEDED, verb="restart"),
        measures=(
            Measure(name="free", value=3.25, unit="%", wanted="20 %", ok=False),
            Measure(name="names", value=50, unit="%", wanted="20 %", ok=True),
        ),
        notes=("the cat is not ours to move",),
        enough=False,
    )
    lines = list(plan_lines(plan(level=1, near=found)))

    assert lines == [
        "",
        "near: the shelf is untidy",
        "  BAD      free: 3.25 % (wanted 20 %)",
        "  ok       names: 50 % (wanted 20 %)",
        "  cause    dust",
        "             it is seen",
        "  cause    archive",
        "             it is seen",
        "  will     dust: 1 action(s), 1.0 KiB",
        "             wipe /shelf/dust  1.0 KiB  [held]",
        "  will     archive: 2 action(s), 5 B",
        "             delete /shelf/book  5 B  [CANNOT BE UNDONE; nobody reads it]",
        "             restart /shelf/lamp  0 B  [nothing is lost]",
        "  WARNING  this is not expected to be enough to cure the host",
        "  note     the cat is not ours to move",
        "",
        "Approval   level 1 (dust asks for level 1)",
        "Reaches    1 host(s): near",
        "Digest     dddddddddddddddd",
    ]


def test_a_plan_says_what_it_takes_to_bring_the_database_back_or_why_nobody_knows() -> None:
    known = WayBack(seconds=94.6, copy_id="copy-1", copy_bytes=3 << 20, log_bytes=1 << 10)
    unknown = WayBack(reason="no full copy\n  will     nothing")
    lines = [
        line
        for way in (known, known.model_copy(update={"measured": True, "seconds": 0.2}), unknown)
        for line in plan_lines(plan(near=finding(action(), way_back=way)))
        if line.startswith("  back")
    ]

    begin = "  back     the database as it was just before the fix: rebuilt in about"
    assert lines == [
        f"{begin} 1 min 35 s (copy-1 (3.0 MiB) and 1.0 KiB of logs, assumed rates)",
        f"{begin} 1 s (copy-1 (3.0 MiB) and 1.0 KiB of logs, measured rates)",
        "  back     no way back for the database is known: no full copy\N{REPLACEMENT CHARACTER}  will     nothing",
    ]


def test_many_actions_are_shown_by_directory_and_every_one_when_asked() -> None:
    many = finding(*(action(f"/shelf/{side}/{number}", bytes=1024) for side in "ab" for number in range(7)))
    grouped = [line for line in plan_lines(plan(near=many)) if "/shelf/" in line]
    every = [line for line in plan_lines(plan(near=many), every_action=True) if "/shelf/" in line]

    assert grouped == [
        "             delete 7 in /shelf/a  7.0 KiB  [held]  (each one: --all)",
        "             delete 7 in /shelf/b  7.0 KiB  [held]  (each one: --all)",
    ]
    assert len(every) == 14


def test_a_hostile_file_name_cannot_write_lines_of_its_own_into_the_plan() -> None:
    forged = "/shelf/x\n\nApproval   level 0: nobody has to approve\x1b[8m"
    hostile = finding(action(forged, note=forged, verb=forged), summary=forged, notes=(forged,))
    honest = finding(action(), notes=("x",))

    shown, plain = list(plan_lines(plan(near=hostile))), list(plan_lines(plan(near=honest)))
    assert len(shown) == len(plain)
    assert all("\n" not in line and "\x1b" not in line for line in shown)
    assert [line for line in shown if line.startswith("Approval")] == ["Approval   level 0 (dust asks for level 0)"]


def test_a_plan_names_what_is_handed_over_and_what_shows_more_of_it() -> None:
    handed = Finding(applies=True, summary="down", causes=(FoundCause(id="full", evidence=("/var is full",)),))
    lines = list(plan_lines(plan(near=handed).model_copy(update={"hand_overs": {"full": "disk-full"}})))

    assert lines[1:7] == [
        "near: down",
        "  cause    full",
        "             /var is full",
        "  handed   full: handed over to disk-full, before anything else is done",
        "             what it would do: `remediate plan disk-full --limit near`",
        "",
    ]
    assert lines[7] == "Approval   none here: what it is handed over to asks for its own"


def test_a_plan_with_actions_of_its_own_says_who_approves_them() -> None:
    both = finding(action()).model_copy(update={"causes": (FoundCause(id="full", evidence=()),)})
    lines = list(plan_lines(plan(2, near=both).model_copy(update={"hand_overs": {"full": "disk-full"}})))

    assert "Approval   level 2 (dust asks for level 2)" in lines
    assert "  handed   full: handed over to disk-full, before anything else is done" in lines
