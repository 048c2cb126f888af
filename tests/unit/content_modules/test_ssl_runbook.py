"""The runbook as a whole on a host that is put together: what it says to odd hosts, and when it tries a renewal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import acme_webroot, served_certificate, ssl_runbook, ssl_site, tls_server
from ansible.module_utils.certificate_der import from_pem
from ansible.module_utils.host_checks import CURED, NOT_CURED, check
from ansible.module_utils.host_step import Done, Step, StepError
from ansible.module_utils.remediate_stack import ServiceState
from ansible.module_utils.ssl_runbook import SslExpiry

from tests.certificates import Made, make

STACK = {
    "layout": "systemd",
    "services": ["nginx"],
    "units": {"nginx": "nginx.service"},
    "project_dir": "",
    "compose_file": "",
    "health_url": "",
}
NAME = "shop.example.org"


class FakeStack:
    """A stack whose nginx runs, or not."""

    services = ["nginx"]
    running = True

    def status(self) -> dict[str, ServiceState]:
        return {"nginx": ServiceState(self.running, "running" if self.running else "stopped", "")}


def young(ends: float, **given: Any) -> Made:
    return make((NAME,), begins=-100, ends=ends, now=datetime.now(UTC), **given)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    made = FakeStack()
    monkeypatch.setattr(tls_server, "stack_of", lambda _stack: made)
    monkeypatch.setattr(ssl_site.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(ssl_runbook.SslSite, "reachable", lambda _site: "")
    return made


@pytest.fixture
def runbook(tmp_path: Path, stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SslExpiry]:
    """Puts a host together: the pair on its disk, the certificate that it serves, and changed settings."""

    def put(made: Made, served: Made | None = None, inventory: dict[str, Any] = STACK, **changed: Any) -> SslExpiry:
        made.put(tmp_path / "tls")
        (tmp_path / "acme").mkdir(exist_ok=True)
        monkeypatch.setattr(served_certificate, "served", lambda _place: from_pem((served or made).pem))
        settings = {
            "certificate": str(tmp_path / "tls/fullchain.pem"),
            "key": str(tmp_path / "tls/privkey.pem"),
            "names": [],
            "service": "nginx",
            "address": "127.0.0.1",
            "http_port": 1,
            "https_port": 1,
            "path": "/health/live",
            "ca_bundle": "",
            "server": "https://acme.example.org/dir",
            "server_ca_bundle": "",
            "email": "",
            "webroot": str(tmp_path / "acme"),
            "config_dir": str(tmp_path / "letsencrypt"),
            "work_dir": "/w",
            "logs_dir": "/l",
            "spare_dir": "",
            "key_type": "ecdsa",
            "renew_days": 30,
            "min_days": 60,
            "health_wait": 1,
            "state_dirs": [str(tmp_path / "state")],
        }
        return SslExpiry({**settings, **changed}, inventory)

    return put


def test_a_healthy_host_needs_neither_certbot_nor_a_webroot(
    runbook: Callable[..., SslExpiry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl_site.shutil, "which", lambda _program: None)
    found = runbook(young(90), webroot="").look()
    assert (found.causes, found.steps, found.notes) == ({}, [], [])


def test_looking_changes_nothing(runbook: Callable[..., SslExpiry], tmp_path: Path) -> None:
    made = runbook(young(3))
    before = sorted(tmp_path.rglob("*"))
    assert list(made.look().causes) == ["expiring"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"certificate": ""}, "ssl_expiry_certificate is ''.*the file that nginx reads"),
        ({"key": "relative.pem"}, "ssl_expiry_key"),
        ({"path": "/a b"}, "ssl_expiry_path"),
        ({"path": "/a\r\nHost: evil"}, "ssl_expiry_path"),
        ({"renew_days": 60}, "ssl_expiry_renew_days is 60 and ssl_expiry_min_days 60"),
        ({"renew_days": 0}, "ssl_expiry_renew_days is 0"),
        ({"health_wait": 0}, "ssl_expiry_health_wait"),
        ({"service": "apache"}, "no service apache.*set ssl_expiry_service"),
        ({"inventory": {**STACK, "layout": "none"}}, "set stack_layout and stack_services"),
        ({"names": ["*.example.org"]}, "no host name is known"),
        ({"names": ["a.example.org,DNS:b"]}, "is no host name"),
        ({"certificate": "/nowhere/fullchain.pem", "names": [NAME]}, "no certificate at /nowhere/fullchain.pem"),
    ],
)
def test_settings_that_make_no_sense_are_told_in_one_sentence(
    runbook: Callable[..., SslExpiry], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(StepError, match=said):
        runbook(young(3), **changed).look()


def test_a_tool_that_is_missing_is_named_before_anything_is_planned(
    runbook: Callable[..., SslExpiry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl_site.shutil, "which", lambda program: None if program == "certbot" else "/usr/bin/x")
    with pytest.raises(StepError, match="certbot is not on this host; nothing was done: install it"):
        runbook(young(3)).look()


def test_an_authority_that_does_not_answer_makes_the_plan_not_enough(
    runbook: Callable[..., SslExpiry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl_runbook.SslSite, "reachable", lambda _site: "the ACME server cannot be reached")
    found = runbook(young(3)).look()
    assert (found.enough, found.notes[-1]) == (False, "the ACME server cannot be reached")


def test_files_of_certbot_itself_are_refused(runbook: Callable[..., SslExpiry], tmp_path: Path) -> None:
    made = runbook(young(3))
    (tmp_path / "tls/fullchain.pem").rename(tmp_path / "archive.pem")
    (tmp_path / "tls/fullchain.pem").symlink_to(tmp_path / "archive.pem")
    with pytest.raises(StepError, match=r"symbolic link.*let nginx read a copy of its own"):
        made.look()


def test_what_certbot_has_newer_is_found(runbook: Callable[..., SslExpiry], tmp_path: Path) -> None:
    made = runbook(young(3))
    young(80).put(tmp_path / "letsencrypt/live" / NAME)
    assert [(step.cause, step.verb) for step in made.look().steps] == [("not_deployed", "deploy")]
    shutil.rmtree(tmp_path / "letsencrypt/live")
    assert [(step.cause, step.verb) for step in made.look().steps] == [("expiring", "renew")]


@pytest.mark.parametrize(
    ("changed", "running", "evidence"),
    [({"webroot": ""}, True, "no webroot"), ({}, False, "does not run"), ({"webroot": "/nowhere"}, True, "not there")],
)
def test_where_the_webroot_is_of_no_use_the_evidence_says_why(
    runbook: Callable[..., SslExpiry], stack: FakeStack, changed: dict[str, Any], running: bool, evidence: str
) -> None:
    stack.running = running
    found = runbook(young(-1), **changed).look()
    assert list(found.causes) == ["expired", "challenge_must_change"]
    assert evidence in found.causes["challenge_must_change"][0]
    assert found.steps[0].data["method"] == "standalone"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are served well."""
    for name in ("_served", "_trusted", "_page"):
        monkeypatch.setattr(SslExpiry, name, lambda *_: check("client", CURED, ""))


