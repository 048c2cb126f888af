"""The catalogue: loads the runbooks that discovery found into values of the domain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from remediate.catalog.arguments import given_by_people, read_arguments
from remediate.catalog.card import Card
from remediate.catalog.discovery import find_runbooks
from remediate.catalog.document import Document, Problems, read_document
from remediate.domain.naming import role_name, runbook_id
from remediate.domain.parameter import refuse_templates
from remediate.domain.runbook import Parameter, Phase, Runbook
from remediate.errors import UnknownRunbook


class Catalogue:
    """The runbooks of a site."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = tuple(directories)
        self._roles = find_runbooks(directories)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all runbooks."""
        return tuple(self._roles)

    @cached_property
    def routine(self) -> frozenset[str]:
        """The ids of runbooks that are routine, read once: every run asks. One whose card has problems is none."""
        problems = Problems()
        read = (_read(role, self._roles, problems) for role in self._roles.values())
        return frozenset(runbook.id for runbook in read if runbook and runbook.routine)

    def role_directory(self, wanted: str) -> Path:
        """Return where the role of a runbook is; raises UnknownRunbook with a suggestion."""
        if wanted in self._roles:
            return self._roles[wanted]
        near = get_close_matches(wanted, self._roles, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownRunbook(f"There is no runbook {wanted!r}.", next_step=f"{hint}see `remediate list`")

    def load(self, wanted: str) -> Runbook:
        """Return one runbook; raises UnknownRunbook, or InvalidDocument with every problem of its documents."""
        problems = Problems()
        runbook = _read(self.role_directory(wanted), self._roles, problems)
        problems.raise_if_any(f"The runbook {wanted} cannot be used:")
        assert runbook is not None  # noqa: S101  # no problems means there is a runbook
        return runbook

    def load_all(self) -> tuple[Runbook, ...]:
        """Return every runbook; raises InvalidDocument with the problems of all of them."""
        problems = Problems()
        runbooks = [_read(role, self._roles, problems) for role in self._roles.values()]
        problems.raise_if_any("The catalogue has problems:")
        return tuple(runbook for runbook in runbooks if runbook)


def _read(role: Path, known: Collection[str], problems: Problems) -> Runbook | None:
    path = role / "meta" / "runbook.yml"
    document = read_document(path, problems)
    card = document.parse(Card, document.data, (), problems) if document else None
    phases = read_arguments(role / "meta" / "argument_specs.yml", role.name, problems)
    parameters = given_by_people(phases, role.name)
    _note_unsafe_defaults(role, parameters, problems)
    if card is None or document is None:
        return None
    for phase in card.phases:
        if phase not in phases:
            problems.add(
                path, document.line(("phases", phase.value)), phase.value, "has no entry point in argument_specs.yml"
            )
    _note_wrong_hand_overs(document, card, runbook_id(role.name), known, problems)
    for alert in card.alerts:
        for name in alert.parameters:
            if name not in phases.get(Phase.DIAGNOSE, {}):
                problems.add(path, document.line(("alerts",)), name, "is not an input of diagnose")
    return _runbook(role, card, parameters)


def _note_wrong_hand_overs(
    document: Document, card: Card, own: str, known: Collection[str], problems: Problems
) -> None:
    """Note causes that are handed over to what is no runbook of the site, or to the runbook that hands them over."""
    for cause_id, cause in card.causes.items():
        at = ("causes", cause_id, "hand_over")
        if cause.hand_over == own:
            document.note(at, "is this runbook itself", problems)
        elif cause.hand_over and cause.hand_over not in known:
            near = get_close_matches(cause.hand_over, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            document.note(at, f"there is no runbook {cause.hand_over!r}{hint}", problems)


def _note_unsafe_defaults(role: Path, parameters: dict[str, Parameter], problems: Problems) -> None:
    for parameter in parameters.values():
        try:
            refuse_templates(parameter.default)
        except ValueError as error:
            problems.add(role / "meta" / "argument_specs.yml", 0, parameter.name, f"default: {error}")


def _runbook(role: Path, card: Card, parameters: dict[str, Parameter]) -> Runbook:
    return Runbook(
        id=runbook_id(role.name),
        role=role.name,
        title=card.title,
        severity=card.severity,
        rto=card.rto,
        alerts=tuple(alert.as_mapping() for alert in card.alerts),
        causes={cause_id: cause.as_cause(cause_id) for cause_id, cause in card.causes.items()},
        phases={phase: limits.as_limits() for phase, limits in card.phases.items()},
        cooldown=card.cooldown,
        escalation=card.escalation,
        concurrency=card.concurrency,
        readme=card.readme,
        routine=card.routine,
        parameters=parameters,
    )


def playbook(runbook: Runbook, directories: Sequence[Path]) -> Path:
    """Return the playbook of a runbook; raises UnknownRunbook when the directory of its role has none."""
    name = f"{role_name(runbook.id)}.yml"
    for directory in directories:
        if (directory / "roles" / runbook.role / "meta" / "runbook.yml").exists():
            if (directory / name).is_file():
                return directory / name
            break
    raise UnknownRunbook(
        f"The runbook {runbook.id} has no playbook {name}.",
        next_step="a runbook is a role plus a playbook of the same name",
    )
