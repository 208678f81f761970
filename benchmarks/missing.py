"""How few paired cells are enough: SNARE-seq with most training cells of one modality only.

    python benchmarks/missing.py [--folds 09F+09H ...] [--seeds 0] [--shares 1 0.5 0.2 0.1 0.05]
        [--multivi 100 --multivi-shares 0.2] [--models DIR] [--json PATH]

Of the training cells a share stays paired; of the others one half keeps RNA, the other half ATAC.
Batches are left out as in ``translation.py`` and ``embedding.py``, with the same scores. Opponents in
the same run: kNN from the paired cells in PCs of all RNA; with ``--multivi``, MULTIVI on the same
mosaic, which sees the RNA of the test cells besides. What is kept is counted from what a constant
scores (AUROC 0.5, others 0; accuracy from the share of the largest type).
"""

from __future__ import annotations

from typing import Any

import _baselines as baselines
import mudata
import numpy as np
from _held_out import classify, score_embedding, score_profile, score_translation
from _multivi import run_multivi
from _quality import Scores, all_cells, data, finish, parser, trained, write
from mudata import MuData

KEPT = ("auroc_within_depth", "auroc", "pseudobulk_pearson", "profile_ari", "profile_ami")
KEPT += ("ari", "ami", "accuracy")


def lacks(n: int, share: float, seed: int) -> dict[str, np.ndarray]:
    """Return which of `n` cells lack each modality; a `share` lacks none."""
    turn = np.random.default_rng(seed).permutation(n)
    n_paired = round(share * n)
    n_rna = (n - n_paired) // 2
    return {"rna": turn >= n_paired + n_rna, "atac": (turn >= n_paired) & (turn < n_paired + n_rna)}


def mosaic(mdata: MuData, lacking: dict[str, np.ndarray]) -> MuData:
    """Return the cells with what they keep."""
    parts = {m: mdata[m][~lacking[m]].copy() for m in ("rna", "atac")}
    with mudata.set_options(pull_on_update=False):
        return MuData(parts, obs=mdata.obs.copy())


def score(test: MuData, translated: np.ndarray, z: np.ndarray) -> Scores:
    """Score a translation and an embedding of the same cells."""
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    return {
        **score_translation(test["atac"].X, translated, labels),
        **score_profile(translated, labels),
        **score_embedding(z, labels),
        **classify(z, labels),
    }


def knn(train: MuData, lacking: dict[str, np.ndarray], test: MuData) -> Scores:
    """Mean of the 50 nearest paired cells, in components of all RNA."""
    known, query = baselines.rna_pca(train["rna"].X[~lacking["rna"]], test["rna"].X)
    paired = ~lacking["atac"][~lacking["rna"]]
    opened = (train["atac"].X[~lacking["rna"]][paired] > 0).astype(np.float32)
    return score(test, baselines.neighbour_mean(known[paired], opened, query, 50), query)


def multivi(
    args: Any, fold: str, seed: int, share: float, lacking: dict[str, np.ndarray], test: MuData
) -> Scores:
    """MULTIVI on the same mosaic."""
    mdata = all_cells(args.cells)
    train = ~mdata.obs["batch"].isin(fold.split("+")).to_numpy()
    missing = {m: np.zeros(mdata.n_obs, bool) for m in lacking}
    for m, mask in lacking.items():
        missing[m][train] = mask
    name = "" if share == 1 else f"_{share:g}"
    found = run_multivi(mdata, fold, seed, args.multivi, args.models, missing=missing, name=name)
    return score(test, found["translated"], found["embedded"])


def kept(scores: Scores, full: Scores, largest: float) -> Scores:
    """Return the share of each score of fully paired training that is left."""
    floor = {"auroc_within_depth": 0.5, "auroc": 0.5, "accuracy": largest}
    return {
        f"{key}_kept": (scores[key] - floor.get(key, 0)) / (full[key] - floor.get(key, 0))
        for key in KEPT
    }


def main() -> None:
    """Run all folds, seeds and shares."""
    command = parser(__doc__, "missing.json")
    command.add_argument("--shares", nargs="+", type=float, default=[1, 0.5, 0.2, 0.1, 0.05])
    command.add_argument("--multivi-shares", nargs="+", type=float, default=[0.2])
    command.set_defaults(folds=["09F+09H"], seeds=[0])
    args = command.parse_args()
    runs = []
    for seed in args.seeds:
        for fold in args.folds:
            train, test = data(fold, args.cells)
            largest = float(test.obs["cell_subtype"].value_counts(normalize=True).iloc[0])
            found: dict[str, dict[str, Scores]] = {}
            for share in args.shares:
                part = found[f"{share:.0%} paired"] = {}
                lacking = lacks(train.n_obs, share, seed)
                name = fold if share == 1 else f"{fold}_{share:g}"
                model = trained(mosaic(train, lacking), name, seed, args.models)[0]
                z = model.get_latent_representation(test["rna"])
                part["scMomer"] = score(test, model.get_translated(test["rna"]), z)
                part["kNN, 50 cells"] = knn(train, lacking, test)
                if args.multivi is not None and share in args.multivi_shares:
                    part["MULTIVI"] = multivi(args, fold, seed, share, lacking, test)
                for method, scores in part.items():
                    full = next(iter(found.values())).get(method)
                    scores |= kept(scores, full, largest) if full and args.shares[0] == 1 else {}
                    print(fold, seed, share, method, scores, flush=True)
            runs.append({"fold": fold, "seed": seed, "n_cells": test.n_obs, **found})
            write(args, runs, tuple(found))
    finish(args, runs, tuple(found))


if __name__ == "__main__":
    main()
