"""Nobody who must not be blocked is ever written into a set, whatever anybody asks for; every block has its end."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import nft_table, own_addresses
from ansible.module_utils.access_log import parse_line
from ansible.module_utils.address_guard import AddressError, Guard, Network, network_of, prefix_of, single
from ansible.module_utils.host_step import StepError
from ansible.module_utils.nft_table import Blocklist, dropped_packets, elements_of, script, set_of
from ansible.module_utils.own_addresses import interfaces, logged_in, name_servers, routers
from ansible.module_utils.stack_program import Finished
from hypothesis import given
from hypothesis import strategies as st

PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.168.0.0/16", "fc00::/7")]
ADDRESSES = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.sampled_from(["127.0.0.1", "fe80::1", "::1"]).map(ipaddress.ip_address),
)
NETWORKS = st.one_of(ADDRESSES.map(single), ADDRESSES.map(prefix_of))
#: Networks that must not be blocked, near to what is asked for.
NEVER = st.lists(
    st.one_of(
        ADDRESSES.map(single),
        st.builds(
            lambda value, length: ipaddress.ip_network((value, length), strict=False),
            st.integers(0, 2**32 - 1),
            st.integers(1, 32),
        ),
    ),
    max_size=6,
)
ELEMENT = re.compile(r"add element inet remediate blocked(4|6)(_nets)? \{ (\S+) timeout (\d+)s \}")


def written(text: str) -> list[tuple[Network, int]]:
    found = []
    for line in text.splitlines():
        if not line.startswith("add element inet remediate blocked"):
            continue
        match = ELEMENT.fullmatch(line)
        assert match, line
        length = {"4_nets": "/24", "6_nets": "/64"}.get(f"{match[1]}{match[2] or ''}", "")
        found.append((ipaddress.ip_network(match[3] + length), int(match[4])))
    return found


@given(wanted=st.lists(NETWORKS, max_size=20), never=NEVER, seconds=st.integers(-5, 10**9), most=st.integers(-1, 30))
def test_nothing_that_must_not_be_blocked_is_ever_written(
    wanted: list[Network], never: list[Network], seconds: int, most: int
) -> None:
    forbidden = [*never, *PRIVATE]
    guard = Guard([(network, "test") for network in forbidden])
    elements = written(script(guard, wanted + [single(network.network_address) for network in never], seconds, most))
    always = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", "fe80::/10", "169.254.0.0/16")]
    for network, timeout in elements:
        assert not any(network.version == one.version and network.overlaps(one) for one in forbidden + always)
        assert 1 <= timeout <= 86400
    assert len(elements) <= max(0, most)


@given(head=st.text(max_size=80), address=ADDRESSES, tail=st.binary(max_size=200))
def test_whatever_a_log_says_only_the_peer_itself_can_be_meant(head: str, address: Any, tail: bytes) -> None:
    said = tail.decode("utf-8", "backslashreplace").replace('"', "\\x22").replace("\n", "\\x0A")
    user = head.replace('"', "\\x22").replace("\n", "\\x0A")
    line = f'{address} - {user} [27/Nov/2026:10:15:00 +0000] "GET {said} HTTP/1.1" 200 5 "{said}" "{said}, 127.0.0.1"'
    request = parse_line(line)
    mapped = getattr(address, "ipv4_mapped", None) or address
    assert request is None or (request.address == mapped and request.status in {0, 200})
    assert request is None or not request.through_proxy


def test_the_accept_of_who_must_not_be_blocked_stands_before_every_drop_and_only_our_table_is_touched() -> None:
    text = script(Guard([]), [], 60, 10)
    rules = [line for line in text.splitlines() if line.startswith("add rule")]
    assert [rule.rpartition(" ")[2] for rule in rules] == ["accept"] * 2 + ["drop"] * 8
    assert "ruleset" not in text
    assert all(" inet remediate" in line for line in text.splitlines())
    assert "hook prerouting priority -300" in text


def test_only_single_addresses_and_the_two_lengths_are_blocked() -> None:
    wide = [ipaddress.ip_network(text) for text in ("198.0.0.0/8", "203.0.113.0/25", "2001:db8::/32", "::/0")]
    admitted, refused = Guard([]).admissible(wide)
    assert admitted == []
    assert len(refused) == 4


def test_the_number_of_sources_is_bounded_together_with_those_that_are_there() -> None:
    wanted = [ipaddress.ip_network(f"198.51.100.{number}") for number in range(20)]
    assert len(written(script(Guard([]), wanted, 60, 12, present=wanted[:10]))) == 2


def test_ipv4_in_the_form_of_ipv6_is_ipv4() -> None:
    guard = Guard([(ipaddress.ip_network("203.0.113.7"), "allow-listed")])
    assert guard.admissible([network_of("::ffff:203.0.113.7", "test")])[0] == []
    assert set_of(network_of("::ffff:203.0.113.8", "test")) == "blocked4"


def test_an_entry_that_is_no_address_is_named_with_its_input() -> None:
    with pytest.raises(AddressError, match="ddos_attack_allow"):
        network_of("shop.example.com", "ddos_attack_allow")


def listed(*sets: dict[str, Any]) -> dict[str, Any]:
    rule = {"rule": {"expr": [{"counter": {"packets": 7, "bytes": 1}}, {"drop": None}]}}
    return {"nftables": [{"metainfo": {}}, *({"set": one} for one in sets), rule, rule]}


def test_the_sets_are_read_back_with_the_time_that_is_left() -> None:
    elements = [{"elem": {"val": "203.0.113.7", "timeout": 60, "expires": 42}}]
    nets = [{"elem": {"val": "2001:db8:1:2::", "timeout": 60, "expires": 9}}]
    answer = listed(
        {"name": "blocked4", "elem": elements}, {"name": "blocked6_nets", "elem": nets}, {"name": "banned4"}
    )
    assert elements_of(answer, "blocked") == {
        ipaddress.ip_network("203.0.113.7"): 42,
        ipaddress.ip_network("2001:db8:1:2::/64"): 9,
    }
    assert dropped_packets(answer) == 14


def test_a_packet_filter_that_refuses_is_told_and_nothing_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        nft_table, "run_program", lambda *_arguments, **_options: Finished(1, "", "Error: Operation not permitted")
    )
    with pytest.raises(StepError, match="cannot be read: Error: Operation not permitted"):
        Blocklist().state()
    with pytest.raises(StepError, match="nothing in it was changed"):
        Blocklist()._apply("add table inet remediate\n")


def test_a_table_that_is_not_there_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        nft_table, "run_program", lambda *_arguments, **_options: Finished(1, "", "Error: No such file or directory")
    )
    assert (Blocklist().state(), Blocklist().dropped(), Blocklist().there()) == ({}, 0, False)


def test_networks_of_containers_are_ours_and_the_neighbours_of_a_public_address_are_not() -> None:
    address = {"ifname": "eth0", "addr_info": [{"local": "203.0.113.5", "prefixlen": 24}]}
    bridge = {
        "ifname": "br-1",
        "linkinfo": {"info_kind": "bridge"},
        "addr_info": [{"local": "198.51.100.1", "prefixlen": 24}],
    }
    guard = Guard(interfaces([address, bridge]))
    assert guard.forbids(ipaddress.ip_network("203.0.113.5")) == "an address of this host"
    assert guard.forbids(ipaddress.ip_network("203.0.113.6")) == ""
    assert "containers" in guard.forbids(ipaddress.ip_network("198.51.100.77"))


def test_a_host_that_shows_no_address_is_not_guessed_about() -> None:
    with pytest.raises(StepError, match="no address of its own"):
        interfaces([])


def test_routers_and_name_servers_are_found(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_bytes(b"nameserver 192.0.2.53\nnameserver nonsense\xff\nsearch x\n")
    assert routers([{"dst": "default", "gateway": "192.0.2.1"}, {"dst": "192.0.2.0/24"}]) == [
        ipaddress.ip_address("192.0.2.1")
    ]
    assert name_servers(str(tmp_path / "resolv.conf")) == [ipaddress.ip_address("192.0.2.53")]


def process(proc: Path, pid: int, title: str, program: str, inode: int) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(title.encode())
    (proc / str(pid) / "exe").symlink_to(program)
    (proc / str(pid) / "fd/4").symlink_to(f"socket:[{inode}]")


def test_whoever_is_logged_in_is_spared_and_whoever_only_connects_is_not(tmp_path: Path) -> None:
    process(tmp_path, 10, "sshd-session: ops@notty\0", "/usr/lib/openssh/sshd-session", 111)
    process(tmp_path, 11, "sshd-session: ops [net]\0", "/usr/lib/openssh/sshd-session", 222)
    process(tmp_path, 12, "sshd: ops@pts/0\0", "/opt/sshd-like/other", 333)
    (tmp_path / "net").mkdir()
    row = "   {0}: 0B0014AC:0016 {1}:C350 01 00000000:00000000 00:00000000 00000000     0        0 {2} 1 0\n"
    rows = row.format(0, "077100CB", 111) + row.format(1, "087100CB", 222) + row.format(2, "097100CB", 333)
    (tmp_path / "net/tcp").write_text(rows)
    assert logged_in(str(tmp_path)) == [ipaddress.ip_address("203.0.113.7")]


def test_every_kind_of_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [{"ifname": "eth0", "addr_info": [{"local": "192.0.2.9", "prefixlen": 24}]}]
    monkeypatch.setattr(own_addresses, "_ip", lambda *a: shown if "address" in a else [{"gateway": "192.0.2.1"}])
    monkeypatch.setattr(own_addresses, "logged_in", lambda _proc: [ipaddress.ip_address("203.0.113.1")])
    names = ("private_ranges", "allow", "monitoring", "operators", "trusted_proxies")
    settings = {name: [f"198.51.100.{number}"] for number, name in enumerate(names)}
    guard = own_addresses.guard_of(settings)
    every = ["192.0.2.9", "192.0.2.1", "203.0.113.1", *(f"198.51.100.{number}" for number in range(5))]
    assert [text for text in every if not guard.forbids(ipaddress.ip_network(text))] == []
    assert guard.forbids(ipaddress.ip_network("198.51.100.9")) == ""
