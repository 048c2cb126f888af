"""Which causes of a flood hold, from what a host shows: told apart, all named, none where the host is well."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Any

import pytest
from ansible.module_utils.access_log import Request, parse_line
from ansible.module_utils.address_guard import (
    Address,
    AddressError,
    Guard,
    Network,
    network_of,
    prefix_of,
    single,
)
from ansible.module_utils.flood_decision import decide, picture_of
from ansible.module_utils.flood_facts import Facts, received_bytes
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0
SETTINGS: dict[str, Any] = {
    "flood_rate": 100.0,
    "bandwidth": 100.0,
    "source_rate": 50.0,
    "source_connections": 200,
    "prefix_addresses": 4,
    "block_seconds": 3600,
    "block_most": 100,
    "limits_file": "/etc/nginx/conf.d/remediate-limits.conf",
    "limit_rate": 10,
    "limit_burst": 20,
    "limit_connections": 10,
    "refusals": [429],
    "ban_hits": 100,
    "ban_window": 60,
    "ban_seconds": 3600,
    "ban_dir": "/etc/fail2ban",
    "ban_runs": False,
    "paths_file": "/etc/nginx/sites-available/chom",
    "expensive_paths": ["/search"],
    "path_share": 30.0,
}


def ask(address: str, per_second: float, path: str = "/", status: int = 200) -> list[Request]:
    return [Request(NOW - 1, ipaddress.ip_address(address), path, status)] * int(per_second * 10)


def facts(*requests: list[Request], never: str = "10.0.0.0/8", **more: Any) -> Facts:
    together = [one for part in requests for one in part]
    guard = Guard([(ipaddress.ip_network(never), "a private range")])
    values: dict[str, Any] = {"connections": Counter[Address](), "longer": together, **more}
    return Facts(now=NOW, seconds=10.0, requests=together, guard=guard, log="/log", **values)


def connections(address: str, count: int) -> Counter[Address]:
    return Counter({ipaddress.ip_address(address): count})


def spread(count: int, per_second: float, path: str = "/") -> list[Request]:
    return [one for number in range(count) for one in ask(f"198.51.{number}.7", per_second, path)]


def test_a_host_that_is_well_has_no_cause_and_no_step() -> None:
    found = decide(facts(spread(9, 10)), SETTINGS)
    assert (found.causes, found.steps, found.enough) == ({}, [], True)


def test_many_who_ask_a_little_are_a_flood_and_are_limited() -> None:
    found = decide(facts(spread(6, 20)), SETTINGS)
    assert list(found.causes) == ["request_flood"]
    (step,) = found.steps
    assert (step.verb, step.target, step.undo) == ("limit", SETTINGS["limits_file"], "held")
    assert "rate=10r/s" in step.data["body"]
    assert "10.0.0.0/8 0;" in step.data["body"]


def test_one_who_asks_far_too_much_is_blocked_and_nobody_else() -> None:
    found = decide(facts(ask("203.0.113.7", 150), spread(3, 10)), SETTINGS)
    assert list(found.causes) == ["hostile_sources"]
    assert found.steps[0].data["sources"] == ["203.0.113.7"]


def test_two_causes_at_once_are_both_named() -> None:
    found = decide(facts(ask("203.0.113.7", 150), spread(6, 20)), SETTINGS)
    assert list(found.causes) == ["request_flood", "hostile_sources"]
    assert [step.cause for step in found.steps] == ["request_flood", "hostile_sources"]


def test_one_who_only_takes_connections_is_blocked() -> None:
    found = decide(facts(connections=connections("203.0.113.8", 250)), SETTINGS)
    assert found.steps[0].data["sources"] == ["203.0.113.8"]


def test_what_is_approved_is_the_same_at_every_look_while_the_attackers_change() -> None:
    one = decide(facts(ask("203.0.113.7", 150)), SETTINGS).steps[0]
    other = decide(facts(ask("203.0.113.8", 90)), SETTINGS).steps[0]
    assert (one.cause, one.verb, one.target, one.detail) == (other.cause, other.verb, other.target, other.detail)
    assert one.note != other.note


def test_a_network_of_strangers_is_blocked_only_where_many_of_them_are_loud_themselves() -> None:
    three = [one for number in range(3) for one in ask(f"203.0.113.{number}", 60)]
    quiet = [one for number in range(10, 40) for one in ask(f"203.0.113.{number}", 1)]
    assert "203.0.113.0/24" not in decide(facts(three, quiet), SETTINGS).steps[-1].data["sources"]
    found = decide(facts(three, ask("203.0.113.9", 60)), SETTINGS)
    assert found.steps[0].data["sources"] == ["203.0.113.0/24"]


def test_a_customer_who_takes_another_address_each_time_is_blocked_as_a_network() -> None:
    many = [one for number in range(1, 31) for one in ask(f"2001:db8:1:2::{number:x}", 2)]
    found = decide(facts(many), SETTINGS)
    assert found.steps[0].data["sources"] == ["2001:db8:1:2::/64"]


def test_a_network_with_one_address_that_must_not_be_blocked_is_not_blocked() -> None:
    four = [one for number in range(4) for one in ask(f"203.0.113.{number}", 60)]
    found = decide(facts(four, never="203.0.113.250/32"), SETTINGS)
    assert found.steps[-1].data["sources"] == [f"203.0.113.{number}" for number in range(4)]


def test_who_must_not_be_blocked_is_named_and_spared() -> None:
    found = decide(facts(ask("10.0.0.9", 80)), SETTINGS)
    assert found.causes == {}
    assert found.notes == ["over the threshold, and never blocked: 10.0.0.9 (a private range)"]


def test_where_a_proxy_hides_who_asks_nothing_is_limited_and_it_is_said() -> None:
    found = decide(facts(ask("172.18.0.1", 300), never="172.18.0.0/16"), SETTINGS)
    assert (list(found.causes), found.steps, found.enough) == (["request_flood"], [], False)
    assert "hides who sends them" in " ".join(found.notes)


def test_whoever_a_trusted_proxy_names_is_not_blocked_because_packets_are_the_proxys() -> None:
    named = [Request(NOW - 1, ipaddress.ip_address("203.0.113.7"), "/", 200, through_proxy=True)] * 900
    found = decide(facts(named), SETTINGS)
    assert found.steps == []
    assert "seen through a trusted proxy" in " ".join(found.notes)


def test_what_is_blocked_or_banned_already_is_no_cause_any_more() -> None:
    blocked = {ipaddress.ip_network("203.0.113.7"): 100}
    banned = {ipaddress.ip_network("2001:db8:1:2::/64"): 100}
    both = facts(ask("203.0.113.7", 150), ask("2001:db8:1:2::9", 150), blocked=blocked, banned=banned)
    assert decide(both, SETTINGS).causes == {}


def test_what_the_limits_refuse_is_no_flood_any_more() -> None:
    held = decide(facts(spread(6, 20)), SETTINGS).steps[0].data["body"]
    refused = [one for number in range(6) for one in ask(f"198.51.{number}.7", 15, status=429)]
    assert decide(facts(spread(6, 10), refused, limits=held, longer=[]), SETTINGS).causes == {}


def test_where_limits_are_in_place_and_do_not_help_a_human_is_called() -> None:
    held = decide(facts(spread(6, 20)), SETTINGS).steps[0].data["body"]
    found = decide(facts(spread(50, 9), limits=held), SETTINGS)
    assert (list(found.causes), found.steps, found.enough) == (["request_flood"], [], False)
    assert "call whoever is upstream" in found.notes[0]


def test_limits_of_older_inputs_are_made_anew() -> None:
    held = decide(facts(spread(6, 20)), {**SETTINGS, "limit_rate": 99}).steps[0].data["body"]
    assert [step.verb for step in decide(facts(spread(6, 20), limits=held), SETTINGS).steps] == ["limit"]


def test_without_a_place_for_limits_the_input_is_named() -> None:
    found = decide(facts(spread(6, 20)), {**SETTINGS, "limits_file": ""})
    assert (found.steps, found.enough) == ([], False)
    assert "ddos_attack_limits_file" in found.notes[0]


def test_who_is_refused_again_and_again_is_banned() -> None:
    refused = ask("203.0.113.9", 12, status=429)
    found = decide(facts(refused, spread(3, 10)), SETTINGS)
    assert list(found.causes) == ["repeat_offenders"]
    (step,) = found.steps
    jail = step.data["files"]["/etc/fail2ban/jail.d/remediate-refused.conf"]
    assert step.data["offenders"] == ["203.0.113.9"]
    assert ("maxretry = 100" in jail, "findtime = 60" in jail, "bantime = 3600" in jail) == (True, True, True)
    assert "10.0.0.0/8" in jail


def test_who_must_not_be_banned_is_not_whatever_the_log_says() -> None:
    assert decide(facts(ask("10.0.0.9", 12, status=429)), SETTINGS).causes == {}


def test_paths_that_can_wait_are_dropped_only_when_a_flood_is_for_them() -> None:
    found = decide(facts(spread(6, 20, "/search/x")), SETTINGS)
    assert list(found.causes) == ["request_flood", "expensive_paths"]
    assert found.steps[1].data["body"].endswith("{ return 503; }")
    assert list(decide(facts(spread(6, 20, "/searching")), SETTINGS).causes) == ["request_flood"]
    assert list(decide(facts(spread(2, 20, "/search")), SETTINGS).causes) == []


def test_what_is_dropped_is_no_flood_any_more() -> None:
    dropped = [one for number in range(6) for one in ask(f"198.51.{number}.7", 20, "/index.php/search", 503)]
    assert decide(facts(dropped, paths="if"), SETTINGS).causes == {}
    assert list(decide(facts(dropped), SETTINGS).causes) == ["request_flood", "expensive_paths"]


def test_a_full_line_is_told_and_nothing_is_done_about_it_here() -> None:
    found = decide(facts(bandwidth=140.0), SETTINGS)
    assert (list(found.causes), found.steps, found.enough) == (["upstream"], [], False)
    assert "call whoever is upstream" in found.notes[0]


def test_no_more_sources_are_blocked_than_allowed_and_the_loudest_come_first() -> None:
    many = [one for number in range(20) for one in ask(f"198.51.{number}.7", 60 + number)]
    found = picture_of(facts(many), {**SETTINGS, "block_most": 3})
    assert [str(one.network.network_address) for one in found.hostile] == ["198.51.19.7", "198.51.18.7", "198.51.17.7"]


def test_without_the_packet_filter_its_package_is_named_and_requests_are_limited() -> None:
    found = decide(facts(ask("203.0.113.7", 150), can_block=False), SETTINGS)
    assert [step.verb for step in found.steps] == ["limit"]
    assert "install nftables" in " ".join(found.notes)


NEAR = st.one_of(
    st.integers(0, 15).map(lambda number: f"203.0.113.{number}"),
    st.integers(1, 15).map(lambda number: f"2001:db8:1:2::{number:x}"),
    st.sampled_from(["127.0.0.1", "10.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.2", "garbage", "203.0.113.0/24"]),
)
LINES = st.builds(
    lambda address, said, count: (
        [f'{address} - - [15/Jan/2027:07:59:59 +0000] "{said} /" 200 5 "-" "-" "{said}"'] * count
    ),
    NEAR,
    st.sampled_from(["GET", "127.0.0.1", "203.0.113.9", r"\x22 429 \x22"]),
    st.integers(1, 30),
)


@given(parts=st.lists(LINES, max_size=30), never=st.lists(NEAR, max_size=4), many=st.integers(2, 6))
def test_whatever_the_log_says_nobody_is_blocked_who_must_not_be(
    parts: list[list[str]], never: list[str], many: int
) -> None:
    forbidden = [network for text in never if (network := network_or_none(text))]
    guard = Guard([(one, "test") for one in [*forbidden, ipaddress.ip_network("10.0.0.0/8")]])
    requests = [one for part in parts for line in part if (one := parse_line(line))]
    host = Facts(NOW, 10.0, requests, requests, Counter(), guard, log="/log")
    settings = {**SETTINGS, "source_rate": 0.5, "prefix_addresses": many, "ban_hits": 1, "refusals": [200]}
    steps = {step.verb: step.data for step in decide(host, settings).steps}
    chosen = [*steps.get("block", {}).get("sources", []), *steps.get("ban", {}).get("offenders", [])]
    talking = {single(one.address) for one in requests} | {prefix_of(one.address) for one in requests}
    for network in map(ipaddress.ip_network, chosen):
        assert network in talking
        assert guard.forbids(network) == ""
        assert not any(network.version == one.version and network.overlaps(one) for one in forbidden)


def network_or_none(text: str) -> Network | None:
    try:
        return network_of(text, "test")
    except AddressError:
        return None


@pytest.mark.parametrize("name", ["lo", "veth12ab", "br-0011", "docker0"])
def test_traffic_of_inner_interfaces_is_not_counted_twice(name: str) -> None:
    table = f"Inter-|\n face |bytes\n  eth0: 1000 1 0\n{name}: 999 1 0\n"
    assert received_bytes(table) == 1000
