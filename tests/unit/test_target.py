"""Which host an instance names: one exact host, or none, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.host import Host
from remediate.domain.target import NoTarget, Target, named_host, target

ANY = "0.0.0.0"  # noqa: S104  # the address of nobody
HOSTS = (
    Host(name="landsraad", addresses=("10.0.0.5", "2001:db8::5", "www.chom.example")),
    Host(name="mentat.example", addresses=("10.0.0.6",)),
    Host(name="here", addresses=("127.0.0.1", "::1", "localhost", "::ffff:127.0.0.1", ANY)),
    Host(name="twin-1", addresses=("10.0.0.9",)),
    Host(name="twin-2", addresses=("10.0.0.9",)),
    Host(name="10.0.0.7", addresses=()),
    Host(name="odd", addresses=("10.0.0.7",)),
    Host(name="!x", addresses=("10.0.0.8",)),
)


@pytest.mark.parametrize(
    ("instance", "host"),
    [
        ("landsraad", "landsraad"),
        ("landsraad:9100", "landsraad"),
        ("10.0.0.5:9100", "landsraad"),
        ("2001:db8::5", "landsraad"),
        ("[2001:db8::5]:9100", "landsraad"),
        ("[2001:0DB8:0:0::5]:9100", "landsraad"),
        ("https://landsraad:8443/health?x=1#y", "landsraad"),
        ("https://www.chom.example/health", "landsraad"),
        ("http://[2001:db8::5]:80/", "landsraad"),
        ("tcp://mentat.example:22", "mentat.example"),
        ("mentat.example", "mentat.example"),
    ],
)
def test_an_instance_names_the_host_that_has_this_name_or_address(instance: str, host: str) -> None:
    assert target(instance, HOSTS) == Target(host=host)


@pytest.mark.parametrize(
    "instance",
    [
        *("all", "web*", "land*", "!landsraad", "!x", "~.*", "@/etc/passwd", "landsraad,mentat.example", "landsraad&x"),
        *("localhost", "localhost:9100", "127.0.0.1:9100", "[::1]:9100", "::ffff:127.0.0.1", ANY, "127.0.0.2"),
        *("", " ", "landsraad ", " landsraad", "landsraad.", "Landsraad", "WWW.chom.example", "landsraad\n"),
        *(
            "mentat",
            "mentat.example.",
            "landsraad:0",
            "landsraad:65536",
            "landsraad:",
            "landsraad:x",
            "landsraad:9100:1",
        ),
        *("[landsraad]:9100", "[10.0.0.5]", "[2001:db8::5", "[2001:db8::5]x", "[2001:db8::5]:", "2001:db8::5%eth0"),
        *("https://", "https://user@landsraad/", "//landsraad/", "https:landsraad", "file:///landsraad", "1" * 3000),
        *("10.0.0.5/8", "0x0a000005", "167772165", "10.0.0.005", "{{ landsraad }}", "$(landsraad)", "l\u0430ndsraad"),
        *("10.0.0.8", "unknown"),
    ],
)
def test_whatever_else_it_says_there_is_no_target(instance: str) -> None:
    found = target(instance, HOSTS)

    assert isinstance(found, NoTarget)
    assert found.reason.isprintable()


def test_a_host_that_cannot_be_told_from_another_is_no_target_and_both_are_named() -> None:
    assert target("10.0.0.9:9100", HOSTS) == NoTarget(reason="'10.0.0.9:9100' may be any of twin-1, twin-2")
    assert target("10.0.0.7", HOSTS) == NoTarget(reason="'10.0.0.7' may be any of 10.0.0.7, odd")


def test_an_inventory_without_hosts_has_no_target() -> None:
    assert isinstance(target("landsraad", ()), NoTarget)


@given(st.text(max_size=80))
def test_whatever_it_says_the_target_is_written_in_it(instance: str) -> None:
    found = target(instance, HOSTS)

    if isinstance(found, Target):
        host = next(one for one in HOSTS if one.name == found.host)
        assert named_host(instance) in {host.name, *host.addresses}
