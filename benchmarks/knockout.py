"""Knockouts in a trained model: time, and what random genes of equal expression take away.

    python benchmarks/knockout.py [--genes 100] [--cells N] [--model DIR] [--json PATH]

Genes drawn at random from SNARE-seq are knocked out in all its cells, by subtype, with the default
model of all cells. Without random genes the shift of the embedding is that of expression: its rank
correlation with detection is printed beside that of z. Genes and subtypes with the highest z follow.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import scvi
from _measure import machine, versions
from _quality import all_cells
from _report import write_report
from mudata import MuData
from scipy.stats import spearmanr

import scmomer

GROUP, N_SHOWN = "cell_subtype", 12


def load(path: Path | None, mdata: MuData) -> scmomer.SCMOMER:
    """Return a trained model, read from a folder if it is there."""
    if path is not None and path.exists():
        return scmomer.load(path)
    scvi.settings.seed = 0
    copy = mdata.copy()
    scmomer.pp.setup_mudata(copy, batch_key="batch")
    model = scmomer.SCMOMER(copy)
    model.train(enable_progress_bar=False)
    if path is not None:
        model.save(path)
    return model


def main(argv: list[str] | None = None) -> None:
    """Run, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=100)
    parser.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parser.add_argument("--model", type=Path, help="folder to read or write the trained model")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/knockout.json"))
    args = parser.parse_args(argv)
    mdata = all_cells(args.cells)
    model = load(args.model, mdata)
    rna = mdata["rna"].copy()
    rna.obs[GROUP] = mdata.obs[GROUP].reindex(rna.obs_names).to_numpy()
    genes = rna.var_names[np.random.default_rng(0).permutation(rna.n_vars)[: args.genes]]
    wall, cpu = time.perf_counter(), time.process_time()
    found = scmomer.tl.knockout(rna, genes, model, groupby=GROUP, enable_progress_bar=False)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scored = found.table.dropna(subset="embedding_z")
    scored = scored[~scored["outside"].astype(bool)]
    place = found.genes.get_indexer(scored["gene"]), found.groups.get_indexer(scored["group"])
    raw = np.linalg.norm(found.latents[place], axis=1)

    def with_detection(values: np.ndarray) -> float:
        return float(spearmanr(scored["detection"], values).statistic)

    best = scored.head(N_SHOWN)[["gene", "group", "detection", "embedding_z", "embedding_p"]]
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "torch"),
        "n_cells": rna.n_obs,
        "n_genes": len(genes),
        "seconds": wall,
        "cpu_seconds": cpu,
        "n_scored": len(scored),
        "spearman_with_detection": {
            "shift": with_detection(raw),
            **{
                name: with_detection(scored[name].to_numpy())
                for name in scored
                if name.endswith("_z")
            },
        },
        "best": best.to_dict("records"),
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_report(args.json, report)
    print({k: v for k, v in report.items() if k not in ("best", "versions")})
    print(best.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
