"""A notice: one message to one person over one channel, sent once for one state."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum

from pydantic import Field, JsonValue

from remediate.domain.value import Value


class NoticeKind(StrEnum):
    """What a notice tells about."""

    ASKED = "asked"
    CLIMBED = "climbed"
    REMINDED = "reminded"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    OVERRIDDEN = "overridden"
    ENDED = "ended"
    CALLED = "called"
    #: Only proves that a channel works.
    TEST = "test"


class Notice(Value):
    """A message that waits to be delivered, or was."""

    #: Names the state and the receiver, such as `run-1/asked-2/omar/email`: a second notice with it is not made.
    key: str = Field(pattern=r"^[!-~]{1,255}$")
    channel: str
    person: str
    subject: str
    body: str
    #: The same for machines.
    data: dict[str, JsonValue] = {}
    created_at: datetime
    next_at: datetime
    attempts: int = 0
    delivered_at: datetime | None = None
    given_up_at: datetime | None = None
    last_error: str = ""

    @property
    def thread(self) -> str:
        """What the notice is about, the id of a run as a rule: the notices of one thread are shown together."""
        return self.key.partition("/")[0]

    @property
    def delivery_id(self) -> str:
        """The same number at every attempt, by which a receiver recognises what it has got already."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:32]

    @property
    def is_test(self) -> bool:
        """Whether this only proves that a channel works."""
        return self.data.get("kind") == NoticeKind.TEST

    @property
    def ended(self) -> bool:
        """Whether nothing more is done about it: it was delivered or given up."""
        return self.delivered_at is not None or self.given_up_at is not None

    def over(self, channel: str, now: datetime) -> Notice:
        """Return the same message for another channel, as a new notice with a key of its own."""
        return Notice(
            key=f"{self.key.rpartition('/')[0]}/{channel}",
            channel=channel,
            person=self.person,
            subject=self.subject,
            body=self.body,
            data=self.data,
            created_at=now,
            next_at=now,
        )
