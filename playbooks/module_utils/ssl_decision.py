"""Decides from what was seen of a certificate which causes there are and what would be done: no reading, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ansible.module_utils.acme_client import STANDALONE, WEBROOT
from ansible.module_utils.certificate_der import Certificate, CertificateError, covers
from ansible.module_utils.certificate_pair import Pair
from ansible.module_utils.host_step import HELD, Found, Step, measure

EXPIRING, EXPIRED, NOT_DEPLOYED = "expiring", "expired", "not_deployed"
CHALLENGE, KEY = "challenge_must_change", "key_must_change"
RENEW, DEPLOY, TAKE_OVER = "renew", "deploy", "reload"


@dataclass(frozen=True)
class Facts:
    """What one look at a host told."""

    now: datetime
    renew_days: int
    service: str
    server: str
    names: tuple[str, ...]
    pair: Pair
    runs: bool
    #: The certificate that clients get; None, with the reason, when they get none.
    served: Certificate | None
    served_trouble: str
    #: Another pair on the disk, where certbot keeps its own; None when there is none of use.
    spare: Pair | None
    #: Why challenges cannot be answered through the webroot, or nothing; and what else is known about it.
    webroot_trouble: str
    key_type: str
    notes: list[str] = field(default_factory=list)


def decide(facts: Facts) -> Found:
    """Return the causes with their evidence, and the one step that cures them."""
    file = facts.pair.certificate
    _refuse_future(facts)
    if facts.pair.key_troubles:
        causes = {**_age(facts), KEY: list(facts.pair.key_troubles)}
        return _renewed(facts, causes, new_key=True)
    if file.days_left(facts.now) >= facts.renew_days:
        return _stale(facts) or _well(facts)
    if facts.spare:
        evidence = [
            _says("nginx reads", file, facts.now),
            _says(facts.spare.certificate_path, facts.spare.certificate, facts.now),
        ]
        data = {"certificate": facts.spare.certificate_path, "key": facts.spare.key_path}
        detail = (
            f"from {facts.spare.certificate_path} and its key",
            "the configuration of nginx is tried, then it reloads",
        )
        step = Step(NOT_DEPLOYED, DEPLOY, facts.pair.certificate_path, HELD, detail=detail, data=data)
        return _found(facts, {NOT_DEPLOYED: evidence}, [step])
    return _renewed(facts, _age(facts), new_key=False)


def usable(spare: Pair, facts_names: tuple[str, ...], renew_days: int, now: datetime) -> bool:
    """Return whether another pair could take the place of the one that nginx reads."""
    lasts = spare.certificate.not_before <= now and spare.certificate.days_left(now) >= renew_days
    return lasts and not spare.key_troubles and all(covers(spare.certificate, name) for name in facts_names)


def days_measure(certificate: Certificate, now: datetime, wanted: int) -> dict[str, Any]:
    """Return how long a certificate is still valid, as a measure."""
    days = round(certificate.days_left(now), 1)
    return measure("days left", days, "d", f"more than {wanted}", ok=days > wanted)


def _refuse_future(facts: Facts) -> None:
    begins = facts.pair.certificate.not_before
    if begins > facts.now + timedelta(minutes=5):
        raise CertificateError(
            f"{facts.pair.certificate_path} is valid only from {_moment(begins)}, and it is {_moment(facts.now)} here; "
            "nothing was done: see whether the clock of this host is right, or wait"
        )


def _age(facts: Facts) -> dict[str, list[str]]:
    """Return expired or expiring with the evidence, or nothing when there is time."""
    file = facts.pair.certificate
    if file.days_left(facts.now) >= facts.renew_days:
        return {}
    evidence = [_says(facts.pair.certificate_path, file, facts.now)]
    if facts.served:
        evidence.append(_says("the certificate that is served", facts.served, facts.now))
    else:
        evidence.append(facts.served_trouble)
    return {EXPIRED if file.seconds_left(facts.now) <= 0 else EXPIRING: evidence}


def _stale(facts: Facts) -> Found | None:
    """Return what to do where the file is good and an older certificate is served."""
    file, served = facts.pair.certificate, facts.served
    if served is None or served.fingerprint == file.fingerprint:
        return None
    if served.not_after > file.not_after:
        facts.notes.append(
            f"{_says('the certificate that is served', served, facts.now)}, later than the one in "
            f"{facts.pair.certificate_path}: whoever put that file there should look; it is not touched"
        )
        return None
    evidence = [
        _says("the certificate that is served", served, facts.now),
        _says(facts.pair.certificate_path, file, facts.now),
    ]
    detail = ("its configuration is tried first", f"then it serves what is in {facts.pair.certificate_path}")
    return _found(facts, {NOT_DEPLOYED: evidence}, [Step(NOT_DEPLOYED, TAKE_OVER, facts.service, detail=detail)])


def _renewed(facts: Facts, causes: dict[str, list[str]], *, new_key: bool) -> Found:
    method = STANDALONE if facts.webroot_trouble else WEBROOT
    ordered = {cause: causes[cause] for cause in (EXPIRED, EXPIRING) if cause in causes}
    if facts.webroot_trouble:
        ordered[CHALLENGE] = [facts.webroot_trouble]
    if new_key:
        ordered[KEY] = causes[KEY]
    # The step belongs to the cause that asks for the most.
    cause = CHALLENGE if facts.webroot_trouble else KEY if new_key else next(iter(ordered))
    data = {"names": list(facts.names), "method": method, "new_key": new_key}
    note = f"{method}, {'a new key' if new_key else 'the same key'}"
    step = Step(
        cause,
        RENEW,
        facts.pair.certificate_path,
        HELD,
        detail=_plan(facts, method, new_key=new_key),
        data=data,
        note=note,
    )
    return _found(facts, ordered, [step])


def _plan(facts: Facts, method: str, *, new_key: bool) -> tuple[str, ...]:
    way = "through the webroot" if method == WEBROOT else f"by itself on port 80: {facts.service} is stopped meanwhile"
    return (
        f"for {', '.join(facts.names)}",
        f"from {facts.server}",
        f"the challenge http-01 is answered {way}",
        f"with a new {facts.key_type} key" if new_key else "with the same key",
        "the configuration of nginx is tried, then it reloads" if facts.runs else f"then {facts.service} is started",
    )


def _well(facts: Facts) -> Found:
    if not facts.runs:
        facts.notes.append(f"{facts.service} does not run: that is for service-outage")
    elif facts.served is None:
        facts.notes.append(f"{facts.served_trouble}: that is not for ssl-expiry")
    return _found(facts, {}, [])


def _found(facts: Facts, causes: dict[str, list[str]], steps: list[Step]) -> Found:
    looked_at = facts.served or facts.pair.certificate
    says = _says("what is served" if facts.served else facts.pair.certificate_path, looked_at, facts.now)
    return Found(
        summary=says if causes else f"{says}: nothing to do",
        causes=causes,
        steps=steps,
        measures=[days_measure(looked_at, facts.now, facts.renew_days)],
        notes=facts.notes,
    )


def _says(what: str, certificate: Certificate, now: datetime) -> str:
    if certificate.seconds_left(now) <= 0:
        return f"{what} expired on {_moment(certificate.not_after)}"
    return f"{what} is valid until {_moment(certificate.not_after)}"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
