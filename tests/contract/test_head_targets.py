"""Where signed heads go: what arrives there, and what is said when it cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from remediate.adapters.heads import FileTarget, MailTarget, SyslogTarget, head_targets
from remediate.catalog.audit import HeadTargetSettings
from remediate.domain.audit import SignedHead, head_line
from remediate.errors import DeliveryFailed
from remediate.interfaces.cli.audit_text import heads_in
from remediate.testing import EPOCH

HEAD = SignedHead(sequence=7, hash="a" * 64, at=EPOCH, key_id="0" * 16, signature="c2ln")


def test_the_settings_make_the_targets_with_names_to_remember_them_by() -> None:
    made = head_targets(
        [
            HeadTargetSettings(file="/mnt/heads"),
            HeadTargetSettings(syslog="/dev/log"),
            HeadTargetSettings(email="a@example.com"),
        ]
    )

    assert [target.name for target in made] == ["file:/mnt/heads", "syslog:/dev/log", "email:a@example.com"]


def test_a_file_gets_one_line_a_head_and_keeps_what_it_held(tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "heads")
    target.send(HEAD)
    target.send(HEAD.model_copy(update={"sequence": 8}))

    assert [head.sequence for head in heads_in(tmp_path / "heads")] == [7, 8]
    assert (tmp_path / "heads").read_text().splitlines()[0] == head_line(HEAD)
    assert (tmp_path / "heads").stat().st_mode & 0o027 == 0


def test_a_line_that_was_cut_short_does_not_swallow_the_next_head(tmp_path: Path) -> None:
    (tmp_path / "heads").write_text("cut sho")
    FileTarget(tmp_path / "heads").send(HEAD)

    assert (tmp_path / "heads").read_text() == f"cut sho\n{head_line(HEAD)}\n"


@pytest.mark.parametrize("name", ["nowhere/heads", "link", "."])
def test_a_file_that_cannot_be_written_says_why(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DeliveryFailed, match="cannot be written: "):
        FileTarget(tmp_path / name).send(HEAD)
    assert not (tmp_path / "elsewhere").exists()


def test_a_syslog_socket_gets_one_message_a_head(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        SyslogTarget(str(tmp_path / "log")).send(HEAD)

        assert daemon.recv(4096).decode() == f"<109>remediate: {head_line(HEAD)}"


def test_syslog_over_udp_gets_a_message_of_rfc_5424() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        SyslogTarget(f"127.0.0.1:{daemon.getsockname()[1]}").send(HEAD)
        message = daemon.recv(4096).decode()

    assert message == (
        f"<109>1 2026-01-05T03:00:00.000000Z {socket.gethostname()} remediate - audit-head - {head_line(HEAD)}"
    )


def test_a_log_of_syslog_is_a_file_of_heads(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"Jan  5 03:00:00 host cron: x\nJan  5 03:00:00 host remediate: {head_line(HEAD)}\n")

    assert list(heads_in(tmp_path / "log")) == [HEAD]


def test_a_syslog_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        SyslogTarget(str(tmp_path / "log")).send(HEAD)


def test_a_mail_holds_the_head_on_a_line_and_is_itself_a_file_of_heads(tmp_path: Path) -> None:
    sent: list[tuple[str, str, str]] = []
    MailTarget("a@example.com", lambda subject, body, address: sent.append((subject, body, address))).send(HEAD)
    [(subject, body, address)] = sent
    (tmp_path / "mail").write_text(f"Subject: {subject}\n\n{body}")

    assert (subject, address) == ("remediate: audit head 7", "a@example.com")
    assert list(heads_in(tmp_path / "mail")) == [HEAD]


def test_without_a_way_to_mail_a_head_stays_unsent_and_says_why() -> None:
    [target] = head_targets([HeadTargetSettings(email="a@example.com")])

    with pytest.raises(DeliveryFailed, match="no e-mail channel is set up, so nothing can be mailed to a@example"):
        target.send(HEAD)
