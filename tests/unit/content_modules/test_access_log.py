"""Access logs are written by strangers: what they say is bounded, and only the peer's address counts."""

from __future__ import annotations

import ipaddress
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from ansible.module_utils.access_log import parse_line, read_log
from ansible.module_utils.host_step import StepError
from ansible.module_utils.peer_table import connections, count_followed, count_peers, most
from ansible.module_utils.talkers import by_address, by_prefix, loudest

AT = 1_795_774_500.0
HEAD = "203.0.113.7 - - [27/Nov/2026:10:15:00 +0000] "
PLAIN = HEAD + '"GET /search?q=1 HTTP/1.1" 200 5 "-" "curl/8"'
PROXY = [ipaddress.ip_network("192.0.2.0/24")]


def test_a_line_is_read() -> None:
    request = parse_line(PLAIN)
    assert request is not None
    assert (str(request.address), request.path, request.status, request.at) == ("203.0.113.7", "/search", 200, AT)
    other = parse_line(PLAIN.replace("10:15:00 +0000", "12:45:00 +0230"))
    assert other is not None
    assert other.at == AT


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not a line",
        "shop.example.com" + PLAIN[11:],
        "999.1.1.1" + PLAIN[11:],
        "fe80::1%eth0" + PLAIN[11:],
        PLAIN.replace("Nov", "Nix"),
        PLAIN[:20],
        "\x00" * 50,
    ],
)
def test_what_is_no_request_says_nothing(line: str) -> None:
    assert parse_line(line) is None


def test_a_name_cannot_forge_another_moment() -> None:
    user = r"x [01/Jan/2020:00:00:00 +0000] \x22GET / HTTP/1.1\x22 200"
    request = parse_line(PLAIN.replace("- -", f"- {user}"))
    assert request is not None
    assert request.at == AT


def test_a_request_that_is_no_request_is_counted_with_its_status() -> None:
    for said in ("", r"\x16\x03\x01", "GET", "A B C D E"):
        request = parse_line(f'{HEAD}"{said}" 400 150 "-" "-"')
        assert request is not None
        assert request.status == 400


def test_a_line_of_a_megabyte_is_read_as_far_as_it_is_looked_at() -> None:
    began = time.monotonic()
    request = parse_line(HEAD + '"GET /' + "a [" * 350_000)
    assert request is not None
    assert (request.status, str(request.address)) == (0, "203.0.113.7")
    assert parse_line("x [" * 350_000) is None
    assert time.monotonic() - began < 1


def test_whom_others_say_that_they_forward_for_is_not_believed() -> None:
    request = parse_line(PLAIN + ' "127.0.0.1"', PROXY)
    assert request is not None
    assert (str(request.address), request.through_proxy) == ("203.0.113.7", False)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("10.0.0.1, 198.51.100.9, 192.0.2.8", "198.51.100.9"),
        ("198.51.100.9, nonsense", "192.0.2.7"),
        ("-", "192.0.2.7"),
    ],
)
def test_of_what_a_trusted_proxy_says_only_the_last_stranger_counts(said: str, address: str) -> None:
    request = parse_line(PLAIN.replace("203.0.113.7", "192.0.2.7") + f' "{said}"', PROXY)
    assert request is not None
    assert str(request.address) == address


def test_the_log_of_a_container_is_unwrapped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    wrapped = json.dumps({"log": PLAIN + "\n", "stream": "stdout", "time": "x"})
    log.write_text(f'{wrapped}\n{{"log":\n{{"log": 5}}\n' + '{"log":' * 3000 + "\n")
    found = read_log(str(log), AT - 5, 1 << 20)
    assert (len(found.requests), found.unreadable) == (1, 3)


def test_no_more_than_the_end_is_read_and_it_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes((PLAIN.encode() + b"\n") * 1000 + b"\xff\xfe broken utf-8\n")
    found = read_log(str(log), AT - 5, 1000)
    assert (len(found.requests), found.unreadable, found.cut) == (10, 1, True)
    assert not read_log(str(log), AT + 5, 1000).cut


@pytest.mark.parametrize("kind", ["link", "pipe", "missing"])
def test_what_is_no_log_is_refused_with_the_input_that_names_it(tmp_path: Path, kind: str) -> None:
    import os  # noqa: PLC0415 - for this test alone

    log = tmp_path / "log"
    if kind == "link":
        log.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(log)
    with pytest.raises(StepError, match="ddos_attack_access_log"):
        read_log(str(log), 0, 1000)


ROW = "  {}: {}:0050 {}:C350 {} 00000000:00000000 00:00000000 00000000 0 0 {} 1 0\n"


def test_connections_are_counted_by_who_is_on_the_other_side() -> None:
    mapped = "0000000000000000FFFF0000077100CB"
    table = (
        "  sl  local_address rem_address st\n"
        + ROW.format(0, "0B0014AC", "077100CB", "01", 5)
        + ROW.format(1, mapped, mapped, "03", 6)
        + ROW.format(2, "0B0014AC", "077100CB", "06", 7)
        + ROW.format(3, "0B0014AC", "zz7100CB", "01", 8)
        + "garbage: x\n"
    )
    assert count_peers(table, {80}) == {ipaddress.ip_address("203.0.113.7"): 2}
    assert count_peers(table, {443}) == {}
    assert len(list(connections(table))) == 3


def test_connections_that_a_firewall_follows_are_counted_once() -> None:
    there = "src=203.0.113.7 dst=192.0.2.1 sport=5 dport=80"
    line = f"ipv4 2 tcp 6 431999 ESTABLISHED {there} src=172.18.0.5 dst=203.0.113.7 sport=80 dport=5"
    followed = count_followed([line, line, line.replace("ESTABLISHED", "TIME_WAIT"), "x"], {80})
    assert followed == {ipaddress.ip_address("203.0.113.7"): 2}
    assert most(followed, Counter({ipaddress.ip_address("203.0.113.7"): 5})) == {ipaddress.ip_address("203.0.113.7"): 5}


def test_talkers_are_counted_by_address_and_by_prefix() -> None:
    lines = [PLAIN, PLAIN, PLAIN.replace("113.7", "113.8").replace(" 200 ", " 429 ")]
    requests = [one for one in map(parse_line, lines) if one is not None]
    found = by_address(requests, Counter(), (429,))
    (prefix,) = by_prefix(found.values()).values()
    assert [one.requests for one in loudest(found.values(), 5)] == [2, 1]
    assert prefix.record(3) == {
        "source": "203.0.113.0/24",
        "addresses": 2,
        "requests": 3,
        "requests_per_second": 1.0,
        "refused": 1,
        "connections": 0,
        "through_proxy": False,
    }
