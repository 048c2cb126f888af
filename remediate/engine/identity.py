"""Who is asking: tokens made, shown and revoked, users of this machine told apart, and refusals recorded."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Protocol

from remediate.domain.audit import AuditEntry
from remediate.domain.identity import NotAllowedBecause, Permission, Principal, Token, may
from remediate.domain.people import Grant, People, Person, Role
from remediate.domain.token import (
    DEFAULT_LIFETIME,
    FLOOD,
    ID_ALPHABET,
    ID_LENGTH,
    LONGEST_LIFETIME,
    NO_HASH,
    SECRET_BYTES,
    floods,
    is_id,
    parts,
    recognised,
    secret_hash,
    use_is_due,
    written,
)
from remediate.engine.ports import Clock, Tokens
from remediate.errors import NotAllowed, UnknownToken, UsageError

#: What whoever is the only person of a site may do: all that one person alone can do without being asked twice.
_ALONE = (Role.VIEWER, Role.REQUESTER, Role.OPERATOR, Role.ADMIN, Role.AUDITOR)

_LONGEST_LABEL = 80


class Notes(Protocol):
    """The part of the port `Trail` that is needed here."""

    def note(self, entry: AuditEntry) -> object:
        """Append an entry about something that changes no other table."""
        ...


class Identity:
    """Tells who somebody is, and refuses what they may not do."""

    def __init__(self, tokens: Tokens, people: People, clock: Clock, trail: Notes) -> None:
        self._tokens = tokens
        self._people = people
        self._clock = clock
        self._trail = trail
        self._refused_at: deque[datetime] = deque(maxlen=FLOOD)

    def authenticate(self, text: str) -> Principal:
        """Return who shows this token; raises NotAllowed with one message, whatever is wrong with it.

        The true reason is only in the trail. An unknown token is compared too, so that it takes as long as a known one.
        """
        now = self._clock.now()
        token_id, secret = parts(text)
        token, kept = self._tokens.find(token_id) or (None, NO_HASH)
        same = hmac.compare_digest(secret_hash(secret), kept)
        person = self._people.by_id.get(token.person) if token else None
        found = recognised(token, person, same_secret=same, now=now)
        if isinstance(found, NotAllowedBecause):
            self._note_refused_token(token_id, found.reason, now)
            raise NotAllowed(
                "The token is not accepted. Nothing was done.",
                next_step="the audit trail says why; an admin makes a new one: `remediate token make PERSON`",
            )
        if token is not None and use_is_due(token, now):
            self._tokens.used(token.id, now)
        return found

    def local(self, os_user: str) -> Principal:
        """Return whom a user of this machine acts as; raises NotAllowed when remediate.yml does not say so.

        Nobody is somebody by being root. Where no people are configured, the user is the only person of the site.
        """
        channel = f"os-user:{os_user}"
        if not self._people.by_id:
            return Principal(person=_only_person(os_user), channel=channel)
        mapped = [person for person in self._people.by_id.values() if os_user in person.os_users]
        if len(mapped) != 1:
            raise NotAllowed(
                f"It is not known who you are: the user {os_user} of this machine is "
                f"{'mapped to several people' if mapped else 'nobody'} in remediate.yml, and no token was given.",
                next_step=f"name a token: `--token-file FILE` or REMEDIATE_TOKEN_FILE; or have `os_users: [{os_user}]` "
                "written to one person in remediate.yml",
            )
        return Principal(person=mapped[0], channel=channel)

    def require(
        self,
        principal: Principal,
        permission: Permission,
        *,
        runbook: str | None = None,
        groups: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Raise NotAllowed, with the reason, when the principal may not; the refusal is recorded."""
        decision = may(principal, permission, runbook=runbook, groups=groups)
        if isinstance(decision, NotAllowedBecause):
            self._refuse(principal, permission, decision.reason)

    def make_token(
        self,
        principal: Principal,
        person: str,
        *,
        label: str = "",
        lifetime: timedelta = DEFAULT_LIFETIME,
        roles: Sequence[Role] = (),
    ) -> tuple[Token, str]:
        """Make a token for a person and return it with its text, which is never shown again.

        Raises NotAllowed, or UsageError when the person, the lifetime, the label or a role is wrong.
        """
        self.require(principal, Permission.MAKE_TOKEN)
        self._check_token(person, label, lifetime, roles)
        now = self._clock.now()
        token = Token(
            id="".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH)),
            person=person,
            label=label,
            roles=tuple(dict.fromkeys(roles)),
            created_at=now,
            created_by=principal.id,
            expires_at=now + lifetime,
        )
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._tokens.add(token, secret_hash(secret))
        return token, written(token.id, secret)

    def revoke(self, principal: Principal, token_id: str) -> Token:
        """Revoke a token from now on; a lost one of one's own at any time. Raises NotAllowed or UnknownToken."""
        # What was typed may be no text that a database takes.
        found = self._tokens.find(token_id) if is_id(token_id) else None
        if found is None or not _is_own(principal, found[0]):
            self.require(principal, Permission.REVOKE_TOKEN)
        if found is None:
            raise UnknownToken(f"There is no token {token_id!r}.", next_step="see `remediate token list`")
        return self._tokens.revoke(token_id, principal.id, self._clock.now())

    def tokens(self, principal: Principal) -> tuple[Token, ...]:
        """Return the tokens, newest first: all of them, or one's own."""
        everyone = not isinstance(may(principal, Permission.SEE_TOKENS), NotAllowedBecause)
        return tuple(token for token in self._tokens.tokens() if everyone or _is_own(principal, token))

    def _check_token(self, person: str, label: str, lifetime: timedelta, roles: Sequence[Role]) -> None:
        holder = self._people.by_id.get(person)
        if holder is None:
            near = get_close_matches(person, self._people.by_id, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"There is no person {person!r} in remediate.yml; no token was made.",
                next_step=f"{hint}people are written in remediate.yml, under `people:`",
            )
        if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
            raise UsageError(f"A token lives at most {LONGEST_LIFETIME.days} days; no token was made.")
        if len(label) > _LONGEST_LABEL or not label.isprintable():
            raise UsageError(f"A label is at most {_LONGEST_LABEL} printable characters; no token was made.")
        if missing := sorted(set(roles) - {grant.role for grant in holder.grants}):
            raise UsageError(f"{person} does not have the role {', '.join(missing)}; no token was made.")

    def _note_refused_token(self, token_id: str, reason: str, now: datetime) -> None:
        """Record why, without anything of the secret; a flood is cut off, so that it cannot fill the record."""
        if not floods(self._refused_at, now):
            subject, details = token_id or "malformed", {"reason": reason}
            self._trail.note(
                AuditEntry(at=now, actor="unknown", action="login.refused", subject=subject, details=details)
            )
        self._refused_at.append(now)

    def note_refusal(self, principal: Principal, permission: Permission, reason: str) -> None:
        """Record that somebody was not allowed to do something, and why."""
        details = {"permission": permission.value, "reason": reason}
        self._trail.note(
            AuditEntry(
                at=self._clock.now(),
                actor=principal.id,
                action="access.refused",
                subject=principal.channel,
                details=details,
            )
        )

    def _refuse(self, principal: Principal, permission: Permission, reason: str) -> None:
        self.note_refusal(principal, permission, reason)
        raise NotAllowed(
            f"{principal.id} may not {permission.words}: {reason}. Nothing was done.",
            next_step="see what you may do with `remediate whoami`; grants are written in remediate.yml",
        )


def _is_own(principal: Principal, token: Token) -> bool:
    """Whether a token is the principal's own; a token that carries less than its person has no say over the others."""
    return token.person == principal.id and not principal.roles


def _only_person(os_user: str) -> Person:
    plain = re.sub(r"[^a-z0-9_-]", "-", os_user.lower())[:30]
    person_id = plain if re.match(r"[a-z]", plain) else f"u-{plain}"
    return Person(id=person_id, name=os_user, level=1, grants=tuple(Grant(role=role) for role in _ALONE))
