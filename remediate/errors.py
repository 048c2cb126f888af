"""The tree of errors: each class knows its exit code, its HTTP status and whether trying again can help.

RemediateError
├── UsageError                 the request cannot be understood or names what does not exist
│   ├── UnknownRunbook
│   ├── UnknownHost
│   ├── UnknownRun
│   ├── UnknownIncident
│   ├── UnknownToken
│   ├── UnknownAlert
│   ├── InvalidParameter
│   ├── UnreadableDelivery     what a source of alerts posted is nothing that it may post
│   └── InvalidDocument        a card, specification, inventory or remediate.yml is wrong
├── StateUnusable              the state directory cannot be read or written
├── Refused                    policy says no: lock, freeze, storm
│   ├── HostBusy
│   └── NotAllowed             the person may not do this, or is not known
├── DeliveryFailed             a notice did not reach its channel
├── MonitoringFailed           Prometheus or Alertmanager does not answer, or answers nonsense
├── IllegalTransition          a run was asked to do what its state does not allow
└── EngineFailure              something that should not happen: a defect, or a broken installation
    ├── ExecutorFailure
    └── UnknownShape           content returned data that the contract does not know
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar


class RemediateError(Exception):
    """Base of all errors that are shown to a person as one message.

    `next_step` says what to type or to look at next; it is printed on a line of its own.
    """

    exit_code: ClassVar[int] = 10
    http_status: ClassVar[int] = 500
    retry_can_help: ClassVar[bool] = False

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class UsageError(RemediateError):
    """The request cannot be understood, or names something that does not exist."""

    exit_code = 2
    http_status = 422


class UnknownRunbook(UsageError):
    """No runbook has this id."""

    http_status = 404


class UnknownHost(UsageError):
    """A host was named that the inventory does not hold, or by a pattern."""


class UnknownRun(UsageError):
    """No run, or more than one, has this id."""

    http_status = 404


class UnknownIncident(UsageError):
    """No incident, or more than one, has this id."""

    http_status = 404


class UnknownToken(UsageError):
    """No token has this id."""

    http_status = 404


class UnknownAlert(UsageError):
    """No alert has this key."""

    http_status = 404


class InvalidParameter(UsageError):
    """One or more parameters of a runbook have the wrong name, type or value."""


class UnreadableDelivery(UsageError):
    """What a source of alerts posted is nothing that it may post; the message lists every problem."""


class InvalidDocument(UsageError):
    """One or more documents are wrong; the message lists every problem with file, line and field."""


class StateUnusable(RemediateError):
    """The state directory or its database cannot be used."""

    exit_code = 2
    http_status = 503
    retry_can_help = True


class Refused(RemediateError):
    """Policy refuses the run: a lock, a freeze or a storm."""

    exit_code = 7
    http_status = 409
    retry_can_help = True


class HostBusy(Refused):
    """Another run holds the lock of the host."""


class NotAllowed(Refused):
    """The person may not do this, or cannot be told who they are."""

    http_status = 403
    retry_can_help = False


class DeliveryFailed(RemediateError):
    """A notice did not reach its channel.

    `permanent` says that trying again cannot help, `wait` is how long the channel asks to be left alone.
    """

    http_status = 502
    retry_can_help = True

    def __init__(self, message: str, *, permanent: bool = False, wait: timedelta | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.wait = wait


class MonitoringFailed(RemediateError):
    """Prometheus or Alertmanager does not answer, or its answer cannot be understood."""

    http_status = 502
    retry_can_help = True


class IllegalTransition(RemediateError):
    """The state of the run does not allow what was asked."""

    exit_code = 7
    http_status = 409


class EngineFailure(RemediateError):
    """A defect of this program or a broken installation."""


class ExecutorFailure(EngineFailure):
    """The process that runs Ansible could not do its work."""


class UnknownShape(EngineFailure):
    """A runbook returned data that the contract between content and engine does not know."""
