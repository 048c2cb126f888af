"""Whoever has taken over a host cannot take its far backups with it: what the host may do there is to add."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.lab.hosts import LabHost, Remediate

pytestmark = pytest.mark.lab

_MENTAT = LabHost("mentat")
_FILES = "/etc/remediate/backup"
_RESTIC = f"restic --repository-file {_FILES}/far.repository --password-file {_FILES}/repository.password --no-cache"
_KINDS = ("data", "index", "keys", "snapshots")

#: Asks the far repository with the credentials that the host has: method, path and body of each request.
_ASK = r"""
import base64, json, urllib.error, urllib.request
from urllib.parse import urlsplit, urlunsplit
wanted = WANTED
parts = urlsplit(open("/etc/remediate/backup/far.repository").read().strip().removeprefix("rest:"))
plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
right = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
answers = []
for method, path, body in wanted:
    path = path.replace("HERE", parts.path.strip("/"))
    request = urllib.request.Request(f"{plain}/{path}", method=method, data=body.encode() if body else None)
    request.add_header("Authorization", f"Basic {right}")
    request.add_header("Accept", "application/vnd.x.restic.rest.v2")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            answers.append([answer.status, answer.read(1 << 20).decode(errors="replace")])
    except urllib.error.HTTPError as error:
        answers.append([error.code, ""])
print(json.dumps(answers))
"""

#: Every file of every repository with its digest, but the locks that come and go.
_STORED = r"""
import hashlib, json, os
found = {}
for directory, _, names in os.walk("/var/lib/remediate-repositories"):
    for name in names:
        path = os.path.join(directory, name)
        if "/locks/" not in path:
            with open(path, "rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["landsraad", "landsraad-systemd"])
def source(request: pytest.FixtureRequest, lab: None, tmp_path_factory: pytest.TempPathFactory) -> LabHost:
    """A host that has just put a backup of its files into its far repository."""
    remediate = Remediate(tmp_path_factory.mktemp("record"))
    made = remediate("backup-create", "--limit", request.param, "--yes", "--set", "files_hours=0")
    assert made.returncode == 0, made.stdout[-3000:]
    return LabHost(request.param)


def asked(source: LabHost, *wanted: tuple[str, str, str]) -> list[tuple[int, str]]:
    """Return status and text of each answer to requests with the credentials of a host."""
    told = json.loads(source.python(_ASK.replace("WANTED", repr(list(wanted)))))
    return [(status, text) for status, text in told]


def stored() -> dict[str, str]:
    found: dict[str, str] = json.loads(_MENTAT.python(_STORED))
    return found


def restic(source: LabHost, words: str) -> tuple[int, str]:
    """Return the exit code of restic with the credentials of a host, and what it said."""
    said = source.run(f"{_RESTIC} {words} 2>&1; echo $?")
    text, _, code = said.rpartition("\n")
    return int(code), text


def snapshots(source: LabHost) -> list[str]:
    code, said = restic(source, "snapshots --json --no-lock")
    assert code == 0, said
    listed: list[dict[str, Any]] = json.loads(said)
    return [one["id"] for one in listed]


def test_a_source_cannot_forget_or_prune_what_it_has_stored(source: LabHost) -> None:
    before, kept = stored(), snapshots(source)
    assert kept
    forgotten = restic(source, f"forget {kept[-1]}")
    restic(source, "prune --max-unused 0")
    all_of_them = restic(source, "forget --keep-last 1 --group-by host --prune")

    assert snapshots(source) == kept
    after = stored()
    assert {path: after.get(path) for path in before} == before
    # restic ends with 0 when it was refused, and prunes nothing when there is nothing: what it says, and what is
    # there, tells.
    for _, said in (forgotten, all_of_them):
        assert "403 Forbidden" in said, said


@pytest.mark.parametrize("kind", _KINDS)
def test_a_source_can_neither_delete_nor_overwrite_a_file_of_any_kind(source: LabHost, kind: str) -> None:
    before = stored()
    ((status, text),) = asked(source, ("GET", f"HERE/{kind}/", ""))
    assert status == 200
    names = [one["name"] for one in json.loads(text)]
    assert names, f"nothing of the kind {kind} is there, so nothing is proven"
    deleted, overwritten = asked(
        source, ("DELETE", f"HERE/{kind}/{names[0]}", ""), ("POST", f"HERE/{kind}/{names[0]}", "nothing any more")
    )

    assert deleted[0] >= 400
    assert overwritten[0] >= 400
    assert stored() == before


def test_a_source_can_neither_delete_its_repository_nor_replace_its_configuration(source: LabHost) -> None:
    before = stored()
    answers = asked(
        source,
        ("DELETE", "HERE/", ""),
        ("DELETE", "HERE/config", ""),
        ("POST", "HERE/config", "nothing any more"),
        ("POST", "HERE/?create=true", ""),
    )

    assert [status for status, _ in answers[:3] if status < 400] == []
    assert stored() == before


def test_a_source_neither_reads_nor_writes_the_repository_of_another_one(source: LabHost) -> None:
    before = stored()
    (other,) = {"landsraad", "landsraad-systemd"} - {source.name}
    answers = asked(
        source,
        ("GET", f"{other}/snapshots/", ""),
        ("GET", f"{other}/config", ""),
        ("GET", f"HERE/../{other}/config", ""),
        ("POST", f"{other}/data/{'0' * 64}", "a seed"),
        ("DELETE", f"{other}/config", ""),
    )

    assert [status for status, _ in answers if status < 400] == []
    assert stored() == before
