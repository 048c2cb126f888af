"""docs/source-tree.md names every module, and nothing that is not there."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = (ROOT / "docs" / "source-tree.md").read_text().split("```")[1]
#: Modules that need no word: what a package is, and how it is started.
SILENT = {"__init__.py", "__main__.py"}


def named() -> set[str]:
    """Every path below remediate/ that the tree names; a directory ends with a slash."""
    paths: set[str] = set()
    above: list[tuple[int, str]] = []
    for line in TREE.splitlines():
        depth = len(line) - len(line.lstrip())
        names = list(takewhile(lambda word: word.endswith((".py", "/")), line.split()))
        if not names:
            continue
        above = [(indent, name) for indent, name in above if indent < depth]
        prefix = "".join(name for _, name in above)
        paths |= {prefix + name for name in names}
        above += [(depth, name) for name in names if name.endswith("/")][:1]
    return {path for path in paths if path.startswith("remediate/")}


NAMED = named()


def covered(path: Path) -> bool:
    """Whether a module is named, or stands in a directory that is named and none of whose modules are."""
    name = path.relative_to(ROOT).as_posix()
    if name in NAMED:
        return True
    for parent in path.relative_to(ROOT).parents:
        directory = f"{parent.as_posix()}/"
        if directory in NAMED:
            return not any(other != directory and other.startswith(directory) for other in NAMED)
    return False


def test_every_module_is_named_or_stands_in_a_directory_that_is_named_as_a_whole() -> None:
    modules = [path for path in (ROOT / "remediate").rglob("*.py") if path.name not in SILENT]

    assert len(modules) > 100
    assert [str(path.relative_to(ROOT)) for path in modules if not covered(path)] == []


def test_everything_that_is_named_is_there() -> None:
    assert [path for path in sorted(NAMED) if not (ROOT / path).exists()] == []
