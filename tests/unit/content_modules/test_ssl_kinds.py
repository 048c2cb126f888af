"""Renewing and taking over: tried before it is served, put back when it is refused, and nothing lost to a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import ssl_kinds
from ansible.module_utils.certificate_deploy import Place
from ansible.module_utils.certificate_pair import read_pair
from ansible.module_utils.host_step import HELD, Step, StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.ssl_kinds import Deploy, Renew, TakeOver
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.certificates import make


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


class FakeServer:
    """Stands for nginx, and notes what is done with it."""

    def __init__(self) -> None:
        self.running = True
        self.refuses = ""
        self.starts = True
        self.calls: list[str] = []

    def runs(self) -> bool:
        return self.running

    def complaint(self) -> str:
        return self.refuses

    def take_over(self, certificate: Any) -> None:
        if not self.running and not self.starts:
            raise StackError("could not start nginx")
        self.running = True
        self.calls.append(f"serves {certificate.not_after:%Y-%m-%d}")

    def start(self) -> None:
        self.running = True
        self.calls.append("start")

    def stop(self) -> None:
        self.running = False
        self.calls.append("stop")


class FakeSite:
    """Stands for the site: a pair behind a link, and a server."""

    def __init__(self, directory: Path) -> None:
        make(ends=-1).put(directory / "tls/pair-first")
        (directory / "tls/current").symlink_to("pair-first")
        current = directory / "tls/current"
        self.place = Place(str(current / "fullchain.pem"), str(current / "privkey.pem"))
        self.server = FakeServer()
        self.settings = {"key_type": "ecdsa"}
        self.acme = None

    def pair(self) -> Any:
        return read_pair(self.place.certificate, self.place.key)

    def bytes(self) -> tuple[bytes, bytes]:
        return Path(self.place.certificate).read_bytes(), Path(self.place.key).read_bytes()


class Authority:
    """Stands for the ACME server: it issues for whatever key it is given, and counts."""

    def __init__(self) -> None:
        self.issued = 0
        self.refuses = False

    def issue(self, _acme: Any, names: list[str], key: str, _method: str, place: str) -> str:
        if self.refuses:
            raise StepError("the ACME server issued nothing; nothing was changed")
        self.issued += 1
        own = load_pem_private_key(Path(key).read_bytes(), None)
        directory = Path(place) / f"issue-{self.issued}"
        directory.mkdir()
        (directory / "fullchain.pem").write_bytes(make(names, key=own).pem)  # type: ignore[arg-type]
        return str(directory)


@pytest.fixture
def site(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority()
    monkeypatch.setattr(ssl_kinds, "issue", made.issue)
    monkeypatch.setattr(ssl_kinds, "reach", lambda _acme: None)
    monkeypatch.setattr(ssl_kinds, "prove_webroot", lambda _site: None)
    return made


def renewal(site: FakeSite, *, method: str = "webroot", new_key: bool = False) -> Step:
    data = {"names": ["shop.example.org"], "method": method, "new_key": new_key}
    return Step("expired", "renew", site.place.certificate, HELD, data=data)


def saved(kind: Any, step: Step, tmp_path: Path) -> dict[str, Any]:
    """Return what was saved as it comes back from the disk."""
    remembered: dict[str, Any] = json.loads(json.dumps(kind.save(step, str(tmp_path / "keep"))))
    return remembered


def test_a_plain_renewal_keeps_the_key_is_served_and_can_be_put_back(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    kind, step, before = Renew(site), renewal(site), site.bytes()
    kept = saved(kind, step, tmp_path)
    assert kind.do(step, kept)

    assert site.pair().key_fits
    assert site.bytes()[0] != before[0]
    assert site.bytes()[1] == before[1]
    assert site.server.calls == [f"serves {site.pair().certificate.not_after:%Y-%m-%d}"]
    assert kind.obstacle(step, kept) == ""
    kind.undo(step, kept)
    assert site.bytes() == before


def test_nothing_is_stopped_for_a_renewal_through_the_webroot(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    kind, step = Renew(site), renewal(site)
    kind.do(step, saved(kind, step, tmp_path))
    assert not {"stop", "start"} & set(site.server.calls)


def test_a_new_key_is_made_once_and_nobody_else_may_read_it(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    Path(site.place.key).chmod(0o644)
    kind, step, before = Renew(site), renewal(site, new_key=True), site.bytes()
    kept = saved(kind, step, tmp_path)
    kind.do(step, kept)
    assert site.bytes()[1] != before[1]
    assert site.pair().key_troubles == ()
    kind.undo(step, kept)
    assert Path(site.place.key).stat().st_mode & 0o777 == 0o644


def test_killed_after_the_issue_no_second_certificate_is_asked_for(
    site: FakeSite, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: Any) -> None:
        raise Killed

    kind, step = Renew(site), renewal(site, new_key=True)
    kept = saved(kind, step, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ssl_kinds, "put", kill)
        with pytest.raises(Killed):
            kind.do(step, kept)
    kind.do(step, kept)
    assert authority.issued == 1
    assert site.pair().key_troubles == ()


def test_a_pair_that_nginx_refuses_is_taken_out_again_and_nothing_is_reloaded(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    kind, step, before = Renew(site), renewal(site), site.bytes()
    kept = saved(kind, step, tmp_path)
    site.server.refuses = "unknown directive"
    with pytest.raises(StepError, match=r"unknown directive.*previous pair is back"):
        kind.do(step, kept)
    assert site.bytes() == before
    assert site.server.calls == []


def test_where_the_server_does_not_start_with_the_new_pair_the_old_one_is_back(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    site.server.running = site.server.starts = False
    kind, step, before = Renew(site), renewal(site, method="webroot"), site.bytes()
    with pytest.raises(StepError, match="previous pair is back"):
        kind.do(step, saved(kind, step, tmp_path))
    assert site.bytes() == before


def test_standalone_stops_the_server_only_while_it_asks(site: FakeSite, authority: Authority, tmp_path: Path) -> None:
    kind, step = Renew(site), renewal(site, method="standalone")
    kind.do(step, saved(kind, step, tmp_path))
    assert site.server.calls[:2] == ["stop", "start"]
    assert site.server.running


def test_standalone_starts_the_server_again_when_the_authority_refuses(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    kind, step, before = Renew(site), renewal(site, method="standalone"), site.bytes()
    authority.refuses = True
    with pytest.raises(StepError, match="nothing was changed"):
        kind.do(step, saved(kind, step, tmp_path))
    assert (site.server.calls, site.bytes()) == (["stop", "start"], before)


def test_killed_while_the_server_is_stopped_the_next_attempt_and_the_undo_start_it(
    site: FakeSite, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, step = Renew(site), renewal(site, method="standalone")
    kept = saved(kind, step, tmp_path)
    site.server.running = False  # what a kill between stop and start leaves behind
    authority.refuses = True
    with pytest.raises(StepError):
        kind.do(step, kept)
    assert site.server.running
    site.server.running = False
    kind.undo(step, kept)
    assert site.server.running


def test_a_server_that_would_not_come_back_is_not_stopped(site: FakeSite, authority: Authority, tmp_path: Path) -> None:
    kind, step = Renew(site), renewal(site, method="standalone")
    site.server.refuses = "key values mismatch"
    with pytest.raises(StepError, match="not stopped; nothing was changed"):
        kind.do(step, saved(kind, step, tmp_path))
    assert site.server.calls == []


def test_a_pair_that_somebody_changed_since_is_left_alone(site: FakeSite, authority: Authority, tmp_path: Path) -> None:
    kind, step = Renew(site), renewal(site)
    kept = saved(kind, step, tmp_path)
    mine = make(ends=60)
    Path(site.place.certificate).write_bytes(mine.pem)
    with pytest.raises(StepError, match="changed by somebody else"):
        kind.do(step, kept)
    assert site.bytes()[0] == mine.pem
    assert "would lose that" in kind.obstacle(step, kept)


def test_the_newer_pair_of_certbot_is_copied_key_and_all(site: FakeSite, tmp_path: Path) -> None:
    newer = make(ends=88)
    newer.put(tmp_path / "live", key_mode=0o644)
    data = {"certificate": str(tmp_path / "live/fullchain.pem"), "key": str(tmp_path / "live/privkey.pem")}
    step, kind = Step("not_deployed", "deploy", site.place.certificate, HELD, data=data), Deploy(site)
    before, kept = site.bytes(), saved(kind, step, tmp_path)
    with pytest.raises(StepError, match="none any more"):
        kind.do(step, kept)  # everybody may read that key
    (tmp_path / "live/privkey.pem").chmod(0o600)
    kind.do(step, kept)
    assert site.bytes() == (newer.pem, newer.key_pem)
    kind.undo(step, kept)
    assert site.bytes() == before


def test_taking_over_what_lies_there_asks_nginx_first(site: FakeSite) -> None:
    step, kind = Step("not_deployed", "reload", "nginx"), TakeOver(site)
    site.server.refuses = "unknown directive"
    with pytest.raises(StepError, match="nothing was reloaded"):
        kind.do(step, {})
    site.server.refuses = ""
    assert kind.do(step, {})


def test_after_an_undo_a_pair_that_nginx_would_refuse_is_not_loaded(
    site: FakeSite, authority: Authority, tmp_path: Path
) -> None:
    kind, step, before = Renew(site), renewal(site, new_key=True), site.bytes()
    kept = saved(kind, step, tmp_path)
    kind.do(step, kept)
    site.server.calls.clear()
    site.server.refuses = "key values mismatch"
    kind.undo(step, kept)
    assert (site.bytes(), site.server.calls) == (before, [])
