from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.host import Trouble, explain, unknown_hosts

KNOWN = ("web1", "web2", "db.example.org", "backup_host")


@pytest.mark.parametrize("name", KNOWN)
def test_a_host_is_known_by_its_exact_name(name: str) -> None:
    assert unknown_hosts([name], KNOWN) == ()


@pytest.mark.parametrize(
    "name",
    [
        "all",
        "*",
        "web*",
        "!web1",
        "web1,web2",
        "web1:web2",
        "web[1:2]",
        "~.*",
        "~web.",
        "@/etc/passwd",
        "&web1",
        "",
        " web1",
        "web1\n",
        "web1;reboot",
        "$(reboot)",
        "{{ groups['all'][0] }}",
        "::1",
        "-web1",
        "web1/../web2",
        "wéb1",
        "web1\x00",
    ],
)
def test_a_pattern_is_refused_as_one(name: str) -> None:
    assert unknown_hosts([name], KNOWN) == (
        f"{name!r} is a pattern, or no plain host name; hosts are named one by one",
    )


@pytest.mark.parametrize("name", ["localhost", "WEB1", "web1.", "web", "db.example.orga", "127.0.0.1", "ungrouped"])
def test_a_name_that_is_not_exactly_in_the_inventory_is_unknown(name: str) -> None:
    (problem,) = unknown_hosts([name], KNOWN)

    assert problem.startswith(f"{name!r} is not a host of the inventory")


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    assert unknown_hosts(["wbe1"], KNOWN) == ("'wbe1' is not a host of the inventory (did you mean 'web1'?)",)


def test_all_problems_are_told_at_once_and_known_hosts_are_not_among_them() -> None:
    assert len(unknown_hosts(["web1", "web*", "nothing", "web2"], KNOWN)) == 2


def test_a_hostile_name_is_refused_even_when_the_inventory_holds_it() -> None:
    assert unknown_hosts(["web*", "a b"], ["web*", "a b"]) == (
        "'web*' is a pattern, or no plain host name; hosts are named one by one",
        "'a b' is a pattern, or no plain host name; hosts are named one by one",
    )


@given(st.text(max_size=20))
def test_no_text_but_an_exact_name_is_ever_accepted(name: str) -> None:
    assert (unknown_hosts([name], KNOWN) == ()) is (name in KNOWN)


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (
            "Failed to connect to the host via ssh: @@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @",
            "its SSH host key is not the pinned one: this may be another machine",
        ),
        (
            "No ED25519 host key is known for web1.\nHost key verification failed.",
            "its SSH host key is not the pinned one: this may be another machine",
        ),
        ("ops@web1: Permission denied (publickey).", "SSH refused our key or user"),
        ("Missing sudo password", "the user may not become root with sudo there"),
        ("sudo: a password is required", "the user may not become root with sudo there"),
        ("nosudo is not in the sudoers file.", "the user may not become root with sudo there"),
        ("ssh: connect to host web1 port 22: Connection timed out", "it does not answer on SSH"),
        ("ssh: connect to host web1 port 22: No route to host", "it does not answer on SSH"),
        ("ssh: connect to host web1 port 22: Connection refused", "it does not answer on SSH"),
        ("ssh: Could not resolve hostname web1: Name or service not known", "its name cannot be resolved"),
        ("/bin/sh: 1: /usr/bin/python3: not found", "Python was not found there"),
        ("the disk is on fire\nTraceback ...", "the disk is on fire"),
        ("Validation of arguments failed:\n  missing: path\nmore", "Validation of arguments failed: missing: path"),
        ("", "it failed without a message"),
        ("  \n ", "it failed without a message"),
    ],
)
def test_what_ansible_says_about_a_host_is_told_in_words(message: str, what: str) -> None:
    assert explain(message).what == what


def test_a_known_trouble_comes_with_what_to_do_and_an_unknown_one_stays_short() -> None:
    assert explain("Connection refused") == Trouble(
        what="it does not answer on SSH",
        next_step="is it up? try its console; a dead host is a case for service-outage",
    )
    assert explain("x" * 9999) == Trouble(what="x" * 300, next_step="")