@pytest.mark.parametrize(("days", "write", "tried"), [(90, True, True), (90, False, False), (50, True, False)])
def test_a_renewal_is_tried_only_where_all_else_is_well_and_writing_is_allowed(
    runbook: Callable[..., SslExpiry],
    client: None,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    write: bool,
    tried: bool,
) -> None:
    trials: list[str] = []
    monkeypatch.setattr(ssl_runbook, "prove_webroot", lambda _site: None)
    monkeypatch.setattr(ssl_runbook, "issue", lambda *_, **given: trials.append(str(given)))
    seen = runbook(young(days)).check(Done(), write=write)
    assert trials == (["{'trial': True}"] if tried else [])
    assert ("renewal" in {one["name"] for one in seen.checks}) is tried


@pytest.mark.parametrize(("method", "verdict"), [("standalone", CURED), ("webroot", NOT_CURED)])
def test_without_a_webroot_only_a_standalone_renewal_of_this_run_proves_the_next_one(
    runbook: Callable[..., SslExpiry], client: None, monkeypatch: pytest.MonkeyPatch, method: str, verdict: str
) -> None:
    monkeypatch.setattr(acme_webroot, "served", lambda _webroot: (False, "it is not given out"))
    done = Done((Step("expired", "renew", "/x", data={"method": method}),), 1.0)
    seen = {one["name"]: one for one in runbook(young(90)).check(done, write=True).checks}
    assert seen["renewal"]["verdict"] == verdict
    assert "it is not given out" in seen["renewal"]["detail"]


def test_a_key_that_does_not_fit_is_not_cured(runbook: Callable[..., SslExpiry], client: None, tmp_path: Path) -> None:
    made = runbook(young(90))
    (tmp_path / "tls/privkey.pem").write_bytes(young(90).key_pem)
    seen = {one["name"]: one["verdict"] for one in made.check(Done(), write=False).checks}
    assert seen["key"] == NOT_CURED
