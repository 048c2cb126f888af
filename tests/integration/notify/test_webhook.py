"""The webhook against real servers on loopback: what they can prove, what is refused, where nothing is ever sent."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from remediate.adapters.notify import channels, webhook
from remediate.adapters.notify.target import forbidden
from remediate.catalog.channels import WebhookChannel
from remediate.errors import DeliveryFailed
from remediate.testing import EPOCH, FrozenClock
from tests.builders import notice, person
from tests.integration.notify.receivers import Authority, answering, authority

SECRET = "hook/secret+1"  # noqa: S105  # of this test


class Receiver:
    """A server of somebody who takes notices."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.clock = FrozenClock()

    @property
    def requests(self) -> list[Request]:
        return [request for request, _ in self.server.log]

    def answers(self, status: int, body: str | bytes = "", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.server.expect_request("/hook").respond_with_data(body, status, headers=named)

    def send(self, **changes: Any) -> None:
        url = self.server.url_for("/hook?team=1")
        values = {"kind": "webhook", "url": url, "secret": "env:HOOK_SECRET", "allow_private": True, **changes}
        settings = WebhookChannel.model_validate(values)
        channels({"hook": settings}, self.clock)["hook"].send(notice(), person("omar", chat="@omar"))

    def failure(self, **changes: Any) -> DeliveryFailed:
        with pytest.raises(DeliveryFailed) as failed:
            self.send(**changes)
        return failed.value


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


@pytest.fixture(scope="module")
def server() -> Iterator[HTTPServer]:
    with HTTPServer("127.0.0.1") as running:
        yield running


@pytest.fixture
def receiver(server: HTTPServer) -> Receiver:
    server.clear()
    return Receiver(server)


def hmac_by_hand(key: bytes, message: bytes) -> str:
    """Compute HMAC-SHA256 as RFC 2104 writes it, with nothing of the program."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()


def test_the_receiver_can_prove_who_sent_it_when_and_that_it_is_whole(receiver: Receiver) -> None:
    receiver.answers(204)
    receiver.send()
    (request,) = receiver.requests
    timestamp = request.headers["X-Remediate-Timestamp"]

    assert timestamp == str(int(EPOCH.timestamp()))
    assert request.headers["X-Remediate-Signature"] == "v1=" + hmac_by_hand(
        SECRET.encode(), timestamp.encode() + b"." + request.data
    )
    assert request.headers["X-Remediate-Delivery"] == notice().delivery_id
    assert (request.method, request.full_path, request.content_type) == ("POST", "/hook?team=1", "application/json")
    assert request.headers["Host"] == f"127.0.0.1:{receiver.server.port}"


def test_the_body_says_everything_for_machines(receiver: Receiver) -> None:
    receiver.answers(200)
    receiver.send()

    assert json.loads(receiver.requests[0].data) == {
        "version": 1,
        "delivery": notice().delivery_id,
        "key": "run-1/asked-1/omar/mail",
        "created_at": EPOCH.isoformat(),
        "person": {
            "id": "omar",
            "name": "Omar",
            "email": "omar@example.org",
            "phone": "",
            "chat": "@omar",
            "level": 1,
        },
        "subject": "Approval wanted",
        "text": "Look at it.",
        "data": {},
    }


def test_a_second_attempt_is_the_same_delivery_with_a_signature_of_its_own(receiver: Receiver) -> None:
    receiver.answers(200)
    receiver.send()
    receiver.clock.fast_forward(timedelta(minutes=2))
    receiver.send()
    first, second = receiver.requests

    assert first.data == second.data
    assert first.headers["X-Remediate-Delivery"] == second.headers["X-Remediate-Delivery"]
    assert first.headers["X-Remediate-Signature"] != second.headers["X-Remediate-Signature"]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_answer_of_success_is_a_delivery(receiver: Receiver, status: int) -> None:
    receiver.answers(status)
    receiver.send()

    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        (400, True), (401, True), (403, True), (404, True), (410, True), (413, True), (422, True),
        (408, False), (425, False), (429, False), (500, False), (502, False), (503, False), (504, False),
    ],
)  # fmt: skip
def test_what_cannot_pass_later_is_permanent(receiver: Receiver, status: int, permanent: bool) -> None:
    receiver.answers(status, "because\r\n\x1b[31m of it")
    refused = receiver.failure()

    assert refused.permanent is permanent
    unprintable = "\N{REPLACEMENT CHARACTER}"
    assert refused.message == f"the receiver answered {status} because{unprintable * 3}[31m of it"


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta(0)),
        ("Mon, 05 Jan 2026 03:10:00 GMT", timedelta(minutes=10)),
        ("Mon, 05 Jan 2026 02:00:00 GMT", timedelta(0)),
        ("99999999999999999999", timedelta(seconds=999999)),
        ("-5", None),
        ("soon", None),
        ("\u00b2", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_time_is_understood(
    receiver: Receiver, status: int, header: str, wait: timedelta | None
) -> None:
    receiver.answers(status, Retry_After=header)

    assert receiver.failure().wait == wait


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    elsewhere = receiver.server.url_for("/metadata")
    receiver.answers(status, Location=elsewhere if status == 301 else "http://169.254.169.254/latest/meta-data/")
    receiver.server.expect_request("/metadata").respond_with_data("secrets")
    refused = receiver.failure()

    assert refused.permanent is True
    assert "redirects are not followed" in refused.message
    assert [request.path for request in receiver.requests] == ["/hook"]


def test_this_machine_is_no_target_unless_that_is_allowed(receiver: Receiver) -> None:
    receiver.answers(200)
    url = f"https://localhost:{receiver.server.port}/hook"
    refused = receiver.failure(url=url, allow_private=False)

    assert (refused.permanent, receiver.requests) == (True, [])
    assert "which is this machine or a private network; nothing was sent there" in refused.message


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%eth0", "224.0.0.1", "ff02::1", "0.0.0.0", "::",  # noqa: S104  # nothing is bound
     "240.0.0.1", "fd00:ec2::254",
     "100.100.100.200", "168.63.129.16", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"],
)  # fmt: skip
def test_link_local_and_reserved_addresses_are_never_a_target(address: str) -> None:
    assert forbidden(address, private=False)
    assert forbidden(address, private=True)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1",
     "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "192.0.2.1"],
)  # fmt: skip
def test_networks_of_ones_own_are_a_target_only_where_that_is_allowed(address: str) -> None:
    assert forbidden(address, private=False)
    assert forbidden(address, private=True) == ""


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_a_target(address: str) -> None:
    assert forbidden(address, private=False) == ""


def looked_up(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let a name lead to these addresses, one answer for each time that somebody asks; return what was asked."""
    real = socket.getaddrinfo
    asked: list[str] = []
    remaining = list(answers)

    def getaddrinfo(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host[0].isdigit():
            return real(host, port, *rest, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in remaining.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_leads_inside_by_one_of_its_addresses_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up(monkeypatch, ["1.1.1.1", "10.0.0.7"])
    refused = receiver.failure(url="https://hooks.example.org/hook", allow_private=False)

    assert refused.message.startswith("hooks.example.org leads to 10.0.0.7, which is this machine or a private network")


def test_a_name_is_looked_up_once_so_it_cannot_lead_elsewhere_after_it_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = looked_up(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    receiver.answers(200)
    receiver.send(url=f"http://hooks.example.org:{receiver.server.port}/hook")

    assert asked == ["hooks.example.org"]
    assert receiver.requests[0].headers["Host"] == f"hooks.example.org:{receiver.server.port}"


def test_the_next_address_is_tried_when_one_does_not_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    receiver.answers(200)
    receiver.send(url=f"http://hooks.example.org:{receiver.server.port}/hook")

    assert len(receiver.requests) == 1


def test_a_name_that_leads_nowhere_is_tried_again(receiver: Receiver) -> None:
    refused = receiver.failure(url="https://nowhere.invalid/hook")

    assert (refused.permanent, refused.message.startswith("nowhere.invalid could not be talked to")) == (False, True)


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return authority(tmp_path / "trusted")


def over_tls(context: ssl.SSLContext) -> HTTPServer:
    return HTTPServer("127.0.0.1", ssl_context=context)


def test_a_notice_is_posted_over_tls(trusted: Authority) -> None:
    with over_tls(trusted.context) as server:
        receiver = Receiver(server)
        receiver.answers(200)
        receiver.send(url=f"https://localhost:{server.port}/hook", ca_file=str(trusted.ca_file))

        assert len(receiver.requests) == 1


def test_a_certificate_that_nobody_vouches_for_or_for_another_name_is_refused(
    trusted: Authority, tmp_path: Path
) -> None:
    stranger, other = authority(tmp_path / "stranger"), authority(tmp_path / "other", "hooks.example.org")
    said = []
    for presented, vouched in ((stranger, trusted), (other, other)):
        with over_tls(presented.context) as server:
            receiver = Receiver(server)
            receiver.answers(200)
            refused = receiver.failure(url=f"https://localhost:{server.port}/hook", ca_file=str(vouched.ca_file))
            said.append((refused.permanent, len(receiver.requests), refused.message))

    assert [one[:2] for one in said] == [(False, 0), (False, 0)]
    assert "CERTIFICATE_VERIFY_FAILED" in said[0][2]
    assert "Hostname mismatch" in said[1][2]


def test_a_secret_that_is_missing_is_told_and_nothing_is_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    refused = receiver.failure()

    assert (refused.message, refused.permanent, receiver.requests) == (
        "The secret env:HOOK_SECRET is not set.",
        False,
        [],
    )


def test_of_a_huge_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answers(500, b"x" * 20_000_000)
    refused = receiver.failure()

    assert len(refused.message) < 300


def test_a_server_that_hangs_or_drips_is_hung_up_on(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_DEADLINE", 0.3)
    with answering() as port:
        silent = receiver.failure(url=f"http://localhost:{port}/hook")
    with answering(forever=b"HTTP/1.1 ", pause=0.01) as port:
        dripping = receiver.failure(url=f"http://localhost:{port}/hook")

    assert [refused.permanent for refused in (silent, dripping)] == [False, False]


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_a_server_that_talks_something_else_is_tried_again(receiver: Receiver, answer: bytes) -> None:
    with answering(answer) as port:
        refused = receiver.failure(url=f"http://localhost:{port}/hook", timeout="1s")

    assert refused.permanent is False


def test_a_receiver_that_fails_in_the_middle_is_tried_again(receiver: Receiver) -> None:
    def broken(_: Request) -> Response:
        raise RuntimeError("broken")

    receiver.server.expect_request("/hook").respond_with_handler(broken)

    assert receiver.failure().permanent is False
    receiver.server.clear_handler_errors()
