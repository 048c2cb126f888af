"""The table `inet remediate`: sources whose packets are dropped before anything else sees them, each until its time.

The table is ours alone and the only thing that is ever touched: other tables, such as those of a container engine,
are neither read nor written. It drops where packets come in, before addresses are translated, so it holds for
services of the host and for ports that are published into containers. What must never be blocked is accepted above
the drop, whoever writes a set.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Collection, Iterable
from typing import Any

from ansible.module_utils.address_guard import Guard, Network, plain_network
from ansible.module_utils.host_step import StepError
from ansible.module_utils.stack_program import Finished, StackError, run_program

TABLE = "inet remediate"
#: No block is longer than a day, and no set larger than this, whatever was asked for.
MOST_SECONDS = 86400
MOST_ELEMENTS = 65536
#: Written by us, and by the program that bans; both have a set for each form of a source.
BLOCKED, BANNED = "blocked", "banned"
_FORMS = {"4": "ipv4_addr", "6": "ipv6_addr", "4_nets": "ipv4_addr", "6_nets": "ipv6_addr"}
_MATCHES = {
    "4": "ip saddr",
    "6": "ip6 saddr",
    "4_nets": "ip saddr & 255.255.255.0",
    "6_nets": "ip6 saddr & ffff:ffff:ffff:ffff::",
}
_SECONDS = 20.0


def set_of(network: Network, kind: str = BLOCKED) -> str:
    """Return the set that a source belongs into."""
    whole = network.prefixlen == network.max_prefixlen
    return f"{kind}{network.version}{'' if whole else '_nets'}"


def script(guard: Guard, wanted: Iterable[Network], seconds: int, most: int, present: Collection[Network] = ()) -> str:
    """Return what makes the table as it should be and adds sources; all of it happens, or nothing.

    Only what the guard admits is ever written, and no more than `most` sources together with those `present`.
    """
    admitted, _ = guard.admissible(wanted)
    new = [network for network in admitted if network not in present]
    new = new[: max(0, min(most, MOST_ELEMENTS) - len(present))]
    span = max(1, min(seconds, MOST_SECONDS))
    lines = [*_frame(guard)]
    lines += [f"add element {TABLE} {set_of(one)} {{ {one.network_address} timeout {span}s }}" for one in new]
    return "\n".join(lines) + "\n"


def _frame(guard: Guard) -> list[str]:
    lines = [f"add table {TABLE}"]
    for version, form in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
        name = f"allowed{version}"
        lines.append(f"add set {TABLE} {name} {{ type {form}; flags interval; auto-merge; }}")
        lines.append(f"flush set {TABLE} {name}")
        elements = ", ".join(map(str, guard.networks(int(version))))
        lines.append(f"add element {TABLE} {name} {{ {elements} }}")
    for kind in (BLOCKED, BANNED):
        lines += [
            f"add set {TABLE} {kind}{suffix} {{ type {form}; flags timeout; size {MOST_ELEMENTS}; }}"
            for suffix, form in _FORMS.items()
        ]
    # The chain is made anew each time, in the same transaction: its order is what keeps us from shutting people out.
    lines.append(f"add chain {TABLE} incoming {{ type filter hook prerouting priority -300; policy accept; }}")
    lines.append(f"flush chain {TABLE} incoming")
    lines.append(f"add rule {TABLE} incoming ip saddr @allowed4 accept")
    lines.append(f"add rule {TABLE} incoming ip6 saddr @allowed6 accept")
    for kind in (BLOCKED, BANNED):
        lines += [f"add rule {TABLE} incoming {_MATCHES[suffix]} @{kind}{suffix} counter drop" for suffix in _FORMS]
    return lines


class Blocklist:
    """The table on this host."""

    def there(self) -> bool:
        """Return whether the table is there."""
        return self._listed() is not None

    def state(self, kind: str = BLOCKED) -> dict[Network, int]:
        """Return what is dropped now, and for how many seconds yet."""
        return elements_of(self._listed() or {}, kind)

    def dropped(self) -> int:
        """Return how many packets were dropped since the table was made."""
        return dropped_packets(self._listed() or {})

    def block(self, guard: Guard, wanted: Iterable[Network], seconds: int, most: int) -> list[Network]:
        """Block sources for some time, as far as the guard admits it; return those that were not blocked before."""
        before = self.state()
        self._apply(script(guard, wanted, seconds, most, before))
        return [network for network in self.state() if network not in before]

    def prepare(self, guard: Guard) -> None:
        """Make the table as it should be, with nothing new in it."""
        self._apply(script(guard, (), 1, 0))

    def release(self, wanted: Iterable[Network], kind: str = BLOCKED) -> list[Network]:
        """Take sources out; return those that were in. An empty table goes away whole."""
        there = self.state(kind)
        gone = [network for network in wanted if network in there]
        lines = [f"{TABLE} {set_of(one, kind)} {{ {one.network_address} }}" for one in gone]
        # One that ends by itself in this very moment would make all of it fail: it is put in again before.
        again = [f"add element {line}\ndelete element {line}\n" for line in lines]
        if again:
            self._apply("".join(again))
        if self.there() and not self.state(BLOCKED) and not self.state(BANNED):
            self.remove()
        return gone

    def remove(self) -> None:
        """Take the table away, with all that is in it."""
        if self.there():
            self._apply(f"delete table {TABLE}\n")

    def _listed(self) -> dict[str, Any] | None:
        finished = _nft("--json", "list", "table", *TABLE.split())
        if finished.code != 0:
            if "No such file or directory" in finished.errors:
                return None
            raise StepError(f"the table {TABLE} cannot be read: {finished.last_line}")
        listed: dict[str, Any] = json.loads(finished.output)
        return listed

    def _apply(self, text: str) -> None:
        # Longer than an argument may be, and nothing that belongs into a file.
        descriptor = os.memfd_create("remediate-nft")
        with os.fdopen(descriptor, "wb") as target:
            target.write(text.encode("ascii"))
            target.flush()
            finished = _nft("--file", f"/proc/self/fd/{descriptor}", descriptors=(descriptor,))
        if finished.code != 0:
            raise StepError(f"the packet filter refused, and nothing in it was changed: {finished.last_line}")


def _nft(*arguments: str, descriptors: tuple[int, ...] = ()) -> Finished:
    try:
        return run_program(["nft", *arguments], _SECONDS, pass_fds=descriptors, env=_environment())
    except StackError as error:
        raise StepError(f"sources cannot be blocked: {error}; install nftables") from error


def _environment() -> dict[str, str]:
    """Return a path that has the programs of the administrator, and a language that answers are understood in."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def elements_of(listed: dict[str, Any], kind: str) -> dict[Network, int]:
    """Return the sources in the sets of a kind, as `nft --json` lists them."""
    found: dict[Network, int] = {}
    for one in listed.get("nftables", []):
        name = one.get("set", {}).get("name", "")
        if not name.startswith(kind):
            continue
        for element in one["set"].get("elem", []):
            value, left = _element(element)
            length = {"4_nets": 24, "6_nets": 64}.get(name.removeprefix(kind))
            text = value if length is None else f"{value}/{length}"
            found[plain_network(ipaddress.ip_network(text, strict=False))] = left
    return found


def _element(element: Any) -> tuple[str, int]:
    if isinstance(element, str):
        return element, 0
    return str(element["elem"]["val"]), int(element["elem"].get("expires", 0))


def dropped_packets(listed: dict[str, Any]) -> int:
    """Return how many packets the rules of the table have dropped, as `nft --json` lists them."""
    rules = [one["rule"]["expr"] for one in listed.get("nftables", []) if "rule" in one]
    return sum(int(part["counter"]["packets"]) for rule in rules for part in rule if "counter" in part)
