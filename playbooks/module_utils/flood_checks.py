"""What verification says about a host after a flood."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.address_guard import network_of, single
from ansible.module_utils.flood_decision import BAN, BLOCK, Picture
from ansible.module_utils.flood_facts import Facts
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check
from ansible.module_utils.host_step import Done
from ansible.module_utils.talkers import Talker, shown_network

#: What was under way when a source was blocked is still written down a little later.
_AFTER = 3.0


def checks_of(
    facts: Facts, picture: Picture, settings: dict[str, Any], done: Done, dropped: int, *, jail_ok: bool
) -> list[Check]:
    """Return everything that was looked at."""
    verbs = {step.verb for step in done.steps}
    # Whom the limits refuse does no harm; that they go on is only a failure of a run that was to ban them.
    loud = [*picture.hostile, *(picture.offenders if BAN in verbs else ())]
    checks = [_rate(picture, settings), _sources(loud), _never(facts), _traffic(facts, settings)]
    if BLOCK in verbs:
        checks.append(_blocked(facts, done, dropped))
    if BAN in verbs:
        checks.append(_banned(facts, jail_ok=jail_ok))
    return checks


def _rate(picture: Picture, settings: dict[str, Any]) -> Check:
    said = f"{picture.rate:.1f} requests per second are answered, {settings['flood_rate']:g} are normal"
    return check("request rate", CURED if picture.rate <= settings["flood_rate"] else NOT_CURED, said)


def _sources(loud: list[Talker]) -> Check:
    if not loud:
        return check("sources", CURED, "no source is over a threshold and let in")
    named = ", ".join(shown_network(one.network) for one in loud[:5])
    return check("sources", NOT_CURED, f"{len(loud)} sources are over a threshold and let in: {named}")


def _never(facts: Facts) -> Check:
    wrong = [one for one in (*facts.blocked, *facts.banned) if facts.guard.forbids(one)]
    if not wrong:
        return check("never blocked", CURED, "nobody is blocked who must not be")
    named = ", ".join(f"{shown_network(one)} ({facts.guard.forbids(one)})" for one in wrong[:5])
    return check("never blocked", NOT_CURED, f"blocked, and must not be: {named}")


def _traffic(facts: Facts, settings: dict[str, Any]) -> Check:
    said = f"{facts.bandwidth:.0f} Mbit/s come in, {settings['bandwidth']:g} are normal"
    return check("traffic", CURED if facts.bandwidth <= settings["bandwidth"] else NOT_CURED, said)


def _blocked(facts: Facts, done: Done, dropped: int) -> Check:
    steps = [step for step in done.steps if step.verb == BLOCK]
    wanted = {network_of(text, "the snapshot") for step in steps for text in step.data["sources"]}
    # A source may have become one of those that are never blocked after it was written down.
    missing = [one for one in wanted if one not in facts.blocked and not facts.guard.forbids(one)]
    expired = done.at is not None and facts.now - done.at > min(step.data["seconds"] for step in steps)
    if missing and not expired:
        return check("blocked sources", NOT_CURED, f"{shown_network(missing[0])} is not blocked any more")
    heard = {single(one.address) for one in facts.requests if one.at > (done.at or 0) + _AFTER} & wanted
    if heard:
        return check("blocked sources", NOT_CURED, f"{shown_network(heard.pop())} is blocked and still comes through")
    said = f"{len(facts.blocked)} sources are blocked, {dropped} of their packets were dropped"
    return check("blocked sources", CURED, said)


def _banned(facts: Facts, *, jail_ok: bool) -> Check:
    said = f"{len(facts.banned)} sources are banned"
    return check("banned sources", CURED, said) if jail_ok else check("banned sources", NOT_CURED, "the jail is gone")
