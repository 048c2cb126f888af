from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from remediate.catalog.channels import EmailChannel, WebhookChannel
from remediate.catalog.settings import Settings, read_settings
from remediate.domain.runbook import Severity
from remediate.errors import InvalidDocument

PEOPLE = """\
version: 1
people:
  omar: {name: Omar, email: omar@example.org}
"""
BOTH = """\
channels:
  mail: {kind: email, host: mail.example.org, from: remediate@example.org}
  team:
    kind: webhook
    url: https://hooks.example.org/in?team=1
    secret: env:HOOK_SECRET
    people: [omar]
"""


def settings(directory: Path, text: str) -> Settings:
    (directory / "remediate.yml").write_text(PEOPLE + text)
    return read_settings(directory, {})


def problems(directory: Path, text: str) -> list[str]:
    with pytest.raises(InvalidDocument) as refused:
        settings(directory, text)
    return [line.removeprefix(f"{directory}/remediate.yml:") for line in refused.value.message.split("\n  ")[1:]]


def test_channels_are_read_with_safe_defaults(tmp_path: Path) -> None:
    mail, team = settings(tmp_path, BOTH).channels.values()

    assert isinstance(mail, EmailChannel)
    assert (mail.port, mail.security, mail.verify, mail.timeout) == (587, "starttls", True, timedelta(seconds=10))
    assert isinstance(team, WebhookChannel)
    assert (team.allow_private, team.secret, team.people) == (False, "env:HOOK_SECRET", ("omar",))


def test_by_default_the_lower_severities_are_told_by_e_mail_only(tmp_path: Path) -> None:
    routes = settings(tmp_path, BOTH).routes

    assert {severity.value: names for severity, names in routes.by_severity.items()} == {
        "SEV1": ("mail", "team"),
        "SEV2": ("mail", "team"),
        "SEV3": ("mail",),
        "SEV4": ("mail",),
    }
    assert (routes.by_channel["mail"].needs, routes.by_channel["team"].needs) == ("email", "")


def test_what_a_severity_uses_can_be_said_for_each(tmp_path: Path) -> None:
    routes = settings(tmp_path, BOTH + "notify: {SEV4: [team]}\n").routes

    assert (routes.by_severity[Severity.SEV4], routes.by_severity[Severity.SEV3]) == (("team",), ("mail",))


def test_a_site_without_channels_tells_nobody(tmp_path: Path) -> None:
    assert settings(tmp_path, "").routes.by_channel == {}


def test_every_problem_is_told_at_once_at_its_line(tmp_path: Path) -> None:
    text = """\
channels:
  mail:
    kind: email
    from: not an address
    timeout: 5m
    password: hunter2
  team:
    kind: webhook
    url: https://x.example.org/
    secret: env:A
    people: [omar, zoe]
  Fax: {kind: webhook, url: https://x.example.org/, secret: env:A}
  pigeon:
    kind: pigeon
"""
    found = problems(tmp_path, text)

    assert [line.partition(": ")[0] for line in found] == ["8", "5", "7", "9", "15", "16"]
    assert found[1] == "5: channels.mail.host: is missing"
    assert found[3].startswith(
        "9: channels.mail.password: a reference such as env:NAME or file:/absolute/path is wanted"
    )
    assert found[4].startswith("15: channels.Fax")
    assert not any("hunter2" in line for line in found)


def test_names_that_nothing_has_are_told_with_the_line_where_they_stand(tmp_path: Path) -> None:
    text = BOTH.replace("[omar]", "[omar, zoe]") + "notify:\n  SEV1: [mail, fax]\n  SEV2: []\n"

    assert problems(tmp_path, text) == [
        "10: channels.team.people.1: there is no person 'zoe'",
        "12: notify.SEV1.1: there is no channel 'fax'",
        "13: notify.SEV2: at least one channel is wanted",
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("security: none", "mail leaves this machine over TLS only"),
        ("username: omar", "username and password belong together"),
        ("password: env:P", "username and password belong together"),
        ("username: omar, password: env:P, verify: false", "a password is not sent to a server whose certificate"),
        ("timeout: 11s", "10s is the longest"),
        ("ca_file: ca.pem", "string should match pattern"),
        ('host: "a b"', "string should match pattern"),
        ('from: "a@b.c\\nBcc: x@y.z"', "string should match pattern"),
    ],
)
def test_mail_that_would_not_be_safe_is_refused_at_the_line_of_the_channel(
    tmp_path: Path, change: str, what: str
) -> None:
    fields = dict(entry.split(": ", 1) for entry in ("host: mail.example.org", "from: a@b.c", *change.split(", ")))
    listed = ", ".join(f"{name}: {value}" for name, value in fields.items())
    (found,) = problems(tmp_path, f"channels:\n  mail: {{kind: email, {listed}}}\n")

    assert found.startswith("5: channels.mail")
    assert what in found


def test_mail_to_this_machine_needs_no_tls(tmp_path: Path) -> None:
    text = "channels:\n  mail: {kind: email, host: localhost, port: 25, security: none, from: a@b.c}\n"

    assert list(settings(tmp_path, text).channels) == ["mail"]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://hooks.example.org/", ""),
        ("ftp://hooks.example.org/", ", allow_private: true"),
        ("https://", ""),
        ("https:///path", ""),
        ("https://user:pw@hooks.example.org/", ""),
        ("https://hooks.example.org:0/", ""),
        ("https://hooks.example.org:99999/", ""),
        ("https://hooks.example.org/#x", ""),
        ("https://hooks.example.org/ x", ""),
        ("https://h\\u00fcks.example.org/", ""),
        ("https://hooks.example.org/\\r\\nHost: x", ""),
    ],
)
def test_a_url_that_is_not_one_to_post_to_is_refused(tmp_path: Path, url: str, more: str) -> None:
    (found,) = problems(
        tmp_path, f'channels:\n  team: {{kind: webhook, url: "{url}", secret: "file:/etc/remediate/hook"{more}}}\n'
    )

    assert found.startswith("5: channels.team: ")


def test_http_is_for_networks_of_ones_own(tmp_path: Path) -> None:
    text = "channels:\n  team: {kind: webhook, url: 'http://10.0.0.1:81/', secret: env:S, allow_private: true}\n"

    assert list(settings(tmp_path, text).channels) == ["team"]
