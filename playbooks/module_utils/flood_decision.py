"""Decides from what a host shows which of the causes of a flood hold, and what is done about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.access_log import Request
from ansible.module_utils.address_guard import Address, Network, prefix_of, single
from ansible.module_utils.ban_jail import JAIL, files_of
from ansible.module_utils.flood_facts import Facts, hits
from ansible.module_utils.host_step import HELD, Found, Step, measure
from ansible.module_utils.nft_table import TABLE
from ansible.module_utils.nginx_block import LIMITS, PATHS, limits_body, paths_body
from ansible.module_utils.talkers import Talker, by_address, by_prefix, loudest, shown_network

LIMIT, DROP, BLOCK, BAN = "limit", "drop", "block", "ban"
_SHOWN = 8


@dataclass
class Picture:
    """Who asks how much, sorted into those who may be blocked, and the rest."""

    hostile: list[Talker]
    #: Requests that are answered and do not come from a hostile or a blocked source.
    rest: list[Request]
    #: Sources over the threshold that must not be blocked, with the reason.
    spared: dict[Network, str]
    offenders: list[Talker]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second that are answered, without the hostile sources."""
        return len(self.rest) / self.seconds

    def share(self, paths: Collection[str]) -> float:
        """Return which part of the requests is for some paths, in percent."""
        return 100 * sum(hits(one.path, list(paths)) for one in self.rest) / max(len(self.rest), 1)


def picture_of(facts: Facts, settings: dict[str, Any]) -> Picture:
    """Sort the sources of a host."""
    refusals = settings["refusals"]
    talkers = by_address(facts.requests, facts.connections, refusals)
    gone = {*facts.blocked, *facts.banned}
    loud = [one for one in talkers.values() if _is_loud(one, facts.seconds, settings) and not _within(one, gone)]
    nets = [one for one in _loud_prefixes(talkers.values(), loud, facts, settings) if one.network not in gone]
    singles = [one for one in loud if not _within(one, {net.network for net in nets})]
    _, refused = facts.guard.admissible(one.network for one in singles)
    spared = refused | {one.network: "seen through a trusted proxy" for one in singles if one.through_proxy}
    able = [one for one in [*nets, *singles] if one.network not in spared] if facts.can_block else []
    hostile = loudest(able, settings["block_most"])
    away = gone | {one.network for one in hostile}
    kept = {one.address for one in facts.requests if not _is_in(one.address, away)}
    served = (one for one in facts.requests if _is_served(one, facts, settings))
    rest = [one for one in served if one.through_proxy or one.address in kept]
    return Picture(hostile, rest, spared, _offenders(facts, settings, away), facts.seconds)


def _is_loud(one: Talker, seconds: float, settings: dict[str, Any]) -> bool:
    return one.requests / seconds >= settings["source_rate"] or one.connections >= settings["source_connections"]


def _loud_prefixes(
    talkers: Iterable[Talker], loud: list[Talker], facts: Facts, settings: dict[str, Any]
) -> list[Talker]:
    """Return prefixes many of whose addresses take part.

    A /24 is shared by strangers, so only addresses that are loud themselves count; a /64 usually is one customer, who
    can take another address for each request.
    """
    all_6 = by_prefix(one for one in talkers if one.network.version == 6 and not one.through_proxy)
    loud_4 = by_prefix(one for one in loud if one.network.version == 4 and not one.through_proxy)
    nets = [*loud_4.values(), *(one for one in all_6.values() if _is_loud(one, facts.seconds, settings))]
    many = [one for one in nets if len(one.addresses) >= settings["prefix_addresses"]]
    admitted, _ = facts.guard.admissible(one.network for one in many)
    return [one for one in many if one.network in admitted]


def _within(one: Talker, networks: Collection[Network]) -> bool:
    return _is_in(one.network.network_address, networks)


def _is_in(address: Address, networks: Collection[Network]) -> bool:
    """Return whether single addresses and prefixes hold an address; they are many, so nothing is walked through."""
    return single(address) in networks or prefix_of(address) in networks


def _is_served(request: Request, facts: Facts, settings: dict[str, Any]) -> bool:
    """Return whether a request was let through to the application."""
    dropped = facts.paths and request.status == 503 and hits(request.path, settings["expensive_paths"])
    return request.status not in settings["refusals"] and not dropped


