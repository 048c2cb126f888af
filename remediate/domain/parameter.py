"""Parameters of a runbook: only declared, typed values pass, and nothing that could be a template."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from remediate.domain.runbook import Parameter, ParameterType, ParameterValue

_TEMPLATE = re.compile(r"\{\{|\{%|\{#|#jinja2:", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LARGEST = 2**53 - 1
_WHOLE = 100
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def checked_parameters(
    declared: Mapping[str, Parameter], role: str, given: Mapping[str, object]
) -> tuple[dict[str, ParameterValue], tuple[str, ...]]:
    """Return the typed values of what was given, and one sentence for every problem.

    Names may leave out the role's prefix: `target_free` is `disk_full_target_free`. Text is converted to the declared
    type as a shell user writes it: numbers, `true`/`false`, and lists separated by commas.
    """
    values: dict[str, ParameterValue] = {}
    problems: list[str] = []
    for name, value in given.items():
        parameter = declared.get(name) or declared.get(f"{role}_{name}")
        if parameter is None:
            problems.append(_unknown(name, role, declared))
            continue
        try:
            values[parameter.name] = _typed(parameter, value)
        except ValueError as error:
            problems.append(f"{short_name(parameter.name, role)}: {error}")
    return values, tuple(problems)


def short_name(name: str, role: str) -> str:
    """Return a parameter's name without its role's prefix, as a person types it."""
    return name.removeprefix(f"{role}_")


def _unknown(name: str, role: str, declared: Iterable[str]) -> str:
    names = sorted(short_name(known, role) for known in declared)
    near = get_close_matches(short_name(name, role), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else f"; it knows {', '.join(names)}"
    return f"{name}: this runbook has no such parameter{hint}"


def _typed(parameter: Parameter, value: object) -> ParameterValue:
    converted = _CONVERTERS[parameter.type](value)
    if parameter.type == "list" and parameter.elements and isinstance(converted, list):
        converted = [_CONVERTERS[parameter.elements](element) for element in converted]
    refuse_templates(converted)
    _refuse_out_of_range(parameter, converted)
    if parameter.choices and converted not in parameter.choices:
        raise ValueError(f"{converted!r} is none of {choices_in_words(parameter)}")
    return converted


def _refuse_out_of_range(parameter: Parameter, value: ParameterValue) -> None:
    """Refuse what no number of a runbook can be: all count something, or are shares of a whole where they say so."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if value < 0:
        raise ValueError(f"{value} is below 0")
    if value > _WHOLE and "percentage" in parameter.description.lower():
        raise ValueError(f"{value} is more than {_WHOLE} percent")


def refuse_templates(value: ParameterValue) -> None:
    """Raise ValueError when a value holds, at any depth, text that Ansible could take for a template or a marker."""
    if isinstance(value, str):
        _refuse_markers(value)
    elif isinstance(value, float | int):
        # Beyond these a number has no canonical JSON, so no digest could bind it.
        if not -_LARGEST <= value <= _LARGEST:
            raise ValueError(f"{value} is no number that can be used")
    elif isinstance(value, list):
        for element in value:
            refuse_templates(element)
    elif isinstance(value, dict):
        for key, element in value.items():
            if key.startswith(("ansible_", "__ansible")):
                raise ValueError(f"the name {key!r} is not accepted")
            refuse_templates(key)
            refuse_templates(element)


def _refuse_markers(text: str) -> None:
    if _TEMPLATE.search(text):
        raise ValueError("template markers are not accepted")
    if _CONTROL.search(text):
        raise ValueError("control characters are not accepted")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"text is wanted, not {value!r}")
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"a whole number is wanted, not {value!r}")
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,15}", value.strip()):
        raise ValueError(f"a whole number is wanted, not {value!r}")
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"a number is wanted, not {value!r}")
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", value.strip()):
        raise ValueError(f"a number is wanted, not {value!r}")
    return float(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"true or false is wanted, not {value!r}")
    return word in _TRUE


def _list(value: object) -> list[ParameterValue]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return list(value)
    raise ValueError(f"a list (a,b,c) is wanted, not {value!r}")


def _path(value: object) -> str:
    text = _text(value)
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"an absolute path without '..' is wanted, not {value!r}")
    return text


def _mapping(value: object) -> dict[str, ParameterValue]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"a mapping is wanted, not {value!r}")
    return dict(value)


_CONVERTERS: Mapping[ParameterType, Callable[[object], ParameterValue]] = {
    "str": _text,
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "list": _list,
    "path": _path,
    "dict": _mapping,
}


def choices_in_words(parameter: Parameter) -> str:
    """Return what may be chosen, as people read it; an empty text is seen by its quotes."""
    return ", ".join(str(choice) or "''" for choice in parameter.choices)
