"""E-mail against a real server on loopback: what arrives, what is refused, and what each refusal means."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from remediate.adapters.notify import channels, email
from remediate.catalog.channels import EmailChannel
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.errors import DeliveryFailed
from remediate.testing import EPOCH, FrozenClock
from tests.builders import notice, person
from tests.integration.notify.receivers import PASSWORD, Authority, Mailbox, answering, authority, mail_server


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return authority(tmp_path / "trusted")


@pytest.fixture
def mailbox(trusted: Authority) -> Iterator[Mailbox]:
    with mail_server(trusted.context) as server:
        yield server


def send(settings: EmailChannel, sent: Notice | None = None, to: Person | None = None) -> None:
    channels({"mail": settings}, FrozenClock())["mail"].send(sent or notice(), to or person("omar"))


def failure(settings: EmailChannel, sent: Notice | None = None, to: Person | None = None) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as failed:
        send(settings, sent, to)
    return failed.value


def log_in(reference: str) -> dict[str, str]:
    return {"username": "omar", "password": reference}


def test_a_notice_arrives_over_starttls_as_a_message_that_answers_itself_to_nobody(
    mailbox: Mailbox, trusted: Authority
) -> None:
    send(mailbox.settings(ca_file=str(trusted.ca_file)), notice(subject="[SEV1] Grüße", body="Line 1\n.\nGrüße"))
    (message,) = mailbox.messages

    assert mailbox.receivers == [["omar@example.org"]]
    assert {name: message[name] for name in ("From", "To", "Subject", "Auto-Submitted")} == {
        "From": "remediate@example.org",
        "To": "omar@example.org",
        "Subject": "[SEV1] Grüße",
        "Auto-Submitted": "auto-generated",
    }
    assert message["Message-ID"] == f"<{notice().delivery_id}@example.org>"
    assert message["Date"].datetime == EPOCH
    assert message.get_content().splitlines() == ["Line 1", ".", "Grüße"]
    assert mailbox.raw[0].isascii()


def test_the_messages_of_one_run_are_one_thread(mailbox: Mailbox, trusted: Authority) -> None:
    settings = mailbox.settings(ca_file=str(trusted.ca_file))
    for key in ("run-1/asked-1/omar/mail", "run-1/rejected-1/omar/mail", "run-2/asked-1/omar/mail"):
        send(settings, notice(key))
    first, second, other = mailbox.messages

    assert first["References"] == second["References"] == first["In-Reply-To"] != other["References"]
    assert len({message["Message-ID"] for message in mailbox.messages}) == 3


def test_a_second_attempt_sends_the_same_bytes(mailbox: Mailbox, trusted: Authority) -> None:
    for attempts in (1, 2):
        send(mailbox.settings(ca_file=str(trusted.ca_file)), notice(attempts=attempts))

    assert len(set(mailbox.raw)) == 1
    assert len(mailbox.raw) == 2


def test_a_notice_arrives_over_tls_from_the_first_byte(trusted: Authority) -> None:
    with mail_server(trusted.context, implicit=True) as mailbox:
        send(mailbox.settings(ca_file=str(trusted.ca_file), security="tls"))

    assert len(mailbox.raw) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(security: str, trusted: Authority, tmp_path: Path) -> None:
    stranger = authority(tmp_path / "stranger")
    with mail_server(stranger.context, implicit=security == "tls") as mailbox:
        ours = failure(mailbox.settings(ca_file=str(trusted.ca_file), security=security))
        systems = failure(mailbox.settings(security=security))

    assert mailbox.raw == []
    assert "CERTIFICATE_VERIFY_FAILED" in ours.message
    assert [refused.permanent for refused in (ours, systems)] == [False, False]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_for_another_name_is_refused(security: str, tmp_path: Path) -> None:
    other = authority(tmp_path / "other", "mail.example.org")
    with mail_server(other.context, implicit=security == "tls") as mailbox:
        refused = failure(mailbox.settings(ca_file=str(other.ca_file), security=security))

    assert mailbox.raw == []
    assert "Hostname mismatch" in refused.message


def test_a_server_that_offers_no_tls_gets_nothing() -> None:
    with mail_server(None) as mailbox:
        refused = failure(mailbox.settings())

    assert (mailbox.raw, refused.permanent) == ([], False)
    assert "STARTTLS" in refused.message


def test_a_server_on_this_machine_may_be_used_without_tls() -> None:
    with mail_server(None) as mailbox:
        send(mailbox.settings(security="none"))

    assert len(mailbox.raw) == 1


def test_a_password_by_reference_logs_in_over_tls_only(trusted: Authority, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    with mail_server(trusted.context, log_in=True) as mailbox:
        send(mailbox.settings(ca_file=str(trusted.ca_file), **log_in(f"file:{secret}")))

    assert (mailbox.log_ins, len(mailbox.raw)) == ([PASSWORD.encode()], 1)


def test_a_wrong_password_is_repaired_by_a_person_so_it_is_tried_again_and_shown_nowhere(
    trusted: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "wrong-wrong")
    with mail_server(trusted.context, log_in=True) as mailbox:
        ca_file = str(trusted.ca_file)
        refused = failure(mailbox.settings(ca_file=ca_file, **log_in("env:MAIL_PASSWORD")))
        anonymous = failure(mailbox.settings(ca_file=ca_file))

    assert refused.message.startswith("the server answered 535 ")
    assert "wrong-wrong" not in refused.message
    assert [one.permanent for one in (refused, anonymous)] == [False, False]


def test_a_secret_that_cannot_be_read_is_told_and_nothing_is_sent(mailbox: Mailbox, trusted: Authority) -> None:
    refused = failure(mailbox.settings(ca_file=str(trusted.ca_file), **log_in("env:NOT_SET")))

    assert (refused.message, refused.permanent, mailbox.raw) == ("The secret env:NOT_SET is not set.", False, [])


@pytest.mark.parametrize(
    ("rcpt", "data", "message", "permanent"),
    [
        ("550 5.1.1 no such user", "", "the server answered 550 5.1.1 no such user", True),
        ("452 4.2.2 mailbox full", "", "the server answered 452 4.2.2 mailbox full", False),
        ("", "554 5.7.1 looks like spam", "the server answered 554 5.7.1 looks like spam", True),
        ("", "451 4.3.0 greylisted", "the server answered 451 4.3.0 greylisted", False),
        ("530 5.7.0 log in first", "", "the server answered 530 5.7.0 log in first", False),
        (
            "550 see https://evil.example/\x1b[31m",
            "",
            "the server answered 550 see https[:]//evil[.]example/\N{REPLACEMENT CHARACTER}[31m",
            True,
        ),
    ],
)
def test_what_the_server_says_of_the_message_decides_whether_it_is_tried_again(
    mailbox: Mailbox, trusted: Authority, rcpt: str, data: str, message: str, permanent: bool
) -> None:
    mailbox.rcpt_answer, mailbox.data_answer = rcpt, data
    refused = failure(mailbox.settings(ca_file=str(trusted.ca_file)))

    assert (refused.message, refused.permanent, mailbox.raw) == (message, permanent, [])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "omar",
        "omar@example.org\r\nRCPT TO:<all@example.org>",
        "omar@example.org, all@example.org",
        "<omar@example.org>",
        "omar@example.org>",
        "omar@exa mple.org",
        "omär@example.org",
        '"a b"@example.org',
        "omar@example.org\x00",
        "omar@-example.org",
    ],
)
def test_what_is_not_one_plain_address_is_refused_for_good(mailbox: Mailbox, trusted: Authority, address: str) -> None:
    refused = failure(mailbox.settings(ca_file=str(trusted.ca_file)), to=person("omar", email=address))

    assert (refused.permanent, mailbox.raw) == (True, [])
    assert "\n" not in refused.message


def test_text_from_outside_adds_no_header_and_no_receiver(mailbox: Mailbox, trusted: Authority) -> None:
    hostile = "x\r\nBcc: all@example.org\nX-Evil: 1\x00\x1b[31m\u202e\r\n\r\nbody\r\n.\r\nMAIL FROM:<a@b>"
    send(mailbox.settings(ca_file=str(trusted.ca_file)), notice(subject=hostile, body=hostile))
    (message,) = mailbox.messages

    assert (message["Bcc"], message["X-Evil"], len(message.get_all("Subject", []))) == (None, None, 1)
    assert message["Subject"].isprintable()
    assert mailbox.receivers == [["omar@example.org"]]
    assert "\r\n.\r\n" not in message.get_content().rstrip("\n")
    assert "\x1b" not in message.get_content()


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    refused = failure(Mailbox(port=port).settings())
    assert (refused.permanent, "Connection refused" in refused.message) == (False, True)


def test_a_greeting_that_turns_everybody_away_is_tried_again() -> None:
    with answering(b"554 closed for today\r\n") as port:
        refused = failure(Mailbox(port=port).settings())

    assert (refused.message, refused.permanent) == ("the server answered 554 closed for today", False)


def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    with answering() as port:
        refused = failure(Mailbox(port=port).settings().model_copy(update={"timeout": timedelta(seconds=0.2)}))

    assert (refused.permanent, "could not be talked to" in refused.message) == (False, True)


def test_a_server_that_drips_for_ever_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "_DEADLINE", 0.3)
    with answering(b"220-welcome\r\n", forever=b"220-and\r\n", pause=0.01) as port:
        refused = failure(Mailbox(port=port).settings())

    assert refused.permanent is False


def test_what_the_server_has_taken_is_delivered_even_when_it_hangs_up_then() -> None:
    steps = (b"220 hi\r\n", b"250 hi\r\n", b"250 sender\r\n", b"250 receiver\r\n", b"354 go on\r\n", b"250 taken\r\n")

    def arrives(script: bytes) -> bool:
        with answering(script) as port:
            settings = Mailbox(port=port).settings(security="none")
            try:
                send(settings.model_copy(update={"timeout": timedelta(seconds=0.5)}))
            except DeliveryFailed:
                return False
        return True

    assert [arrives(b"".join(steps[:count])) for count in (5, 6)] == [False, True]