def _offenders(facts: Facts, settings: dict[str, Any], away: Collection[Network]) -> list[Talker]:
    """Return those who were refused again and again and do not stop."""
    talkers = by_address(facts.longer, Counter(), settings["refusals"])
    many = [
        one
        for one in talkers.values()
        if one.refused >= settings["ban_hits"] and not one.through_proxy and not _within(one, away)
    ]
    admitted, _ = facts.guard.admissible(one.network for one in many)
    return loudest([one for one in many if one.network in admitted], settings["block_most"])


def decide(facts: Facts, settings: dict[str, Any]) -> Found:
    """Return the causes that hold, each with its evidence, and the steps."""
    picture = picture_of(facts, settings)
    found = Found("", notes=list(facts.notes), measures=_measures(facts, picture, settings))
    _request_flood(found, facts, picture, settings)
    _hostile_sources(found, facts, picture, settings)
    _repeat_offenders(found, facts, picture, settings)
    _expensive_paths(found, facts, picture, settings)
    _upstream(found, facts, settings)
    found.notes += _spared(picture)
    found.summary = (
        f"{picture.rate:.0f} requests per second are answered besides {len(picture.hostile)} hostile sources, "
        f"{len(facts.blocked) + len(facts.banned)} sources are shut out, {facts.bandwidth:.0f} Mbit/s come in"
    )
    return found


def _request_flood(found: Found, facts: Facts, picture: Picture, settings: dict[str, Any]) -> None:
    if picture.rate <= settings["flood_rate"]:
        return
    top = loudest(by_address(picture.rest, Counter(), ()).values(), 3)
    named = ", ".join(f"{shown_network(one.network)} with {one.requests / facts.seconds:.1f}" for one in top)
    sources = len({one.address for one in picture.rest})
    found.causes["request_flood"] = [
        f"{picture.rate:.1f} requests per second are answered, more than {settings['flood_rate']:g}",
        f"they come from {sources} addresses that are not blocked and would not be; most from {named}",
    ]
    reason = _no_limit(facts, picture, settings)
    if reason:
        found.notes.append(reason)
        found.enough = False
        return
    rate, burst, most = settings["limit_rate"], settings["limit_burst"], settings["limit_connections"]
    found.steps.append(
        Step(
            "request_flood",
            LIMIT,
            settings["limits_file"],
            HELD,
            note="nginx tests it and reads it again",
            detail=(f"each address: {rate} requests/s, burst {burst}, {most} connections; above that 429",),
            data={"block": LIMITS, "body": limits_body(facts.guard, rate, burst, most)},
        )
    )


def _no_limit(facts: Facts, picture: Picture, settings: dict[str, Any]) -> str:
    """Return why limits by address would not help, or nothing."""
    talkers = by_address(picture.rest, Counter(), ()).values()
    spared = [one for one in talkers if facts.guard.forbids(one.network)]
    if 2 * sum(one.requests for one in spared) > len(picture.rest):
        address = loudest(spared, 1)[0].network
        return (
            f"most requests seem to come from addresses that are never limited, {shown_network(address)} first "
            f"({facts.guard.forbids(address)}): a proxy hides who sends them, or it is one of your own; limits by "
            "address cannot help, look there"
        )
    if not settings["limits_file"]:
        return "requests cannot be limited: set ddos_attack_limits_file to a configuration that nginx reads"
    if facts.limits and _directives(facts.limits) == _directives(limits_body(facts.guard, *_limits(settings))):
        return "the limits are in place and it is still too much: sources are many; call whoever is upstream"
    return ""


def _limits(settings: dict[str, Any]) -> tuple[int, int, int]:
    return settings["limit_rate"], settings["limit_burst"], settings["limit_connections"]


def _directives(body: str) -> list[str]:
    return [line for line in body.splitlines() if line.startswith("limit_")]


def _hostile_sources(found: Found, facts: Facts, picture: Picture, settings: dict[str, Any]) -> None:
    if not facts.can_block:
        found.notes.append("sources cannot be blocked on this host: install nftables")
    if not picture.hostile:
        return
    found.causes["hostile_sources"] = [_told(one, facts.seconds) for one in picture.hostile[:_SHOWN]]
    if len(picture.hostile) > _SHOWN:
        found.causes["hostile_sources"].append(f"and {len(picture.hostile) - _SHOWN} more")
    sources = [shown_network(one.network) for one in picture.hostile]
    found.steps.append(
        Step(
            "hostile_sources",
            BLOCK,
            TABLE,
            HELD,
            note=_listed(sources),
            detail=(
                f"sources with {settings['source_rate']:g} requests/s or {settings['source_connections']} connections",
                f"at most {settings['block_most']} sources, each for {settings['block_seconds']} s",
            ),
            data={"sources": sources, "seconds": settings["block_seconds"], "most": settings["block_most"]},
        )
    )


