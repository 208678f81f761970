"""Notebooks are whole: run in order, without an error, with what they printed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "tutorials").glob("*.ipynb"))


def test_there_are_some():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ran_in_order(path):
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs and not any(output["output_type"] == "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_what_there_is(path):
    """Every ``scmomer.x.y`` in it exists: a renamed function breaks the tutorial."""
    import scmomer

    text = json.loads(path.read_text())["cells"]
    source = "\n".join("".join(c["source"]) for c in text if c["cell_type"] == "code")
    names = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute)]
    used = {ast.unparse(n) for n in names if re.fullmatch(r"scmomer[.\w]+", ast.unparse(n))}
    assert len(used) > 5
    for name in used:
        found = scmomer
        for part in name.split(".")[1:]:
            found = getattr(found, part)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_speaks_of_no_machine(path):
    assert not any(word in path.read_text() for word in ("/home/", "/root/", "/work/", "/tmp/"))
