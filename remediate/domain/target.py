"""Which host an alert is about: one exact host of the inventory, or none. What a label says is never a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from remediate.domain.host import Host, unknown_hosts
from remediate.domain.text import quoted
from remediate.domain.value import Value

_LONGEST = 2048
_PORT = re.compile(r"[0-9]{1,5}\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
#: What may stand in the name of a host; anything else is no host, whatever it may mean elsewhere.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}\Z")


class Target(Value):
    """The host that an alert is about."""

    host: str


class NoTarget(Value):
    """No host, and why."""

    reason: str


def target(instance: str, hosts: Iterable[Host]) -> Target | NoTarget:
    """Return the one host that an `instance` names: by its name in the inventory, or by an address declared there.

    An instance is `host`, `host:port`, `address`, `[address]:port` or a URL. Nothing is looked up in a name service,
    and the case of a name counts.
    """
    shown = quoted(instance, 80)
    if not instance:
        return NoTarget(reason="it names no instance")
    name = named_host(instance)
    if name is None:
        return NoTarget(reason=f"{shown!r} is no host, no address and no URL")
    address = _address(name)
    found = [host for host in hosts if host.name == name or (address and address in map(_address, _addresses(host)))]
    if not address:
        found += [host for host in hosts if name in _addresses(host) and host not in found]
    if not found:
        return NoTarget(reason=f"{shown!r} is no host of the inventory, and no address of one")
    if len(found) > 1:
        listed = ", ".join(sorted(host.name for host in found)[:5])
        return NoTarget(reason=f"{shown!r} may be any of {listed}")
    if problems := unknown_hosts([found[0].name], [found[0].name]):
        return NoTarget(reason=problems[0])
    return Target(host=found[0].name)


def named_host(instance: str) -> str | None:
    """Return the host in an instance as it is written there, an address without its brackets; None when it is none."""
    if len(instance) > _LONGEST:
        return None
    rest = instance
    if scheme := _SCHEME.match(instance):
        rest = re.split(r"[/?#]", instance[scheme.end() :], maxsplit=1)[0]
    if rest.startswith("["):
        name, closed, port = rest[1:].partition("]")
        is_host = bool(closed) and ":" in name and _address(name) and (not port or _is_port(port.removeprefix(":")))
        return name if is_host and (not port or port.startswith(":")) else None
    if rest.count(":") > 1:
        return rest if _address(rest) and not scheme else None
    name, colon, port = rest.partition(":")
    return name if _NAME.match(name) and (not colon or _is_port(port)) else None


def _is_port(text: str) -> bool:
    return bool(_PORT.match(text)) and 0 < int(text) < 65536


def _addresses(host: Host) -> tuple[str, ...]:
    """The addresses by which a host may be named; that of this machine itself means another machine to each sender."""
    return tuple(one for one in host.addresses if one != "localhost" and not _is_own(one))


def _address(text: str) -> str:
    """Return an address in its one spelling, or an empty string for what is none."""
    if "%" in text:
        return ""
    try:
        return ip_address(text).compressed
    except ValueError:
        return ""


def _is_own(text: str) -> bool:
    if not (spelled := _address(text)):
        return False
    address = ip_address(spelled)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)
