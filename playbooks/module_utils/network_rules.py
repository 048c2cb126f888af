"""Shuts this host off but for those who work on it: one nftables table of our own, lifted as a whole."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible.module_utils.host_step import StepError
from ansible.module_utils.stack_program import StackError, run_program

TABLE = "remediate_containment"
_UNIT = "remediate-containment-safety"
_SECONDS = 20.0
_NEIGHBORS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, nd-router-solicit } accept"


@dataclass(frozen=True)
class Allowed:
    """Who may still be talked to."""

    #: Those who work on the host: both ways.
    responders: tuple[str, ...]
    #: What the host needs: only what it begins itself.
    egress: tuple[str, ...]
    #: Interfaces over which the host's own containers talk to each other.
    inside: tuple[str, ...] = ()


def ruleset(allowed: Allowed) -> str:
    """Return the rules; loading them replaces the table in one step."""
    lines = [
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *_sets("responders", allowed.responders),
        *_sets("egress", allowed.egress),
        *_chain("input", _input(allowed.inside)),
        *_chain("output", _output(allowed.inside)),
        *_chain("forward", _forward(allowed.inside)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _sets(name: str, addresses: Iterable[str]) -> list[str]:
    parsed = [ipaddress.ip_network(one, strict=False) for one in addresses]
    lines = []
    for version in (4, 6):
        elements = ", ".join(sorted({str(one) for one in parsed if one.version == version}))
        lines.append(f"  set {name}{version} {{ type ipv{version}_addr; flags interval; auto-merge;")
        lines += [f"    elements = {{ {elements} }}"] if elements else []
        lines.append("  }")
    return lines


def _chain(hook: str, rules: Sequence[str]) -> list[str]:
    head = f"    type filter hook {hook} priority -10; policy drop;"
    return [f"  chain {hook} {{", head, *(f"    {rule}" for rule in rules), "  }"]


def _both(template: str) -> list[str]:
    """Return a rule for both versions of the protocol."""
    return [template.replace("IP", "ip").replace("VV", "4"), template.replace("IP", "ip6").replace("VV", "6")]


def _input(inside: Sequence[str]) -> list[str]:
    return [
        'iifname "lo" accept',
        *_both("IP saddr @respondersVV accept"),
        *_both("ct state established,related IP saddr @egressVV accept"),
        *([f"iifname {_names(inside)} ct state established,related accept"] if inside else []),
        _NEIGHBORS,
        "udp sport 67 udp dport 68 accept",
    ]


def _output(inside: Sequence[str]) -> list[str]:
    return [
        'oifname "lo" accept',
        *([f"oifname {_names(inside)} accept"] if inside else []),
        *_both("IP daddr @respondersVV accept"),
        *_both("IP daddr @egressVV accept"),
        _NEIGHBORS,
        "udp sport 68 udp dport 67 accept",
    ]


def _forward(inside: Sequence[str]) -> list[str]:
    return [
        *([f"iifname {_names(inside)} oifname {_names(inside)} accept"] if inside else []),
        *_both("IP saddr @respondersVV accept"),
        *_both("IP daddr @respondersVV accept"),
        *_both("IP daddr @egressVV accept"),
        *_both("ct state established,related IP saddr @egressVV accept"),
    ]


def _names(interfaces: Sequence[str]) -> str:
    return "{ " + ", ".join(f'"{one}"' for one in interfaces) + " }"


def is_in_force() -> bool:
    """Whether the table is loaded. Without the tool there is none of ours."""
    if shutil.which("nft") is None:
        return False
    return run_program(["nft", "list", "table", "inet", TABLE], _SECONDS).code == 0


def need_tools() -> None:
    """Raise StepError where this host cannot be shut off, or the rules could not be taken back by themselves."""
    for program, package in (("nft", "nftables"), ("systemd-run", "systemd")):
        if shutil.which(program) is None:
            raise StepError(f"the program {program} is not on this host; nothing was done: install {package}")


def shut(allowed: Allowed, seconds: int) -> None:
    """Load the rules. They take themselves back after so many seconds, unless `keep_shut` is called before."""
    need_tools()
    if not allowed.responders:
        raise StepError(
            "nobody would be let in any more: this does not run over SSH, and data_breach_responders names nobody; "
            "the network was left as it is"
        )
    _run(["nft", "--check", "--file", "-"], ruleset(allowed))
    _disarm()
    undo = [shutil.which("nft") or "nft", "delete", "table", "inet", TABLE]
    _run(["systemd-run", "--quiet", "--collect", f"--unit={_UNIT}", f"--on-active={seconds}", *undo])
    _run(["nft", "--file", "-"], ruleset(allowed))


def keep_shut() -> bool:
    """Stop the timer that would take the rules back; return whether it was still running."""
    if not is_in_force():
        raise StepError(
            "the containment is not in force any more: it took itself back because no new connection confirmed it in "
            "time; look at data_breach_containment_seconds, then start a new run"
        )
    running = run_program(["systemctl", "is-active", f"{_UNIT}.timer"], _SECONDS).output.strip() == "active"
    _disarm()
    return running


def open_again() -> bool:
    """Take the rules back; return whether there were any."""
    there = is_in_force()
    if there:
        _run(["nft", "delete", "table", "inet", TABLE])
    _disarm()
    return there


def _disarm() -> None:
    """Stop what would take the rules back; it is in order when there is none."""
    if shutil.which("systemctl"):
        run_program(["systemctl", "stop", f"{_UNIT}.timer"], _SECONDS)


def _run(arguments: list[str], given: str = "") -> None:
    finished = run_program(arguments, _SECONDS, given=given)
    if finished.code != 0:
        raise StackError(f"{' '.join(arguments[:3])} failed: {finished.last_line}")
