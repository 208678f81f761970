"""The house: imports go one way, and packages meet at their doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "scmomer"
# Each may import those before it; `metrics` and `datasets` stand alone.
ORDER = [
    {"_checks", "_compat", "_constants", "_deprecated", "_logging"},
    {"metrics", "datasets", "nn"},
    {"module"},
    {"data"},
    {"inference"},
    {"train"},
    {"model"},
    {"tasks", "pp", "pretrained"},
    {"tl"},
    {"pl"},
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
ALONE = {"metrics": {"metrics", "_deprecated"}, "datasets": {"datasets"}}


def name_of(path: Path) -> str:
    """``scmomer.data._cells`` of a file."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imports(module: str) -> Iterator[str]:
    """Yield the modules of scmomer that a file imports, wherever in it."""
    is_door = FILES[module].name == "__init__.py"
    package = module if is_door else module.rsplit(".", 1)[0]
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in FILES else base
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room(module: str) -> str:
    """The package, or the file beside the packages, that a module is in."""
    return (module.split(".") + [""])[1]


EDGES = {m: {t for t in imports(m) if t in FILES and t != m} for m in FILES}


@pytest.mark.parametrize("module", sorted(m for m in FILES if room(m)))
def test_imports_go_one_way(module):
    for target in EDGES[module]:
        here, there = room(module), room(target)
        if there and here != there:
            assert RANK[there] < RANK[here], f"{module} imports {target}"
            assert there in RANK and (here not in ALONE or RANK[there] == 0)


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_private_file_of_another_package(module):
    for target in EDGES[module]:
        private = target.rsplit(".", 1)[-1].startswith("_")
        beside = room(target).startswith("_")
        assert not private or beside or room(target) in ("", room(module)), f"{module}: {target}"


def test_no_circles():
    files = {m for m in FILES if FILES[m].name != "__init__.py"}
    left = {m: EDGES[m] & files for m in files}
    while done := [m for m, targets in left.items() if not targets]:
        for m in done:
            del left[m]
        left = {m: targets - set(done) for m, targets in left.items()}
    assert not left, f"in or above a circle: {sorted(left)}"


def test_every_package_has_a_place():
    assert {room(m) for m in FILES} - {""} == set(RANK)
