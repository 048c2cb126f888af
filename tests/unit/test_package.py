from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import remediate
from remediate import errors

ROOT = Path(remediate.__file__).parent


def test_the_public_names_are_those_of_the_design_sorted_and_all_there() -> None:
    assert remediate.__all__ == sorted(remediate.__all__)
    assert all(getattr(remediate, name) is not None for name in remediate.__all__)
    assert set(remediate.__all__) == set(remediate._HOME)


def test_a_name_that_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'remediate' has no attribute 'Wlak'"):
        getattr(remediate, "Wlak")  # noqa: B009  # the type checker knows that it is missing


def test_every_error_knows_its_exit_code_and_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    classes: list[type[errors.RemediateError]] = [
        found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, errors.RemediateError)
    ]
    drawn = [
        line.replace("│", " ").lstrip(" ├└─").split()[0] for line in (errors.__doc__ or "").splitlines()[2:] if line
    ]

    assert {found.__name__ for found in classes} == set(drawn)
    assert {found.__name__: found.exit_code for found in classes} == {
        "RemediateError": 10,
        "UsageError": 2,
        "UnknownRunbook": 2,
        "UnknownHost": 2,
        "UnknownRun": 2,
        "UnknownToken": 2,
        "UnknownIncident": 2,
        "UnknownAlert": 2,
        "InvalidParameter": 2,
        "UnreadableDelivery": 2,
        "InvalidDocument": 2,
        "StateUnusable": 2,
        "Refused": 7,
        "HostBusy": 7,
        "NotAllowed": 7,
        "DeliveryFailed": 10,
        "MonitoringFailed": 10,
        "IllegalTransition": 7,
        "EngineFailure": 10,
        "ExecutorFailure": 10,
        "UnknownShape": 10,
    }


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_stays_short(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}

    assert ast.get_docstring(tree), "the first line says what the module is"
    assert len(source.splitlines()) <= 500
    assert {name: lines for name, lines in long.items() if lines > 60} == {}
