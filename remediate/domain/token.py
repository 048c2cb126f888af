"""How a token is written, `rmd_<id>_<secret>`, how long one lives, and whether one that is shown is accepted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from datetime import datetime, timedelta

from remediate.domain.audit import AuditEntry
from remediate.domain.identity import NotAllowedBecause, Principal, Token
from remediate.domain.people import Person

#: No vowels and nothing that can be mistaken for another character: an id is read aloud at night.
ID_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
ID_LENGTH = 10
#: 256 bits: nobody guesses one, so that a quick hash without salt keeps it safely.
SECRET_BYTES = 32

DEFAULT_LIFETIME = timedelta(days=90)
LONGEST_LIFETIME = timedelta(days=366)
#: How often the use of a token is recorded at most.
USE_RECORDED_EVERY = timedelta(minutes=1)

_ID = re.compile(rf"[{ID_ALPHABET}]{{{ID_LENGTH}}}\Z")
_WRITTEN = re.compile(rf"rmd_([{ID_ALPHABET}]{{{ID_LENGTH}}})_([A-Za-z0-9_-]{{43}})\Z")

#: The hash of no secret: what is compared when there is no token, so that both cases take the same way.
NO_HASH = "0" * 64


def written(token_id: str, secret: str) -> str:
    """Return a token as it is given to its person, once."""
    return f"rmd_{token_id}_{secret}"


def parts(text: str) -> tuple[str, str]:
    """Return the id and the secret of a token; both are empty for any other text."""
    match = _WRITTEN.match(text)
    return (match[1], match[2]) if match else ("", "")


def is_id(text: str) -> bool:
    """Return whether a text may be the id of a token."""
    return _ID.match(text) is not None


def secret_hash(secret: str) -> str:
    """Return what is kept of a secret: its sha256, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def recognised(
    token: Token | None, person: Person | None, *, same_secret: bool, now: datetime
) -> Principal | NotAllowedBecause:
    """Decide whether a token that was shown is accepted: the principal, or the reason for the record.

    The reason is never told to whoever showed it. A wrong secret says nothing about the token, so that comes first.
    """
    if token is None:
        return NotAllowedBecause(reason="there is no such token")
    if not same_secret:
        return NotAllowedBecause(reason="the secret is wrong")
    if token.revoked_at is not None:
        return NotAllowedBecause(reason=f"it was revoked by {token.revoked_by}")
    if now >= token.expires_at:
        return NotAllowedBecause(reason="it has expired")
    if person is None:
        return NotAllowedBecause(reason=f"{token.person} is no longer in remediate.yml")
    return Principal(person=person, channel=f"token:{token.id}", roles=token.roles)


def use_is_due(token: Token, now: datetime) -> bool:
    """Decide whether a use is recorded: once a minute at most, so that a busy token does not write all the time."""
    return token.used_at is None or now - token.used_at >= USE_RECORDED_EVERY


#: So many refusals within a minute are recorded one by one; more of them would fill the record and tell nothing new.
FLOOD, FLOOD_WINDOW = 20, timedelta(minutes=1)


def floods(refused_at: Collection[datetime], now: datetime) -> bool:
    """Decide whether refusals come so fast that another one is no longer recorded."""
    return sum(now - moment < FLOOD_WINDOW for moment in refused_at) >= FLOOD


def token_made(token: Token) -> AuditEntry:
    """Return what the trail says about a new token."""
    details = token.model_dump(mode="json", include={"person", "label", "roles", "expires_at"})
    return AuditEntry(
        at=token.created_at, actor=token.created_by, action="token.made", subject=token.id, details=details
    )


def token_revoked(token: Token, by: str, now: datetime) -> AuditEntry:
    """Return what the trail says about a token that is revoked."""
    details = token.model_dump(mode="json", include={"person", "label"})
    return AuditEntry(at=now, actor=by, action="token.revoked", subject=token.id, details=details)
