"""What ``import scmomer`` brings along, and where its messages go, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import scmomer

# Each takes a good part of a second, and only some functions need it.
HEAVY = (
    *("jax", "muon", "performer_pytorch", "pynndescent", "rdkit", "scanpy", "scib_metrics"),
    *("torch_geometric", "umap"),
)

SCRIPT = """
import json, logging, sys
import scvi
before, root = set(sys.modules), logging.getLogger()
handlers = list(root.handlers)
import scmomer
found = {
    "new": sorted(set(sys.modules) - before),
    "root": root.handlers == handlers,
    "dir": dir(scmomer),
}
logger = logging.getLogger("scmomer.some.place")
logger.info("first")
logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, force=True)
logger.info("second")
logging.info("of another")
logger.debug("not shown")
found["pl"] = scmomer.pl.__name__
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def process() -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(Path(scmomer.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-W", "error::FutureWarning:scmomer", "-c", SCRIPT],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )


@pytest.fixture(scope="module")
def found(process) -> dict:
    return json.loads(process.stdout)


def test_little_is_imported_that_scvi_does_not_import(found):
    assert "scmomer.model" in found["new"]
    assert not {name.partition(".")[0] for name in found["new"]} & set(HEAVY)
    assert "scmomer.pl" not in found["new"]


def test_plots_are_there_when_asked_for(found):
    assert found["pl"] == "scmomer.pl" and "pl" in found["dir"]
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = scmomer.nothing_like_it


def test_the_root_logger_stays_as_it_was(found):
    assert found["root"]


def test_messages_keep_their_prefix_when_others_set_up_logging(process):
    lines = process.stderr.splitlines()
    assert [line for line in lines if "first" in line or "second" in line] == [
        "scmomer: first",
        "scmomer: second",
    ]
    assert any(line.endswith("of another") for line in lines)
    assert "not shown" not in process.stderr
