"""Does a cell's embedding depend only on the cell? Measured on the model of the demo.

Embeds the query of the demo (run ``make demo`` first) with other batch sizes, in another order, as
a subset, and in a second process, and prints the largest absolute difference.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
from _report import write_report

import scmomer

_CHILD = """
import sys, anndata, numpy, scmomer
query = anndata.read_h5ad(sys.argv[1])
model = scmomer.load(sys.argv[2])
numpy.save(sys.argv[3], model.get_latent_representation(query))
"""


def differences(folder: Path) -> dict[str, float]:
    """Return the largest absolute difference of an embedding value for each change."""
    query = ad.read_h5ad(folder / "query.h5ad")
    model = scmomer.load(folder / "model.scmomer")
    reference = model.get_latent_representation(query)

    def largest(values: np.ndarray, rows: np.ndarray | slice = slice(None)) -> float:
        return float(np.abs(values - reference[rows]).max())

    embed = model.get_latent_representation
    order = np.random.default_rng(0).permutation(query.n_obs)
    some = order[:64]
    other = folder / "second_process.npy"
    command = [sys.executable, "-c", _CHILD]
    paths = [str(folder / "query.h5ad"), str(folder / "model.scmomer"), str(other)]
    subprocess.run([*command, *paths], check=True, stdout=subprocess.DEVNULL)
    result = {
        "largest embedding value": float(np.abs(reference).max()),
        "as written by the demo": largest(query.obsm["X_scmomer"]),
        "batch size 1": largest(embed(query, indices=some, batch_size=1), some),
        "batch size 7": largest(embed(query, batch_size=7)),
        "batch size 4096": largest(embed(query, batch_size=4096)),
        "other order": largest(embed(query[order].copy()), order),
        "64 cells alone": largest(embed(query[some].copy()), some),
        "second process": largest(np.load(other)),
    }
    other.unlink()
    return result


def main() -> None:
    """Print the table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder of make demo")
    parser.add_argument("--json", type=Path, help="file of the results")
    args = parser.parse_args()
    result = differences(args.demo)
    for name, value in result.items():
        print(f"{name:26s}{value:12.2e}")
    if args.json:
        write_report(args.json, result)


if __name__ == "__main__":
    main()
