"""`pause`, `resume` and `storm`, typed."""

from __future__ import annotations

import getpass
import json

from tests.integration.local import LocalSite


def test_a_site_is_paused_shown_and_resumed(local: LocalSite) -> None:
    paused = local.command("pause", "--reason", "the rack is on fire")
    shown = local.command("storm")
    document = json.loads(local.command("storm", "--json").stdout)
    lifted = local.command("resume", "--reason", "it is out")
    again = local.command("resume", "--reason", "it is out")

    assert paused.stdout.splitlines() == [
        "PAUSED  the rack is on fire",
        "  0 run(s) are changing hosts now and go on to their end",
        "  0 run(s) look or wait, and are refused before they change anything",
        "  next     remediate resume --reason TEXT",
    ]
    assert shown.stdout.startswith(f"Pause      ON by {getpass.getuser()} since ")
    assert (document["pause"]["on"], document["pause"]["reason"]) == (True, "the rack is on fire")
    assert lifted.stdout.startswith(f"RESUMED  paused by {getpass.getuser()} since ")
    assert again.stdout == "The site is not paused; nothing was changed.\n"
    assert [done.returncode for done in (paused, shown, lifted, again)] == [0, 0, 0, 0]


def test_a_breaker_that_is_not_open_is_left_alone_and_an_unknown_runbook_is_refused(local: LocalSite) -> None:
    left = local.command("resume", "--breaker", "stray-file", "--reason", "x")
    unknown = local.command("resume", "--breaker", "stray-flie", "--reason", "x")

    assert left.stdout == "The breaker of stray-file is not open: 0 end(s) without a cure; nothing was changed.\n"
    assert unknown.returncode == 2
    assert "did you mean stray-file?" in unknown.stderr


def test_no_switch_is_pressed_without_a_reason(local: LocalSite) -> None:
    for arguments in (["pause"], ["pause", "--reason", " "], ["resume", "--reason", " "], ["resume"]):
        assert local.command(*arguments).returncode == 2

    assert local.command("storm").stdout.startswith("Pause      -")
