"""Reads a role's `meta/argument_specs.yml` into the typed parameters of each phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from remediate.catalog.document import Document, Problems, read_document
from remediate.domain.runbook import Parameter, ParameterType, ParameterValue, Phase

#: Filled in by the engine, never by a person or an alert.
ENGINE_INPUTS = ("run_id",)


class _Option(BaseModel):
    """One option as Ansible's argument specification knows it."""

    model_config = ConfigDict(extra="ignore")

    type: ParameterType
    description: str | list[str]
    default: Any = None
    choices: tuple[str | int | float, ...] = ()
    elements: ParameterType | None = None
    required: bool = False


def read_arguments(path: Path, role: str, problems: Problems) -> dict[Phase, dict[str, Parameter]]:
    """Return the parameters of each phase that the role has an entry point for."""
    document = read_document(path, problems)
    if document is None:
        return {}
    specs = document.data.get("argument_specs") if isinstance(document.data, dict) else None
    if not isinstance(specs, dict):
        problems.add(path, 1, "argument_specs", "is missing")
        return {}
    return {
        phase: _phase(document, phase, specs[phase.value], role, problems) for phase in Phase if phase.value in specs
    }


def _phase(document: Document, phase: Phase, spec: object, role: str, problems: Problems) -> dict[str, Parameter]:
    at = ("argument_specs", phase.value, "options")
    options = spec.get("options") or {} if isinstance(spec, dict) else {}
    parameters = {}
    for name, option in options.items():
        if not str(name).startswith(f"{role}_"):
            problems.add(document.path, document.line((*at, name)), str(name), f"must begin with {role}_")
        elif parsed := document.parse(_Option, option, (*at, name), problems):
            parameters[name] = _parameter(name, parsed)
    return parameters


def _parameter(name: str, option: _Option) -> Parameter:
    description = option.description if isinstance(option.description, str) else " ".join(option.description)
    default: ParameterValue = option.default
    return Parameter(
        name=name,
        type=option.type,
        description=" ".join(description.split()),
        default=default,
        choices=option.choices,
        elements=option.elements,
        required=option.required,
    )


def given_by_people(phases: dict[Phase, dict[str, Parameter]], role: str) -> dict[str, Parameter]:
    """Return the parameters of all phases together, without those that the engine fills in."""
    merged = {name: parameter for options in phases.values() for name, parameter in options.items()}
    return {name: parameter for name, parameter in merged.items() if name.removeprefix(f"{role}_") not in ENGINE_INPUTS}