def _told(one: Talker, seconds: float) -> str:
    many = f" ({len(one.addresses)} addresses)" if len(one.addresses) > 1 else ""
    return (
        f"{shown_network(one.network)}{many}: {one.requests / seconds:.1f} requests per second, "
        f"{one.connections} open connections"
    )


def _listed(sources: list[str]) -> str:
    more = f" and {len(sources) - _SHOWN} more" if len(sources) > _SHOWN else ""
    return ", ".join(sources[:_SHOWN]) + more


def _repeat_offenders(found: Found, facts: Facts, picture: Picture, settings: dict[str, Any]) -> None:
    if not picture.offenders:
        return
    found.causes["repeat_offenders"] = [
        f"{shown_network(one.network)}: refused {one.refused} times within {settings['ban_window']} s and goes on"
        for one in picture.offenders[:_SHOWN]
    ]
    if not facts.can_ban:
        found.notes.append("repeat offenders cannot be banned on this host: install fail2ban and nftables")
        found.enough = False
        return
    offenders = [shown_network(one.network) for one in picture.offenders]
    files = files_of(settings, facts.guard, facts.log, alone=not settings["ban_runs"])
    found.steps.append(
        Step(
            "repeat_offenders",
            BAN,
            f"fail2ban jail {JAIL}",
            HELD,
            note=_listed(offenders),
            detail=(
                f"whoever is refused {settings['ban_hits']} times within {settings['ban_window']} s",
                f"is banned for {settings['ban_seconds']} s",
            ),
            data={"files": files, "offenders": offenders},
        )
    )


def _expensive_paths(found: Found, facts: Facts, picture: Picture, settings: dict[str, Any]) -> None:
    paths = settings["expensive_paths"]
    share = picture.share(paths)
    if picture.rate <= settings["flood_rate"] or not paths or share < settings["path_share"] or facts.paths:
        return
    found.causes["expensive_paths"] = [
        f"{share:.0f} % of {picture.rate:.1f} requests per second are for {', '.join(paths)}"
    ]
    if not settings["paths_file"]:
        found.notes.append("paths cannot be dropped: set ddos_attack_paths_file to the file with nginx's server block")
        return
    found.steps.append(
        Step(
            "expensive_paths",
            DROP,
            settings["paths_file"],
            HELD,
            note="nginx tests it and reads it again",
            detail=(f"{', '.join(paths)}: 503 for everybody",),
            data={"block": PATHS, "body": paths_body(paths)},
        )
    )


def _upstream(found: Found, facts: Facts, settings: dict[str, Any]) -> None:
    if facts.bandwidth <= settings["bandwidth"]:
        return
    found.causes["upstream"] = [f"{facts.bandwidth:.0f} Mbit/s come in, more than {settings['bandwidth']:g}"]
    found.notes.append(
        "call whoever is upstream (provider, DDoS protection): this host cannot keep packets off its line"
    )
    found.enough = False


def _spared(picture: Picture) -> list[str]:
    told = [f"{shown_network(network)} ({why})" for network, why in list(picture.spared.items())[:_SHOWN]]
    return [f"over the threshold, and never blocked: {', '.join(told)}"] if told else []


def _measures(facts: Facts, picture: Picture, settings: dict[str, Any]) -> list[dict[str, Any]]:
    rate, most, bandwidth = picture.rate, settings["flood_rate"], facts.bandwidth
    return [
        measure("requests answered", round(rate, 1), "1/s", f"<= {most:g}", ok=rate <= most),
        measure("sources shut out", len(facts.blocked) + len(facts.banned), "", ">= 0", ok=True),
        measure("hostile sources", len(picture.hostile), "", "0", ok=not picture.hostile),
        measure(
            "traffic in",
            round(bandwidth, 1),
            "Mbit/s",
            f"<= {settings['bandwidth']:g}",
            ok=bandwidth <= settings["bandwidth"],
        ),
    ]
