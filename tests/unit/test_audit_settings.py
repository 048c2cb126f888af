from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from remediate.catalog.audit import AuditSettings, HeadTargetSettings
from remediate.catalog.settings import read_settings
from remediate.errors import InvalidDocument


def write(site: Path, *lines: str) -> Path:
    file = site / "remediate.yml"
    file.write_text("\n".join(["version: 1", *lines]) + "\n")
    return file


def test_heads_are_signed_every_hundred_events_or_every_hour_and_go_nowhere_by_default(tmp_path: Path) -> None:
    write(tmp_path)

    assert read_settings(tmp_path, {}).audit == AuditSettings(every_events=100, every="1h", heads=())


def test_targets_are_read_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "audit:",
        "  every_events: 5",
        "  every: 10m",
        "  heads:",
        "    - file: ../heads.jsonl",
        "    - file: /mnt/worm/heads",
        "    - syslog: /dev/log",
        "    - syslog: logs.example.com:514",
        "    - syslog: '[2001:db8::1]:514'",
        "    - email: auditors@example.com",
    )
    audit = read_settings(tmp_path, {}).audit

    assert (audit.every_events, audit.every) == (5, timedelta(minutes=10))
    assert audit.heads == (
        HeadTargetSettings(file=str(tmp_path.parent / "heads.jsonl")),
        HeadTargetSettings(file="/mnt/worm/heads"),
        HeadTargetSettings(syslog="/dev/log"),
        HeadTargetSettings(syslog="logs.example.com:514"),
        HeadTargetSettings(syslog="[2001:db8::1]:514"),
        HeadTargetSettings(email="auditors@example.com"),
    )


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "audit:",
        "  every_events: 0",
        "  every: soon",
        "  heads:",
        "    - syslog: logs",
        "    - syslog: 'logs:0'",
        "    - {file: heads, email: a@example.com}",
        "    - {}",
        "    - email: nobody",
        "  colour: red",
    )
    with pytest.raises(InvalidDocument) as refused:
        read_settings(tmp_path, {})
    wanted = "a socket such as /dev/log or host:port such as logs.example.com:514 is wanted"

    assert refused.value.message.split("\n  ")[1:] == [
        f"{file}:3: audit.every_events: input should be greater than or equal to 1",
        f"{file}:4: audit.every: a duration such as 90s, 5m, 4h or 7d is wanted, not 'soon'",
        f"{file}:6: audit.heads.0.syslog: {wanted}, not 'logs'",
        f"{file}:7: audit.heads.1.syslog: {wanted}, not 'logs:0'",
        f"{file}:8: audit.heads.2: exactly one of file, syslog and email is wanted",
        f"{file}:9: audit.heads.3: exactly one of file, syslog and email is wanted",
        f"{file}:10: audit.heads.4.email: string should match pattern '^([^@\\s]+@[^@\\s]+)?$'",
        f"{file}:11: audit.colour: is not a known field",
    ]


@pytest.mark.parametrize("email", ["a@b\r\nBcc: c@d", "a@b c", "a@b@c", "a\n@b"])
def test_an_address_that_would_write_headers_of_its_own_is_refused(tmp_path: Path, email: str) -> None:
    write(tmp_path, f"audit: {{heads: [{{email: {email!r}}}]}}".replace("'", '"'))

    with pytest.raises(InvalidDocument, match=r"audit\.heads\.0\.email"):
        read_settings(tmp_path, {})
