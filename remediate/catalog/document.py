"""A YAML document that knows on which line each of its fields stands, and a list of problems found in documents."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from remediate.errors import InvalidDocument

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Model = TypeVar("_Model", bound=BaseModel)
_Part = TypeVar("_Part")

#: A document that goes beyond these is no document that a person wrote.
_DEEPEST, _MOST_FIELDS = 50, 100_000

#: Where a field stands: the keys and indexes that lead to it.
Location = tuple[str | int, ...]


class Problems:
    """Problems of documents, collected so that they are reported all at once."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, path: Path, line: int, field: str, what: str) -> None:
        """Note one problem of one field."""
        where = f"{path}:{line}" if line else str(path)
        self.sentences.append(f"{where}: {field}: {what}" if field else f"{where}: {what}")

    def raise_if_any(self, headline: str) -> None:
        """Raise `InvalidDocument` with every problem when there is one."""
        if self.sentences:
            raise InvalidDocument(
                "\n  ".join([headline, *self.sentences]), next_step="correct the lines named above and repeat"
            )


class Document:
    """One parsed YAML file: `data` holds its content, `line` says where a field stands."""

    def __init__(self, path: Path, data: object, lines: dict[Location, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def line(self, location: Iterable[str | int]) -> int:
        """Return the line of a field, or of the nearest field around it."""
        wanted = tuple(location)
        while wanted and wanted not in self._lines:
            wanted = wanted[:-1]
        return self._lines.get(wanted, 1)

    def parse(self, model: type[_Model], data: object, prefix: Location, problems: Problems) -> _Model | None:
        """Return `data` as a value of `model`, or None after noting every problem."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            for detail in error.errors():
                location = self._written(prefix + tuple(detail["loc"]))
                self.note(location, _words(detail["type"], detail["msg"]), problems)
            return None

    def section(self, name: str, kind: TypeAdapter[_Part], missing: _Part) -> _Part | None:
        """Return one section by itself, `missing` when there is none, or None when it is wrong, as `parse` tells."""
        if not isinstance(self.data, dict) or name not in self.data:
            return missing
        try:
            return kind.validate_python(self.data[name])
        except ValidationError:
            return None

    def note(self, location: Location, what: str, problems: Problems) -> None:
        """Note a problem of the field that stands at a location."""
        problems.add(self.path, self.line(location), ".".join(map(str, location)), what)

    def _written(self, location: Location) -> Location:
        """Return a location without the names of union members: `kind` says those, they stand nowhere as fields."""
        kept: Location = ()
        around: object = self.data
        for part in location:
            if isinstance(around, dict) and part not in around and around.get("kind") == part:
                continue
            kept = (*kept, part)
            if isinstance(around, dict):
                around = around.get(part)
            elif isinstance(around, list) and isinstance(part, int):
                around = around[part]
        return kept


def read_document(path: Path, problems: Problems) -> Document | None:
    """Read one YAML file; note an unreadable or ill-formed one, and names that stand twice, as problems."""
    try:
        loader = _Loader(path.read_bytes())
        try:
            node = loader.get_single_node()
            lines: dict[Location, int] = {}
            _note_lines(node, (), lines, path, problems)
            return Document(path, loader.construct_document(node) if node else None, lines)
        finally:
            loader.dispose()
    except OSError as error:
        problems.add(path, 0, "", f"cannot be read: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problems.add(
            path, mark.line + 1 if mark else 1, "", f"is not valid YAML: {getattr(error, 'problem', None) or error}"
        )
    return None


def _note_lines(
    node: yaml.Node | None, at: Location, lines: dict[Location, int], path: Path, problems: Problems
) -> None:
    if node is None:
        return
    if len(at) > _DEEPEST or len(lines) > _MOST_FIELDS:
        raise ValueError("it is nested too deeply or repeats itself by aliases")
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                problems.add(path, key.start_mark.line + 1, ".".join(map(str, (*at, name))), "stands twice")
            seen.add(name)
            lines[(*at, name)] = key.start_mark.line + 1
            _note_lines(value, (*at, name), lines, path, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*at, index), lines, path, problems)


def _words(kind: str, message: str) -> str:
    a_list = "has to be a list: each entry on a line that begins with `- `, or []"
    known = {
        "missing": "is missing",
        "extra_forbidden": "is not a known field",
        **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), a_list),
    }
    said = message.removeprefix("Value error, ")
    return known.get(kind, said[:1].lower() + said[1:])
