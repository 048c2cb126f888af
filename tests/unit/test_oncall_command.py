from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine

from remediate import bootstrap
from remediate.interfaces.cli.main import main

#: Wednesday in the last week before the clock goes forward in Berlin.
NOW = "2026-03-25T10:00:00Z"
SITE = """\
version: 1
state: state
people:
  nadia: {name: Nadia Petrova, email: nadia@example.org, phone: "+49 30 1234567", chat: "@nadia", level: 1,
    os_users: [nadia]}
  omar: {name: Omar Haddad, chat: "@omar", level: 1}
  lee: {name: Lee, chat: "@lee", level: 2}
  max: {name: Max, chat: "@max", level: 3}
on_call:
  time_zone: Europe/Berlin
  start: 2026-03-23
  order: [nadia, omar]
"""
ABSENT = """\
  absences:
    - {person: omar, from: 2026-03-25 08:00, to: 2026-03-26 08:00}
    - {person: max, from: 2026-03-25 08:00, to: 2026-03-26 08:00}
"""

#: Runs a command; returns its exit code and what it printed, as lines, refusals included.
Command = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "remediate.yml").write_text(SITE)
    return tmp_path


@pytest.fixture
def command(site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("REMEDIATE_STATE", raising=False)
    monkeypatch.setattr(bootstrap, "os_user", lambda: "nadia")

    def run(*arguments: str) -> tuple[int, list[str]]:
        with time_machine.travel(NOW, tick=False), pytest.raises(SystemExit) as end:
            main(["--site", str(site), "oncall", *arguments])
        said = capsys.readouterr()
        return (int(end.value.code or 0), (said.out + said.err).splitlines())

    return run


def test_who_is_on_call_is_told_with_how_they_are_reached_and_who_is_asked_next(command: Command) -> None:
    assert command() == (
        0,
        [
            "On call at Wed 2026-03-25 11:00 CET, by the order",
            "Primary    Nadia Petrova (nadia), until Mon 2026-03-30 09:00 CEST",
            "           email nadia@example.org, phone +49 30 1234567, chat @nadia",
            "Secondary  Omar Haddad (omar)",
            "           chat @omar",
            "Level 2    Lee (lee)",
            "           chat @lee",
            "Level 3    Max (max)",
            "           chat @max",
            "Level 4    nobody: no person in remediate.yml has this level",
        ],
    )
    assert command("now") == command()


def test_who_is_absent_is_not_named_and_a_gap_is_told(site: Path, command: Command) -> None:
    (site / "remediate.yml").write_text(SITE + ABSENT)
    _, said = command()

    assert said[0] == "On call at Wed 2026-03-25 11:00 CET, omar is absent"
    assert said[3] == "Secondary  nobody"
    assert "Level 3    nobody: everybody of this level is absent" in said


def test_the_same_for_machines(command: Command) -> None:
    code, said = command("--json")

    assert code == 0
    assert json.loads("\n".join(said)) == {
        "at": "2026-03-25T10:00:00+00:00",
        "primary": "nadia",
        "secondary": "omar",
        "since": "2026-03-23T08:00:00Z",
        "until": "2026-03-30T07:00:00Z",
        "reason": "by the order",
        "levels": {
            "1": [
                {
                    "id": "nadia",
                    "name": "Nadia Petrova",
                    "email": "nadia@example.org",
                    "phone": "+49 30 1234567",
                    "chat": "@nadia",
                },
                {"id": "omar", "name": "Omar Haddad", "chat": "@omar"},
            ],
            "2": [{"id": "lee", "name": "Lee", "chat": "@lee"}],
            "3": [{"id": "max", "name": "Max", "chat": "@max"}],
            "4": [],
        },
        "levels_without_anybody": [4],
    }


def test_the_next_weeks_are_told_with_their_true_length(command: Command) -> None:
    assert command("next", "--weeks", "1") == (
        0,
        [
            "Mon 2026-03-23 09:00 CET  to Mon 2026-03-30 09:00 CEST    167 h  nadia, then omar      by the order",
            "Mon 2026-03-30 09:00 CEST to Mon 2026-04-06 09:00 CEST    168 h  omar, then nadia      by the order",
        ],
    )
    code, said = command("next", "--weeks", "1", "--json")
    assert (code, [shift["primary"] for shift in json.loads("\n".join(said))]) == (0, ["nadia", "omar"])


def test_the_hand_over_is_read_from_the_record_of_the_site(site: Path, command: Command) -> None:
    code, said = command("handover")

    assert (code, said[0]) == (0, "Hand-over at Wed 2026-03-25 11:00 CET, with what was since Mon 2026-03-23 09:00 CET")
    assert "  [ok]   open incidents: none" in said
    assert "  [LOOK] escalation: nobody is there at level 4" in said
    assert "  [?]    failed backups: no backup is recorded: nothing here makes or watches backups yet" in said
    assert (site / "state" / "remediate.db").exists()

    code, said = command("handover", "--json")
    assert (code, json.loads("\n".join(said))["since"]) == (0, "2026-03-23T08:00:00Z")


def test_who_is_on_call_is_told_even_when_the_record_cannot_be_used(site: Path, command: Command) -> None:
    (site / "state").write_text("no directory")

    assert command("now")[0] == command("next")[0] == command("ics")[0] == 0
    assert command("handover")[0] == 2


def test_the_calendar_is_printed_or_written_whole(site: Path, command: Command) -> None:
    code, printed = command("ics", "--weeks", "1")
    assert (code, printed[0], printed[-1], printed.count("BEGIN:VEVENT")) == (0, "BEGIN:VCALENDAR", "END:VCALENDAR", 2)

    target = site / "oncall.ics"
    target.write_text("what was there before")
    assert command("ics", "--weeks", "1", "--output", str(target)) == (0, [f"Wrote 2 shifts to {target}."])
    assert target.read_text().splitlines() == printed
    assert sorted(path.name for path in site.iterdir()) == ["oncall.ics", "remediate.yml"]


def test_a_calendar_that_cannot_be_written_is_refused(site: Path, command: Command) -> None:
    target = site / "remediate.yml" / "oncall.ics"

    assert command("ics", "--output", str(target)) == (
        2,
        [f"remediate: {target} cannot be written: Not a directory.", "  next: name another file"],
    )


@pytest.mark.parametrize("subcommand", [[], ["now"], ["next"], ["handover"], ["ics"]])
def test_a_site_without_a_rotation_is_told_what_to_add(site: Path, command: Command, subcommand: list[str]) -> None:
    (site / "remediate.yml").write_text("version: 1\nstate: state\n")

    assert command(*subcommand) == (
        2,
        [
            f"remediate: Nobody is on call: {site}/remediate.yml has no `on_call:`.",
            "  next: add `people:` and `on_call:` to it, as docs/how-to/on-call.md shows",
        ],
    )


def test_a_hostile_reason_is_printed_harmlessly(site: Path, command: Command) -> None:
    override = "{from: 2026-03-25 08:00, to: 2026-03-26 08:00, person: lee, as: primary, reason: 'a\u00a0b'}"
    (site / "remediate.yml").write_text(f"{SITE}  overrides:\n    - {override}\n")

    assert command() == (
        2,
        [
            "remediate: remediate.yml cannot be used:",
            f"  {site}/remediate.yml:14: on_call.overrides.0.reason: one line of plain text is wanted",
            "  next: correct the lines named above and repeat",
        ],
    )
