"""`remediate notify` as a person types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from remediate.adapters.os_user import os_user
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.testing import EPOCH
from tests.builders import notice, run
from tests.integration.local import LocalSite
from tests.integration.notify.receivers import Mailbox, mail_server

SETTINGS = """\
version: 1
inventory: inventory
people:
  omar: {{name: Omar, email: omar@example.org, os_users: [{user}], roles: [operator, auditor]}}
  nadia: {{name: Nadia, email: nadia@example.org}}
channels:
  mail: {{kind: email, host: localhost, port: {mail}, security: none, from: remediate@example.org}}
  team: {{kind: webhook, url: "{hook}", secret: "file:{secret}", allow_private: true, people: [omar]}}
"""


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server(None) as server:
        yield server


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    with HTTPServer("127.0.0.1") as server:
        server.expect_request("/ok").respond_with_data("")
        server.expect_request("/gone").respond_with_data("moved away\r\nreally", 410)
        yield server


@pytest.fixture
def local(tmp_path: Path, mailbox: Mailbox, hook: HTTPServer) -> LocalSite:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    site = LocalSite(tmp_path)
    site.path = tmp_path / "site"
    (site.path / "inventory").mkdir(parents=True)
    settings = SETTINGS.format(user=os_user(), mail=mailbox.port, hook=hook.url_for("/ok"), secret=secret)
    (site.path / "remediate.yml").write_text(settings)
    return site


def move_hook(local: LocalSite) -> None:
    file = local.path / "remediate.yml"
    file.write_text(file.read_text().replace("/ok", "/gone"))


def test_a_test_reaches_a_person_over_every_channel_and_says_so(
    local: LocalSite, mailbox: Mailbox, hook: HTTPServer
) -> None:
    ended = local.command("notify", "test", "--person", "omar")
    lines = ended.stdout.splitlines()

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split()[:3] for line in lines] == [["mail", "omar", "delivered"], ["team", "omar", "delivered"]]
    assert [message["Subject"] for message in mailbox.messages] == ["Test of remediate: no action is needed"]
    assert len(hook.log) == 1


def test_a_test_that_does_not_arrive_ends_with_6_and_says_why(local: LocalSite, mailbox: Mailbox) -> None:
    move_hook(local)
    ended = local.command("notify", "test", "--person", "omar", "--json")
    found = {one["channel"]: one for one in json.loads(ended.stdout)}

    assert ended.returncode == 6
    assert found["mail"]["delivered_at"]
    assert found["team"]["last_error"].startswith("the receiver answered 410 moved away")
    assert len(mailbox.messages) == 1


def test_a_test_of_everybody_over_one_channel_leaves_the_others_alone(
    local: LocalSite, mailbox: Mailbox, hook: HTTPServer
) -> None:
    ended = local.command("notify", "test", "--everybody", "--channel", "mail")

    assert ended.returncode == 0
    assert sorted(message["To"] for message in mailbox.messages) == ["nadia@example.org", "omar@example.org"]
    assert hook.log == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--person", "zoe"), "There is no person 'zoe'."),
        (("--person", "omar", "--channel", "fax"), "There is no channel 'fax'."),
        (("--person", "nadia", "--channel", "team"), "No channel 'team' reaches nadia; nothing was sent."),
    ],
)
def test_what_cannot_be_tested_is_refused_with_what_to_type(
    local: LocalSite, mailbox: Mailbox, arguments: tuple[str, ...], said: str
) -> None:
    refused = local.command("notify", "test", *arguments)

    assert (refused.returncode, mailbox.messages) == (2, [])
    assert said in refused.stderr
    assert "\n  next: " in refused.stderr


def test_the_list_says_what_was_sent_when_how_often_and_what_failed(local: LocalSite) -> None:
    database = open_database(local.state)
    DatabaseStore(database).create_run(run())
    outbox = DatabaseOutbox(database)
    key = f"{run().id}/asked-1/omar"
    outbox.put([notice(f"{key}/mail"), notice(f"{key}/team", subject="a\x1b[31mb"), notice("run-2/asked-1/omar/mail")])
    sent = outbox.claim("mail", EPOCH, lease=EPOCH - EPOCH)[0]
    outbox.delivered(sent, EPOCH)
    failed = outbox.claim("team", EPOCH, lease=EPOCH - EPOCH)[0]
    outbox.failed(failed, "410 gone", again_at=None, now=EPOCH)
    database.dispose()
    listed = local.command("notify", "list", "--run", run().id[-4:])
    everything = json.loads(local.command("notify", "list", "--json").stdout)

    assert listed.returncode == 0
    assert listed.stdout.splitlines() == [
        f"2026-01-05 03:00:00Z  {key}/mail",
        "  Approval wanted",
        "  delivered 2026-01-05 03:00:00Z after 0 s, 1 attempt",
        f"2026-01-05 03:00:00Z  {key}/team",
        "  a\N{REPLACEMENT CHARACTER}[31mb",
        "  NOT DELIVERED, 1 attempt: 410 gone",
    ]
    assert len(everything) == 3


def test_before_anything_was_sent_the_list_says_so_and_an_unknown_run_is_refused(local: LocalSite) -> None:
    assert local.command("notify", "list").stdout == "Nothing was sent yet.\n"
    assert local.command("notify", "list", "--run", "nothing").returncode == 2
