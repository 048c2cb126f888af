"""Whether the current release is a bad one, and what the evidence for it is: decided from facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible.module_utils.answer_log import Rate
from ansible.module_utils.release_facts import Facts
from ansible.module_utils.releases import age, moment

DOWN, ERRORS, MIGRATION, FULL = (
    "bad_release_down",
    "bad_release_errors",
    "bad_release_with_migration",
    "full",
)
#: States of a service that falls again and again: nobody has stopped it.
_FALLING = ("restarting", "starting")


@dataclass
class Signs:
    """What speaks for a bad release: evidence that it is down, that it errs, and what speaks against it."""

    down: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        """There is evidence of either kind."""
        return bool(self.down or self.errors)

    @property
    def evidence(self) -> list[str]:
        """All of it."""
        return self.down + self.errors


def signs(facts: Facts, settings: Mapping[str, Any]) -> Signs:
    """Return the signs of a bad release; what something else is to blame for is no sign of one."""
    down, errors = _down(facts), _errors(facts, settings)
    notes = list(facts.log_notes)
    if not down and not errors:
        return Signs(notes=notes)
    if against := _against(facts, settings, is_down=bool(down)):
        return Signs(
            notes=[*notes, f"{'; '.join(down or errors)}: but this is not for release {facts.current}: {against}"]
        )
    since = f"release {facts.current} became current at {moment(facts.switched)}"
    fallen = _fallen(facts, settings)
    if down:
        unheard = [] if facts.log_notes else [f"no request to the same address was answered well since {since}"]
        return Signs(down=[*down, *(unheard or [since]), *fallen, *_servers_are_well(settings)], notes=notes)
    return Signs(errors=[*errors, since, *fallen, *_servers_are_well(settings)], notes=notes)


def _down(facts: Facts) -> list[str]:
    if not facts.ready or any(one.good for one in facts.ready):
        return []
    return [f"/health/ready failed {len(facts.ready)} times in a row: {facts.ready[-1].shown}"]


def _errors(facts: Facts, settings: Mapping[str, Any]) -> list[str]:
    if not any(one.good for one in facts.ready):
        return []
    limits = ((facts.last_minute, settings["error_percent"]), (facts.longer, settings["suggest_percent"]))
    found = [_rate(one) for one, limit in limits if _is_high(one, limit, settings)][:1]
    slow = [one.seconds for one in facts.pages]
    if slow and median(slow) > settings["slow_seconds"]:
        found.append(f"answers take longer than {settings['slow_seconds']:g} s")
    falling = [name for name in settings["workers"] if facts.down.get(name, "").startswith(_FALLING)]
    return found + [f"{name} falls again and again" for name in falling]


def _rate(seen: Rate) -> str:
    return f"{seen.errors} of {seen.answers} answers since then were errors ({seen.percent:.0f} %)"


def _is_high(seen: Rate, limit: float, settings: Mapping[str, Any]) -> bool:
    return seen.answers >= settings["min_answers"] and seen.percent > limit


def _against(facts: Facts, settings: Mapping[str, Any], *, is_down: bool) -> str:
    """Return why a trouble that is there is not the release's, or nothing."""
    since = facts.now - facts.switched
    stopped = [
        f"{name} is {facts.down[name]}"
        for name in [*settings["web"], settings["web_server"]]
        if name in facts.down and not facts.down[name].startswith(_FALLING)
    ]
    reasons = (
        (facts.blame, f"{'; '.join(facts.blame)} (see the runbooks service-outage, database-failure and disk-full)"),
        (stopped, f"{'; '.join(stopped)}: somebody stopped it, see the runbook service-outage"),
        (
            since > 60 * settings["recent_minutes"],
            (
                f"it became current {age(facts.switched, facts.now)} ago, which is longer than "
                f"{settings['recent_minutes']} min (deployment_rollback_recent_minutes)"
            ),
        ),
        (
            since < settings["grace"],
            (
                f"it became current {age(facts.switched, facts.now)} ago, and it has {settings['grace']} s to start "
                "(deployment_rollback_grace): look again then"
            ),
        ),
        (is_down and facts.good_since, f"it answered well {facts.good_since} times after it became current"),
        (
            not is_down and _is_high(facts.before, settings["suggest_percent"], settings),
            f"there were as many errors before it ({facts.before.percent:.0f} %)",
        ),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _fallen(facts: Facts, settings: Mapping[str, Any]) -> list[str]:
    """Return the workers that fell, where that is not the evidence already; how often changes from look to look."""
    if facts.ready and facts.ready[-1].good:
        return []
    own = [*settings["web"], *settings["workers"]]
    return [f"{name} falls again and again" for name in own if facts.down.get(name, "").startswith(_FALLING)]


def _servers_are_well(settings: Mapping[str, Any]) -> list[str]:
    return [f"{' and '.join(settings['dependencies'])} answer"] if settings["dependencies"] else []


def causes(
    found: Signs, settings: Mapping[str, Any], current: str, migrations: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return the causes with their evidence: what diagnosis sees, or what a person asks for in so many words."""
    kind, wanted = settings["kind"], settings["release"]
    said = [f"{wanted or 'an older release'} instead of {current} was asked for (deployment_rollback_kind: {kind})"]
    taken = [f"the database has {name}, which an older release does not know" for name in migrations]
    asked = kind in {"standard", "with_database", "full"} and bool(wanted or found.bad)
    if wanted == current or not (asked or found.bad):
        return {}
    if kind == "full":
        return {FULL: said + found.evidence + taken}
    if kind == "with_database" and migrations:
        return {MIGRATION: said + found.evidence + taken}
    if kind in {"standard", "with_database"}:
        return {ERRORS: said + found.evidence}
    if kind == "emergency":
        return {DOWN: found.down} if found.down else {}
    symptom = {DOWN: found.down} if found.down else {ERRORS: found.errors}
    return symptom | ({MIGRATION: taken} if migrations else {})


def takes_back(kind: str) -> bool:
    """Return whether a rollback of this kind takes migrations back as well."""
    return kind in {"auto", "with_database", "full"}
