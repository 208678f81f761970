"""How many paired cells are needed: SNARE-seq with most training cells of one modality.

    python benchmarks/missing.py [--folds 09F+09H ...] [--seeds 0] [--shares 1 0.5 0.2 0.1 0.05]
        [--multivi 100 --multivi-shares 0.2] [--models DIR] [--json PATH]

A share of the training cells stays paired; of the rest, one half keeps only RNA, the other half
only ATAC. Batches are held out as in ``translation.py`` and ``embedding.py``, with the same scores;
RNA removed from training cells is the truth for translation from ATAC. Opponents in the same run:
kNN from the paired cells, in PCs of all RNA and in LSI of all ATAC; with ``--multivi``, MULTIVI on
the same mosaic, which is also trained on the RNA of the test cells. Retained shares are relative to
the score of a constant prediction (AUROC 0.5, accuracy the share of the largest type, other scores
0).
"""

from __future__ import annotations

from typing import Any

import _baselines as baselines
import numpy as np
from _held_out import classify, score_embedding, score_profile, score_translation
from _multivi import run_multivi
from _quality import Scores, all_cells, data, finish, parser, trained, write
from mudata import MuData

from scmomer import metrics
from scmomer._compat import keep_obs

KEPT = ("auroc_within_depth", "auroc", "pseudobulk_pearson", "profile_ari", "profile_ami")
KEPT += ("ari", "ami", "accuracy")


def lacks(n: int, share: float, seed: int) -> dict[str, np.ndarray]:
    """Return which of `n` cells lack each modality; a `share` is paired."""
    turn = np.random.default_rng(seed).permutation(n)
    n_paired = round(share * n)
    n_rna = (n - n_paired) // 2
    return {"rna": turn >= n_paired + n_rna, "atac": (turn >= n_paired) & (turn < n_paired + n_rna)}


def mosaic(mdata: MuData, lacking: dict[str, np.ndarray]) -> MuData:
    """Return the cells with the modalities that they keep."""
    parts = {m: mdata[m][~lacking[m]].copy() for m in ("rna", "atac")}
    with keep_obs():
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
    return score(test, baselines.neighbor_mean(known[paired], opened, query, 50), query)


def log_expression(train: MuData, cells: np.ndarray, scale: float) -> Any:
    """Return log2 expression of some training cells, on the model's scale."""
    return baselines.log_normalize(train["rna"].X[cells], scale) / np.float32(np.log(2))


def knn_to_rna(train: MuData, lacking: dict[str, np.ndarray], scale: float) -> np.ndarray:
    """Mean expression of the 50 nearest paired cells, in LSI of all ATAC."""
    has = np.flatnonzero(~lacking["atac"])
    known = baselines.lsi(train["atac"].X[has], train["atac"].X[has])[0]
    lost = lacking["rna"][has]
    rna = log_expression(train, has[~lost], scale)
    return baselines.neighbor_mean(known[~lost], rna, known[lost], 50)


def multivi(
    args: Any, fold: str, seed: int, share: float, lacking: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return the results of MULTIVI, trained on the same mosaic."""
    mdata = all_cells(args.cells)
    train = ~mdata.obs["batch"].isin(fold.split("+")).to_numpy()
    lost = {m: np.zeros(mdata.n_obs, bool) for m in lacking}
    for m, mask in lacking.items():
        lost[m][train] = mask
    name = "" if share == 1 else f"_{share:g}"
    missing = None if share == 1 else lost
    return run_multivi(mdata, fold, seed, args.multivi, args.models, missing=missing, name=name)


def compare(
    args: Any, fold: str, seed: int, share: float, train: MuData, test: MuData
) -> dict[str, Scores]:
    """Score all methods with a share of the training cells paired."""
    lacking = lacks(train.n_obs, share, seed)
    name = fold if share == 1 else f"{fold}_{share:g}"
    model = trained(mosaic(train, lacking), name, seed, args.models, args.max_epochs)[0]
    scale = model.target_sum
    z, translated = model.get_latent_representation(test["rna"]), model.get_translated(test["rna"])
    found = {"scMomer": score(test, translated, z), "kNN, 50 cells": knn(train, lacking, test)}
    back: dict[str, np.ndarray] = {}
    if share < 1:
        back["scMomer"] = model.get_translated(train["atac"][lacking["rna"]].copy(), "rna")
        back["kNN, 50 cells"] = knn_to_rna(train, lacking, scale)
    if args.multivi is not None and share in args.multivi_shares:
        rival = multivi(args, fold, seed, share, lacking)
        found["MULTIVI"] = score(test, rival["translated"], rival["embedded"])
        if "expressed" in rival:
            back["MULTIVI"] = np.log2(1 + scale * rival["expressed"])
    for method, predicted in back.items():
        truth = log_expression(train, np.flatnonzero(lacking["rna"]), scale).toarray()
        scores = metrics.predict_modality(truth, np.asarray(predicted, np.float32))
        found[method]["rna_pearson_per_gene"] = scores["mean_pearson_per_gene"]
    return found


def kept(scores: Scores, full: Scores, largest: float) -> Scores:
    """Return each score relative to that of fully paired training."""
    floor = {"auroc_within_depth": 0.5, "auroc": 0.5, "accuracy": largest}
    return {
        f"{key}_kept": (scores[key] - floor.get(key, 0)) / (full[key] - floor.get(key, 0))
        for key in KEPT
    }


def main() -> None:
    """Run all folds, seeds and shares; scores are relative to those of the first share."""
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
                part = compare(args, fold, seed, share, train, test)
                found[f"{share:.0%} paired"] = part
                for method, scores in part.items():
                    full = next(iter(found.values())).get(method)
                    scores |= {} if full is None else kept(scores, full, largest)
                    print(fold, seed, share, method, scores, flush=True)
            runs.append({"fold": fold, "seed": seed, "n_cells": test.n_obs, **found})
            write(args, runs, tuple(found))
    finish(args, runs, tuple(found))


if __name__ == "__main__":
    main()
