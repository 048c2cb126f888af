"""Dispatchers as processes: killed at the worst moment, and two of them at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from pytest_httpserver import HTTPServer

from remediate.adapters.notify import channels
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.catalog.settings import read_settings
from remediate.domain.people import People
from remediate.engine.dispatch import LEASE, Dispatcher
from remediate.errors import RemediateError
from remediate.testing import EPOCH, FrozenClock
from tests.builders import notice
from tests.integration.notify.receivers import mail_server

WORKER = Path(__file__).with_name("worker.py")
ROOT = Path(__file__).parents[3]
PEOPLE = "version: 1\npeople:\n  omar: {name: Omar, email: omar@example.org}\nchannels:\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def database(state: Path) -> Iterator[Database]:
    opened = open_database(state)
    yield opened
    opened.dispose()


def site(directory: Path, channel: str) -> Path:
    (directory / "remediate.yml").write_text(PEOPLE + channel)
    return directory


def worker(state: Path, site: Path, work: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, state, site, work],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_after_sending(state: Path, site: Path) -> None:
    with worker(state, site, "die") as dying:
        _, said = dying.communicate("go\n", timeout=60)
    assert dying.returncode == -signal.SIGKILL, said


def next_dispatcher(database: Database, site: Path, after: timedelta) -> int:
    settings, clock = read_settings(site), FrozenClock(EPOCH + after)
    troubles: list[RemediateError] = []
    senders = channels(settings.channels, clock)
    people: People = settings.people
    dispatcher = Dispatcher(DatabaseOutbox(database), senders, settings.routes, people, clock, troubles.append)
    arrived = dispatcher.deliver_due(Event())
    assert troubles == []
    return arrived


def test_mail_of_a_dispatcher_that_was_killed_is_recognised_when_it_comes_again(
    database: Database, state: Path, tmp_path: Path
) -> None:
    DatabaseOutbox(database).put([notice()])
    with mail_server(None) as mailbox:
        mail = f"  mail: {{kind: email, host: localhost, port: {mailbox.port}, security: none, from: r@example.org}}\n"
        here = site(tmp_path, mail)
        killed_after_sending(state, here)
        in_between = next_dispatcher(database, here, LEASE - timedelta(seconds=1))
        arrived = next_dispatcher(database, here, LEASE)

    (kept,) = DatabaseOutbox(database).notices()
    assert (in_between, arrived) == (0, 1)
    assert (kept.attempts, kept.delivered_at) == (2, EPOCH + LEASE)
    assert [message["Message-ID"] for message in mailbox.messages] == [f"<{kept.delivery_id}@example.org>"] * 2
    assert mailbox.raw[0] == mailbox.raw[1]


def test_a_webhook_of_a_dispatcher_that_was_killed_carries_the_same_delivery_when_it_comes_again(
    database: Database, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s")
    DatabaseOutbox(database).put([notice("run-1/asked-1/omar/hook")])
    with HTTPServer("127.0.0.1") as server:
        server.expect_request("/").respond_with_data("")
        url = server.url_for("/")
        hook = f"  hook: {{kind: webhook, url: '{url}', secret: 'env:HOOK_SECRET', allow_private: true}}\n"
        here = site(tmp_path, hook)
        killed_after_sending(state, here)
        arrived = next_dispatcher(database, here, LEASE)
        requests = [request for request, _ in server.log]

    (kept,) = DatabaseOutbox(database).notices()
    assert (arrived, kept.attempts) == (1, 2)
    assert [request.headers["X-Remediate-Delivery"] for request in requests] == [kept.delivery_id] * 2
    assert requests[0].data == requests[1].data


def test_two_dispatchers_on_one_record_never_send_one_notice_twice(
    database: Database, state: Path, tmp_path: Path
) -> None:
    keys = {f"run-{number}/asked-1/omar/{channel}" for number in range(40) for channel in ("mail", "hook")}
    DatabaseOutbox(database).put([notice(key) for key in sorted(keys)])
    here = site(tmp_path, "  mail: {kind: email, host: localhost, security: none, from: r@example.org}\n")
    workers = [worker(state, here, "deliver") for _ in range(2)]
    for one in workers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in workers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=120) for one in workers]
    sent = [key for output, _ in said for key in output.split()]

    assert [errors for _, errors in said] == ["", ""]
    assert (len(sent), set(sent)) == (80, keys)
    assert all(kept.attempts == 1 and kept.delivered_at for kept in DatabaseOutbox(database).notices())
