from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from remediate.adapters.ansible.run_directory import write_variables
from remediate.domain.runbook import ParameterValue
from tests.unit.test_parameter import HARMLESS_TEXTS, HOSTILE_TEXTS


class Unsafe(str):
    """Text that Ansible would keep from its templates."""


class AnsibleLike(yaml.SafeLoader):
    """Reads `!unsafe` as Ansible does: what the tag is on is resolved once more, as if it had no quotes."""


def _unsafe(loader: AnsibleLike, node: yaml.ScalarNode) -> Any:
    tag: str = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]  # of PyYAML
    value = loader.construct_object(yaml.ScalarNode(tag, node.value))
    return Unsafe(value) if isinstance(value, str) else value


AnsibleLike.add_constructor("!unsafe", _unsafe)


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), AnsibleLike)  # noqa: S506  # a safe loader with one more tag


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS + HARMLESS_TEXTS if "\ud800" not in text])
def test_every_text_arrives_as_it_is(tmp_path: Path, text: str) -> None:
    write_variables(tmp_path / "variables.yml", {"x": text})

    assert read(tmp_path / "variables.yml") == {"x": text}


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS if "{" in text or "#" in text])
def test_text_that_could_be_a_template_is_kept_from_being_one_at_any_depth(tmp_path: Path, text: str) -> None:
    write_variables(tmp_path / "variables.yml", {"x": [{"deep": text}], "y": text})
    found = read(tmp_path / "variables.yml")

    assert (type(found["x"][0]["deep"]), type(found["y"])) == (Unsafe, Unsafe)


@pytest.mark.parametrize(
    "text", ["null", "~", "", "yes", "Off", "0x1f", "0o17", "1_000", "1e3", ".inf", "12:30:45", "2026-01-05", "<<", "="]
)
def test_text_that_yaml_takes_for_something_else_stays_text(tmp_path: Path, text: str) -> None:
    write_variables(tmp_path / "variables.yml", {"x": text, "y": [text]})

    assert read(tmp_path / "variables.yml") == {"x": text, "y": [text]}


def test_numbers_truths_and_nothing_keep_their_types_and_the_file_is_private(tmp_path: Path) -> None:
    values: dict[str, ParameterValue] = {"a": 1, "b": 0.5, "c": True, "d": None, "e": {"k: {{ x }}": []}}
    write_variables(tmp_path / "variables.yml", values)

    assert read(tmp_path / "variables.yml") == values
    assert (tmp_path / "variables.yml").stat().st_mode & 0o777 == 0o600


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
        max_leaves=8,
    )
)
def test_whatever_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: ParameterValue) -> None:
    path = tmp_path_factory.getbasetemp() / "variables.yml"
    write_variables(path, {"x": value})

    assert read(path) == {"x": value}
