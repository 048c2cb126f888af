"""Composes the notices of a run: who is told what, over which channels, under which key. Pure: values in, values out.

matter = Matter(run=run, runbook=runbook, severity=runbook.severity, routes=routes, level=2, valid_until=until)
outbox.put(compose(NoticeKind.ASKED, matter, [omar], now=now))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from pydantic import JsonValue

from remediate.domain.incident import Incident
from remediate.domain.notice import Notice, NoticeKind
from remediate.domain.people import People, Person
from remediate.domain.route import Routes
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Runbook, Severity
from remediate.domain.text import printable, quoted
from remediate.domain.times import moment
from remediate.domain.value import Value
from remediate.engine.wording import ENDINGS, commands, effects, facts, symptoms

_SUBJECT_LENGTH = 160
_HEADLINES: Mapping[NoticeKind, str] = {
    NoticeKind.ASKED: "Approval of level {level} wanted",
    NoticeKind.CLIMBED: "Level {level} is asked now",
    NoticeKind.REMINDED: "Still waiting for approval of level {level}",
    NoticeKind.APPROVED: "Approved, the work begins",
    NoticeKind.REJECTED: "Rejected, nothing is done",
    NoticeKind.EXPIRED: "Expired, nothing was done, the incident stays open",
    NoticeKind.WITHDRAWN: "Withdrawn, nothing was done",
    NoticeKind.OVERRIDDEN: "EMERGENCY OVERRIDE",
    NoticeKind.CALLED: "Incident: level {level} is called",
}
_ASKING = {NoticeKind.ASKED, NoticeKind.CLIMBED, NoticeKind.REMINDED}
#: After these something is still wrong.
_UNCURED = {RunStatus.FAILED, RunStatus.UNPROVEN, RunStatus.ROLLED_BACK, RunStatus.ROLLBACK_FAILED}
_TO_TAKE_BACK = {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.UNPROVEN, RunStatus.CANCELED}


class Matter(Value):
    """What the notices of a run have in common."""

    run: Run
    runbook: Runbook
    severity: Severity
    routes: Routes
    #: The level that is asked, and until when an answer counts, where approval is wanted.
    level: int = 0
    valid_until: datetime | None = None


def compose(
    kind: NoticeKind,
    matter: Matter,
    people: Iterable[Person],
    *,
    now: datetime,
    note: str = "",
    number: int = 1,
) -> tuple[Notice, ...]:
    """Return one notice for each person and each channel that is used for them.

    `note` says who decided what and why. `number` tells notices of one kind apart: a run climbs and is reminded of
    more than once. An override is told over every channel there is. A person that no channel reaches gets none.
    """
    headline = _headline(kind, matter)
    hosts = ", ".join(matter.run.hosts)
    subject = f"[{matter.severity.value}] {headline}: {matter.runbook.id} on {hosts}"
    body = "\n".join(_lines(kind, matter, headline, note))
    word = matter.run.status.value if kind is NoticeKind.ENDED else kind.value
    data = {**_data(kind, matter), "note": quoted(note), "headline": headline}
    return tuple(
        _notice(f"{matter.run.id}/{word}-{number}", person, channel, subject, body, data, now)
        for person in _each_once(people)
        for channel in _channels(kind, matter, person)
    )


def calls(
    incident: Incident, people: Iterable[Person], routes: Routes, *, now: datetime, note: str
) -> tuple[Notice, ...]:
    """Return one notice for each person and channel: the level of the incident is called, and no run belongs to it."""
    headline = _HEADLINES[NoticeKind.CALLED].format(level=incident.level)
    lines = [
        f"{headline}.",
        quoted(note, 1000),
        "",
        f"Incident     {incident.id}",
        f"What         {quoted(incident.title)}",
        f"Severity     {incident.severity.value}",
        f"Opened       {moment(incident.opened_at)}",
        "",
        *commands([f"remediate incident show {incident.id}", f"remediate incident ack {incident.id}"]),
    ]
    data: dict[str, JsonValue] = {
        "kind": NoticeKind.CALLED.value,
        "incident": incident.id,
        "severity": incident.severity.value,
        "level": incident.level,
        "note": quoted(note),
        "headline": headline,
    }
    subject = f"[{incident.severity.value}] {headline}: {incident.title}"
    state = f"{incident.id}/{NoticeKind.CALLED.value}-{incident.level}"
    return tuple(
        _notice(state, person, channel, subject, "\n".join(lines), data, now)
        for person in _each_once(people)
        for channel in routes.chosen(person, incident.severity)
    )


def told_of_override(people: People, on_call: Iterable[Person]) -> tuple[Person, ...]:
    """Return who is told of an emergency override: whoever is on call, and everybody of the levels 2 to 4."""
    above = (person for level in (2, 3, 4) for person in people.of_level(level))
    return _each_once((*on_call, *above))


def trial_notices(
    people: Iterable[Person], routes: Routes, *, only: str, batch: str, now: datetime
) -> tuple[Notice, ...]:
    """Return a notice for each person over each channel that reaches them (or only one), to prove that it works."""
    return tuple(
        _notice(
            f"test-{batch}/test-1",
            person,
            channel,
            "Test of remediate: no action is needed",
            f"This reached {printable(person.name)} over the channel {channel}. Nothing is wrong.",
            {"kind": NoticeKind.TEST.value},
            now,
        )
        for person in people
        for channel in routes.of(person)
        if not only or channel == only
    )


def _each_once(people: Iterable[Person]) -> tuple[Person, ...]:
    return tuple({person.id: person for person in people}.values())


def _notice(
    state: str, person: Person, channel: str, subject: str, body: str, data: dict[str, JsonValue], now: datetime
) -> Notice:
    return Notice(
        key=f"{state}/{person.id}/{channel}",
        channel=channel,
        person=person.id,
        subject=quoted(subject, _SUBJECT_LENGTH),
        body=body,
        data=data,
        created_at=now,
        next_at=now,
    )


def _channels(kind: NoticeKind, matter: Matter, person: Person) -> tuple[str, ...]:
    loud = kind is NoticeKind.OVERRIDDEN
    return matter.routes.of(person) if loud else matter.routes.chosen(person, matter.severity)


def _headline(kind: NoticeKind, matter: Matter) -> str:
    if kind is NoticeKind.ENDED:
        return ENDINGS.get(matter.run.status, f"Ended: {matter.run.status.value}")
    return _HEADLINES[kind].format(level=matter.level)


def _data(kind: NoticeKind, matter: Matter) -> dict[str, JsonValue]:
    run = matter.run
    return {
        "kind": kind.value,
        "run": run.id,
        "runbook": run.runbook,
        "hosts": list(run.hosts),
        "status": run.status.value,
        "severity": matter.severity.value,
        "level": matter.level,
        "valid_until": matter.valid_until.isoformat() if matter.valid_until else None,
        "digest": run.plan.digest if run.plan else None,
    }


def _lines(kind: NoticeKind, matter: Matter, headline: str, note: str) -> Iterator[str]:
    run, plan = matter.run, matter.run.plan
    yield f"{headline}."
    if said := note or run.outcome:
        yield quoted(said, 1000)
    yield ""
    yield from facts(run, matter.runbook, matter.severity.value, matter.valid_until)
    uncured = kind is NoticeKind.ENDED and run.status in _UNCURED
    still_wrong = uncured or kind in {NoticeKind.EXPIRED, NoticeKind.CALLED}
    deciding = kind in _ASKING or kind is NoticeKind.OVERRIDDEN
    if plan and (deciding or still_wrong):
        yield ""
        yield from symptoms(plan)
    if plan and deciding:
        yield ""
        yield from effects(plan, matter.runbook)
    yield ""
    yield from commands(_commands(kind, run))


def _commands(kind: NoticeKind, run: Run) -> list[str]:
    if kind in _ASKING:
        return [
            f"remediate approvals show {run.id}    # everything, with the diff",
            f'remediate approve {run.id} --reason "..."',
            f'remediate reject {run.id} --reason "..."',
        ]
    shown = [f"remediate runs show {run.id}"]
    if kind is NoticeKind.CALLED:
        return [*shown, "remediate incident list    # then: remediate incident ack INCIDENT"]
    if kind is NoticeKind.ENDED and run.status in _TO_TAKE_BACK:
        return [*shown, f"remediate rollback {run.id}    # puts back what was held"]
    if kind in {NoticeKind.REJECTED, NoticeKind.EXPIRED, NoticeKind.WITHDRAWN}:
        hosts = "".join(f" --limit {host}" for host in run.hosts)
        return [*shown, f"remediate plan {run.runbook}{hosts}    # a new plan"]
    return shown
