"""Quality of pseudo-pairs: SNARE-seq with hidden pairing, against random pairs.

    python benchmarks/pairing.py [--cells N] [--seeds 0 1 2] [--json PATH]

RNA and ATAC of the same cells are separated, ATAC is shuffled and renamed, and
``scmomer.pp.pair_cells`` pairs them again. ``on="labels"`` uses ``cell_type``; the other methods
use no labels. For each method:

- agreement of ``cell_type`` and ``cell_subtype`` over the pairs, and Cohen's kappa, which is 0 for
  random pairs. Unassigned cells (``Mis``) are left out, or are a separate type in
  ``cell_type_with_unassigned``. Also for the more confident half of the pairs, with the AUROC of
  confidence for pairs of the same type;
- FOSCTTM of the shared space, the same for both methods that have one;
- FOSCTTM of the partners: share of other cells that are closer than the partner to the cell's true
  ATAC, in LSI of ATAC (cosine). 0.5 by chance, 0 if each partner is the cell itself;
- shares of ATAC cells that are used, and of pairs of the same cell.

Both sides have the same types in the same proportions, which favors transport. Component weights,
``n_neighbors`` and ``epsilon`` were chosen on these cells, among a few values that differed by at
most 0.04 in agreement.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _baselines import lsi
from _measure import machine, versions
from _quality import all_cells
from _report import write_report
from anndata import AnnData
from mudata import MuData
from sklearn.metrics import roc_auc_score

from scmomer import metrics
from scmomer.pp import pair_cells
from scmomer.pp.pairing._gene_activity import linked_peaks
from scmomer.pp.pairing._shared_space import shared_space

METHODS: dict[str, dict[str, Any]] = {
    "labels (told cell_type)": {"on": "labels", "labels_key": "cell_type"},
    "embedding": {"on": "embedding"},
    "ot": {"on": "ot"},
    "ot, drawn": {"on": "ot", "draw": True},
}


def hide(mdata: MuData, seed: int) -> tuple[AnnData, AnnData, np.ndarray]:
    """Return RNA, shuffled and renamed ATAC, and the RNA position of each ATAC cell, ``(n,)``."""
    order = np.random.default_rng(seed).permutation(mdata.n_obs)
    atac = mdata["atac"][order].copy()
    atac.obs_names = [f"atac{i}" for i in range(atac.n_obs)]
    return mdata["rna"].copy(), atac, order


def space_foscttm(rna: AnnData, atac: AnnData, order: np.ndarray, seed: int) -> tuple[float, float]:
    """Return FOSCTTM of the shared space with default options, and of random cells."""
    activity = atac.X @ linked_peaks(atac, rna.var_names, "linked_gene")
    space = shared_space(rna.X, activity, n_comps=30, n_top_genes=2000, random_state=seed)
    return metrics.foscttm(space.rna[order], space.atac), metrics.foscttm(space.rna, space.atac)


def score(
    labels: dict[str, np.ndarray], partner: np.ndarray, confidence: np.ndarray, z: np.ndarray
) -> dict[str, float]:
    """Score pairs: RNA cell ``i`` with the ATAC of cell ``partner[i]``.

    Parameters
    ----------
    labels
        Cell types and subtypes, ``(n,)``; None where unassigned.
    partner, confidence
        Shapes ``(n,)``.
    z
        LSI of the ATAC of the cells, ``(n, n_comps)``.
    """
    found: dict[str, float] = {}
    confident = confidence >= np.median(confidence)
    for key, values in labels.items():
        agreement = metrics.pairing_agreement(values, values[partner])
        half = metrics.pairing_agreement(values[confident], values[partner][confident])
        found |= {f"{key}_{name}": value for name, value in agreement.items()}
        found[f"{key}_agreement_confident_half"] = half["agreement"]
        found[f"{key}_pairs"] = int(((values != None) & (values[partner] != None)).sum())  # noqa: E711
    types = labels["cell_type"]
    known = (types != None) & (types[partner] != None)  # noqa: E711
    same, constant = (types == types[partner])[known], np.ptp(confidence) == 0
    found["confidence_auroc"] = 0.5 if constant else roc_auc_score(same, confidence[known])
    found["foscttm_of_partners"] = metrics.foscttm(z[partner], z)
    found["atac_cells_used"] = len(np.unique(partner)) / len(partner)
    found["same_cell"] = float((partner == np.arange(len(partner))).mean())
    return {key: float(value) for key, value in found.items()}


def run(mdata: MuData, z: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    """Pair with every method and score the pairs."""
    rna, atac, order = hide(mdata, seed)
    labels = {
        key: np.where(rna.obs[key] == "Mis", None, rna.obs[key].astype(object))
        for key in ("cell_type", "cell_subtype")
    }
    labels["cell_type_with_unassigned"] = rna.obs["cell_type"].astype(object).to_numpy()
    shared, chance = space_foscttm(rna, atac, order, seed)
    found = {"random": score(labels, order, np.zeros(len(order)), z) | {"foscttm": chance}}
    for name, options in METHODS.items():
        started = time.process_time()
        paired = pair_cells(rna, atac, **options, random_state=seed)
        seconds = time.process_time() - started
        partner = order[atac.obs_names.get_indexer(paired.obs["atac_cell"])]
        found[name] = score(labels, partner, paired.obs["pair_confidence"].to_numpy(), z)
        found[name] |= {"core_seconds": seconds}
        if options["on"] != "labels":
            found[name]["foscttm"] = shared
        print(seed, name, found[name], flush=True)
    return found


def summarize(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, list[float]]]:
    """Return mean and standard deviation over seeds of every score."""
    return {
        name: {
            key: [float(f([r[name][key] for r in runs])) for f in (np.mean, np.std)]
            for key in scores
        }
        for name, scores in runs[0].items()
    }


def main() -> None:
    """Run all seeds, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="order and pairs")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/pairing.json"))
    args = parser.parse_args()
    mdata = all_cells(args.cells)
    z = lsi(mdata["atac"].X, mdata["atac"].X[:1])[0]
    z /= np.linalg.norm(z, axis=1, keepdims=True)  # direction, not depth
    runs = [run(mdata, z, seed) for seed in args.seeds]
    summary = summarize(runs)
    report = {
        "command": " ".join(["python", "benchmarks/pairing.py", *sys.argv[1:]]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scanpy", "scipy", "pot"),
        "cells": mdata.n_obs,
        "seeds": args.seeds,
        "summary": summary,
        "runs": runs,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_report(args.json, report)
    keys = ("cell_type_agreement", "cell_subtype_agreement", "foscttm", "foscttm_of_partners")
    print("| |" + " | ".join(keys) + " |\n" + "|---" * (len(keys) + 1) + "|")
    for name, scores in summary.items():
        cells = (f"{scores[key][0]:.3f}" if key in scores else "-" for key in keys)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
