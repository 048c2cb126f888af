"""What the steps of ddos-attack do on a host: put in, tested, read, taken out again; killed in the middle or not."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import ban_jail, ddos_runbook, nginx_kinds
from ansible.module_utils.access_log import Request
from ansible.module_utils.address_guard import Guard, Network
from ansible.module_utils.ban_jail import Ban, files_of
from ansible.module_utils.ddos_runbook import Block, check_inputs
from ansible.module_utils.flood_checks import checks_of
from ansible.module_utils.flood_decision import picture_of
from ansible.module_utils.flood_facts import Facts, hits
from ansible.module_utils.host_step import HELD, Done, Step, StepError
from ansible.module_utils.nginx_block import (
    LIMITS,
    PATHS,
    PlaceError,
    checked_paths,
    held,
    limits_body,
    paths_body,
    put,
    take,
)
from ansible.module_utils.nginx_kinds import Configure
from ansible.module_utils.stack_program import Finished, StackError

GUARD = Guard([(ipaddress.ip_network("10.0.0.0/8"), "a private range")])
WHOLE = "events {}\nhttp {\n    server {\n        listen 80;\n    }\n    server {\n        listen 81;\n    }\n}\n"
BODY = limits_body(GUARD, 10, 20, 10)


def test_a_block_comes_and_goes_and_leaves_the_rest_as_it_was() -> None:
    both = put(put(WHOLE, LIMITS, BODY), PATHS, paths_body(["/search"]))
    assert held(both, LIMITS) == BODY
    assert both.count("return 503") == 2
    assert put(both, LIMITS, BODY) == both
    assert take(take(both, LIMITS), PATHS) == WHOLE
    assert held(WHOLE, LIMITS) == ""


def test_a_file_of_our_own_holds_nothing_but_the_block() -> None:
    own = put("", LIMITS, BODY)
    assert take(own, LIMITS) == ""
    assert put(own, LIMITS, "limit_x;").count("begin") == 1


def test_without_a_place_for_the_block_nothing_is_made_up() -> None:
    with pytest.raises(PlaceError, match="http"):
        put("server {\n}\n", LIMITS, BODY)
    with pytest.raises(PlaceError, match="server"):
        put("# server {\n", PATHS, "x")


@pytest.mark.parametrize(
    "path", ["/", "search", "/a b", "/a;return 200", "/(a|b)", "/a{1}", '/a"', "/a\n", "/.*", "//"]
)
def test_a_path_that_nginx_would_read_as_more_is_refused(path: str) -> None:
    with pytest.raises(PlaceError, match="ddos_attack_expensive_paths"):
        checked_paths([path])


def test_a_path_is_itself_and_what_is_below_it_and_its_longer_spelling() -> None:
    asked = ["/search", "/search/a", "/index.php/search", "/searching", "/", "/a/search"]
    assert [hits(one, ["/search"]) for one in asked] == [True, True, True, False, False, False]


class FakeStack:
    def __init__(self, refuse: Callable[[], bool] = lambda: False) -> None:
        self.refuse = refuse
        self.reloads = 0
        self.broken = False

    def exec(self, name: str, argv: list[str]) -> tuple[int, str, str]:
        return (1, "", "nginx: [emerg] unknown directive\nnginx: failed\n") if self.refuse() else (0, "", "ok")

    def reload(self, names: list[str]) -> None:
        if self.broken:
            raise StackError("nginx does not run")
        self.reloads += 1


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    fake = FakeStack()
    monkeypatch.setattr(nginx_kinds, "stack_of", lambda _stack: fake)
    return fake


def limit(path: Path) -> Step:
    return Step("request_flood", "limit", str(path), HELD, data={"block": LIMITS, "body": BODY})


def test_a_configuration_is_written_in_place_tested_read_and_put_back(tmp_path: Path, stack: FakeStack) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(WHOLE)
    file.chmod(0o640)
    inode, kind, step = file.stat().st_ino, Configure({}), limit(file)
    saved = kind.save(step, "")
    assert kind.do(step, saved)
    assert kind.do(step, saved)
    assert held(file.read_text(), LIMITS) == BODY
    assert (file.stat().st_ino, file.stat().st_mode & 0o777, stack.reloads) == (inode, 0o640, 2)
    assert kind.obstacle(step, saved) == ""
    kind.undo(step, saved)
    kind.undo(step, saved)
    assert (file.read_text(), file.stat().st_ino) == (WHOLE, inode)


def test_a_configuration_that_nginx_refuses_is_as_before(tmp_path: Path, stack: FakeStack) -> None:
    file = tmp_path / "limits.conf"
    stack.refuse = file.exists
    with pytest.raises(StepError, match="unknown directive"):
        Configure({}).do(limit(file), {"was": ""})
    assert (file.exists(), stack.reloads) == (False, 0)


def test_a_block_that_somebody_changed_is_left_alone(tmp_path: Path, stack: FakeStack) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(put(WHOLE, LIMITS, "limit_mine;"))
    kind = Configure({})
    with pytest.raises(StepError, match="changed by somebody else"):
        kind.do(limit(file), {"was": ""})
    assert "would lose that" in kind.obstacle(limit(file), {"was": ""})
    assert held(file.read_text(), LIMITS) == "limit_mine;"


def test_killed_between_writing_and_reading_it_is_read_the_next_time(tmp_path: Path, stack: FakeStack) -> None:
    file, kind = tmp_path / "limits.conf", Configure({})
    stack.broken = True
    with pytest.raises(StepError, match="call the same phase again"):
        kind.do(limit(file), {"was": ""})
    stack.broken = False
    assert kind.do(limit(file), {"was": ""})
    assert stack.reloads == 1
    kind.undo(limit(file), {"was": ""})
    assert not file.exists()


def test_a_configuration_behind_a_link_or_in_no_directory_is_not_touched(tmp_path: Path, stack: FakeStack) -> None:
    (tmp_path / "real").write_text(WHOLE)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for path in (tmp_path / "link", tmp_path / "none/limits.conf"):
        with pytest.raises(StepError, match="path"):
            Configure({}).do(limit(path), {"was": ""})
    assert (tmp_path / "real").read_text() == WHOLE


class FakeBlocklist:
    """The packet filter, in memory; what the guard forbids does not get in, as in the real one."""

    def __init__(self, *blocked: str) -> None:
        self.sets: dict[str, dict[Network, int]] = {
            "blocked": {ipaddress.ip_network(one): 9 for one in blocked},
            "banned": {},
        }

    def state(self, kind: str = "blocked") -> dict[Network, int]:
        return dict(self.sets[kind])

    def block(self, guard: Guard, wanted: list[Network], seconds: int, most: int) -> list[Network]:
        new = [one for one in guard.admissible(wanted)[0] if one not in self.sets["blocked"]]
        self.sets["blocked"].update(dict.fromkeys(new, seconds))
        return new

    def release(self, wanted: list[Network], kind: str = "blocked") -> None:
        for one in wanted:
            self.sets[kind].pop(one, None)

    def prepare(self, guard: Guard) -> None:
        pass


def block(*sources: str) -> Step:
    data = {"sources": list(sources), "seconds": 60, "most": 10}
    return Step("hostile_sources", "block", "inet remediate", HELD, data=data)


def test_a_block_is_made_once_and_undone_without_touching_older_ones() -> None:
    table = FakeBlocklist("198.51.100.1")
    kind, step = Block(table, lambda: GUARD), block("203.0.113.7", "198.51.100.1")
    saved = kind.save(step, "")
    assert kind.do(step, saved)
    assert not kind.do(step, saved)
    kind.undo(step, saved)
    kind.undo(step, saved)
    assert list(table.state()) == [ipaddress.ip_network("198.51.100.1")]


def test_whoever_became_one_who_must_not_be_blocked_since_is_not_blocked() -> None:
    table = FakeBlocklist()
    assert not Block(table, lambda: GUARD).do(block("10.0.0.9"), {"before": []})
    assert table.state() == {}


SETTINGS: dict[str, Any] = {
    **{name: least for name, (least, _) in ddos_runbook._WITHIN.items()},
    "flood_rate": 40.0,
    "source_rate": 30.0,
    "bandwidth": 100.0,
    "expensive_paths": [],
    "refusals": [429],
    "ban_dir": "/etc/fail2ban",
    "path_share": 30.0,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("block_seconds", 86401),
        ("block_seconds", 0),
        ("ban_seconds", 10**9),
        ("block_most", 10001),
        ("flood_rate", 0.0),
        ("prefix_addresses", 1),
        ("expensive_paths", ["/(a)"]),
    ],
)
def test_an_input_out_of_its_range_is_named(name: str, value: Any) -> None:
    check_inputs(SETTINGS)
    with pytest.raises(StepError, match=f"ddos_attack_{name}"):
        check_inputs({**SETTINGS, name: value})


class FakeDaemon:
    """Stands for systemctl, fail2ban-client, and the ban that follows."""

    def __init__(self, table: FakeBlocklist, *, runs: bool) -> None:
        self.runs, self.table, self.calls = runs, table, [""]
        self.bans = True

    def __call__(self, *arguments: str) -> Finished:
        said = " ".join(arguments)
        self.calls.append(said)
        if "is-active" in said:
            return Finished(0 if self.runs else 3, "", "")
        if "start" in arguments or "reload" in arguments:
            self.runs = True
            if self.bans:
                self.table.sets["banned"][ipaddress.ip_network("203.0.113.9")] = 60
        if "stop" in arguments:
            self.runs = False
        return Finished(0, "", "")


def ban(base: Path) -> Step:
    for name in ("filter.d", "action.d", "jail.d"):
        (base / name).mkdir(exist_ok=True)
    files = files_of({**SETTINGS, "ban_dir": str(base)}, GUARD, "/log", alone=True)
    return Step("repeat_offenders", "ban", "jail", HELD, data={"files": files, "offenders": ["203.0.113.9"]})


@pytest.mark.parametrize("runs", [True, False])
def test_the_jail_is_laid_out_and_taken_away_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool) -> None:
    table = FakeBlocklist()
    daemon = FakeDaemon(table, runs=runs)
    monkeypatch.setattr(ban_jail, "_call", daemon)
    kind, step = Ban(table, lambda: GUARD), ban(tmp_path)
    saved = kind.save(step, str(tmp_path / "keep"))
    assert kind.do(step, saved)
    assert kind.do(step, saved)
    assert all(Path(path).exists() for path in step.data["files"])
    assert kind.obstacle(step, saved) == ""
    kind.undo(step, saved)
    assert not any(Path(path).exists() for path in step.data["files"])
    assert (daemon.runs, table.state("banned")) == (runs, {})


def test_a_jail_that_bans_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = FakeBlocklist()
    daemon = FakeDaemon(table, runs=False)
    daemon.bans = False
    monkeypatch.setattr(ban_jail, "_call", daemon)
    monkeypatch.setattr(ban_jail, "_WAIT", 0.0)
    kind, step = Ban(table, lambda: GUARD), ban(tmp_path)
    with pytest.raises(StepError, match="has banned none of them"):
        kind.do(step, kind.save(step, str(tmp_path / "keep")))


def test_a_daemon_that_did_not_run_before_begins_nothing_else_and_one_that_did_keeps_its_jails() -> None:
    alone, beside = (list(files_of(SETTINGS, GUARD, "/log", alone=one).values())[-1] for one in (True, False))
    assert "[sshd]\nenabled = false" in alone
    assert "[sshd]" not in beside
    assert "ignoreip = 0.0.0.0/8 10.0.0.0/8" in alone


NOW = 1_800_000_000.0
BAD = ipaddress.ip_network("203.0.113.7")


def seen(requests: list[Request], **more: Any) -> dict[str, str]:
    values: dict[str, Any] = {"connections": Counter(), "longer": [], "guard": GUARD, **more}
    facts = Facts(now=NOW, seconds=10.0, requests=requests, **values)
    done = Done((block("203.0.113.7"),), NOW - 20)
    checks = checks_of(facts, picture_of(facts, SETTINGS), SETTINGS, done, 5, jail_ok=True)
    return {one["name"]: one["verdict"] for one in checks}


def ask(count: int, address: str = "198.51.100.7") -> list[Request]:
    return [Request(NOW - 1, ipaddress.ip_address(address), "/", 200)] * count


def test_a_host_is_cured_when_the_rate_is_normal_and_who_was_blocked_is_not_heard() -> None:
    assert set(seen(ask(20), blocked={BAD: 9}).values()) == {"cured"}


def test_whom_the_limits_refuse_is_only_a_failure_of_a_run_that_was_to_ban() -> None:
    refused = [Request(NOW - 1, ipaddress.ip_address("203.0.113.9"), "/", 429)] * 50
    assert seen([], longer=refused, blocked={BAD: 9})["sources"] == "cured"
    facts = Facts(NOW, 10.0, [], refused, Counter(), GUARD)
    done = Done((Step("repeat_offenders", "ban", "jail", HELD),), NOW - 20)
    checks = checks_of(facts, picture_of(facts, SETTINGS), SETTINGS, done, 5, jail_ok=False)
    verdicts = {one["name"]: one["verdict"] for one in checks}
    assert (verdicts["sources"], verdicts["banned sources"]) == ("not_cured", "not_cured")


def test_each_thing_that_is_not_as_it_should_be_is_seen() -> None:
    flood = [one for number in range(9) for one in ask(100, f"198.51.{number}.7")]
    assert seen(flood, blocked={BAD: 9})["request rate"] == "not_cured"
    assert seen(ask(350), blocked={BAD: 9})["sources"] == "not_cured"
    assert seen([], blocked={})["blocked sources"] == "not_cured"
    assert seen(ask(1, "203.0.113.7"), blocked={BAD: 9})["blocked sources"] == "not_cured"
    assert seen([], blocked={BAD: 9}, bandwidth=101.0)["traffic"] == "not_cured"
    assert seen([], blocked={BAD: 9}, banned={ipaddress.ip_network("10.0.0.9"): 5})["never blocked"] == "not_cured"
