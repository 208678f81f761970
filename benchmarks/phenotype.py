"""Condition and donor of deep cells: told from cells, and seen in clusters of embeddings.

    python benchmarks/phenotype.py [--data kang baron] [--folds 0 1 2] [--cells N]
        [--max-epochs N] [--models DIR] [--json PATH]

- ``kang``: PBMC of Kang 2018 with and without interferon beta (``condition``); counts recovered.
- ``baron``: pancreas of Baron, cells of four human and two mouse donors (``Sample``).

A fold has a fifth of the cells, stratified by what is told, and a seed of its own. scMomer (RNA
alone, its defaults) is trained on the other cells without any label; its classifiers are trained on
the same cells with their conditions or donors, and scored on the fold. Clusters are those of k-means
on all cells of the data set, with as many clusters as names; no embedding has seen a label.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _baselines as baselines
import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
from _annotators import OPPONENTS, Annotator, ours, run
from _counts import recover_counts
from _held_out import score_embedding
from _quality import kept_model, standard_error
from _report import write_runs
from anndata import AnnData
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scmomer

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data")) / "rna"
N_FOLDS = 5
SIMPLE = ("L2 logistic regression, log expression", "logistic regression, 50 PCs")
Scores = dict[str, float]


class DataSet(NamedTuple):
    """Where cells come from, what is told, and what clusters are compared with."""

    load: Callable[[], AnnData]
    told: str
    groups: dict[str, str]


def _kang() -> AnnData:
    return recover_counts(ad.read_h5ad(DATA / "kang_pbmc_lognorm.h5ad"))


def _baron() -> AnnData:
    found = ad.read_h5ad(DATA / "pancreas_baron_350.h5ad")
    counts = sp.csr_matrix(found.X).astype(np.float32)
    return AnnData(counts, obs=found.obs[["Group", "Sample", "Batch"]], var=found.var[[]])


DATA_SETS = {
    "kang": DataSet(_kang, "condition", {"type": "cell_type", "condition": "condition"}),
    "baron": DataSet(_baron, "Sample", {"type": "Group", "donor": "Sample", "species": "Batch"}),
}


def folds(labels: np.ndarray, numbers: list[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield number, training rows and test rows; test rows of two folds never overlap."""
    splits = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(labels, labels)
    for number, (known, held_out) in enumerate(splits):
        if number in numbers:
            yield number, known, held_out


def fitted(rna: AnnData, name: str, seed: int, args: Namespace) -> Any:
    """Return scMomer of RNA alone, trained without labels."""

    def make() -> tuple[Any, Scores]:
        scvi.settings.seed = seed
        cells = rna.copy()
        scmomer.pp.setup_anndata(cells, modality="rna")
        model = scmomer.SCMOMER(cells)
        model.train(args.max_epochs, enable_progress_bar=False)
        return model, {}

    path = None if args.models is None else args.models / f"{name}_{seed}.scmomer"
    return kept_model(path, make)[0]


# -- told from cells


def _on_embedding(model: Any) -> Annotator:
    """Return L2 logistic regression on the frozen embedding, the protocol of the paper."""

    def run(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
        known, unseen = (model.get_latent_representation(cells) for cells in (train, query))
        one = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, labels)
        return pd.DataFrame(one.predict_proba(unseen), columns=one.classes_)

    return run


def methods(model: Any) -> dict[str, Annotator]:
    """Return all that tells a name from a cell."""
    mine = {
        f"scMomer, {how}, {what}": ours(model, inputs=inputs, mode=mode)
        for how, mode in (("frozen", "frozen"), ("fine-tuned", "finetune"))
        for what, inputs in (("embedding alone", "embedding"), ("all inputs", "all"))
    }
    regression = {"logistic regression, embedding": _on_embedding(model)}
    return {**mine, **regression, **{name: OPPONENTS[name] for name in SIMPLE}}


def score(found: pd.DataFrame, truth: np.ndarray) -> Scores:
    """Return accuracy and macro means over the names in the truth."""
    predicted = found.columns.to_numpy()[found.to_numpy().argmax(1)]
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=np.unique(truth), average="macro", zero_division=0
    )
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


def tell(model: Any, cells: AnnData, labels: np.ndarray, split: tuple[Any, Any], seed: int) -> Any:
    """Return the scores of all methods on one fold."""
    known, held_out = split
    train, test = cells[known].copy(), cells[held_out].copy()
    found = {}
    for name, annotator in methods(model).items():
        started = time.process_time()
        probabilities = run(name, annotator, train, labels[known], test, seed)
        found[name] = score(probabilities, labels[held_out])
        found[name]["core_seconds"] = time.process_time() - started
        print(f"    {name}: { {k: round(v, 3) for k, v in found[name].items()} }", flush=True)
    return found


# -- clusters


def cluster(embeddings: dict[str, np.ndarray], groups: pd.DataFrame) -> dict[str, Scores]:
    """Return the agreement of k-means with each column of names."""
    found = {}
    for name, values in embeddings.items():
        scores = {
            f"{group}_{key}": value
            for group in groups
            for key, value in score_embedding(values, groups[group].to_numpy()).items()
        }
        found[name] = scores
        print(f"    {name}: { {k: round(v, 3) for k, v in scores.items()} }", flush=True)
    return found


def components(cells: AnnData, known: np.ndarray) -> dict[str, np.ndarray]:
    """Return components of all cells, fitted on those of the training."""
    train, n = cells[known].X, min(50, len(known) - 1)
    return {
        "50 PCs": baselines.rna_pca(train, cells.X, n)[1],
        "50 scaled PCs": baselines.rna_pca(train, cells.X, n, target_sum=None, scale=True)[1],
    }


# -- results


def one_fold(
    name: str, cells: AnnData, split: tuple[np.ndarray, np.ndarray], seed: int, args: Namespace
) -> dict[str, Any]:
    """Return all scores of one fold."""
    data = DATA_SETS[name]
    labels = cells.obs[data.told].astype(str).to_numpy()
    train = cells[split[0]].copy()
    started = time.process_time()
    model = fitted(train, name, seed, args)
    spent = time.process_time() - started
    told = tell(model, cells, labels, split, seed)
    embeddings = {"scMomer": model.get_latent_representation(cells)}
    groups = pd.DataFrame({g: cells.obs[c].astype(str) for g, c in data.groups.items()})
    clusters = cluster({**embeddings, **components(cells, split[0])}, groups)
    return {"training_core_seconds": spent, "told": told, "clusters": clusters}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over folds of each score, by data set."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(r["data"] for r in runs):
        some = [r for r in runs if r["data"] == name]
        found[name] = {"folds": len(some)}
        for part in ("told", "clusters"):
            found[name][part] = {
                method: {key: _mean([r[part][method][key] for r in some]) for key in scores}
                for method, scores in some[0][part].items()
            }
    return found


def _mean(values: list[float]) -> list[float]:
    return [float(np.mean(values)), standard_error(values)]


def main() -> None:
    """Run all folds that were not run before."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parser.add_argument("--max-epochs", type=int, help="of training, for a quick run")
    parser.add_argument("--models", type=Path, help="folder to read and write trained models")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/phenotype.json"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="The least populated class")
    runs = json.loads(args.json.read_text())["runs"] if args.json.exists() else []
    for name in args.data:
        cells = DATA_SETS[name].load()
        if args.cells is not None:
            chosen = np.random.default_rng(0).permutation(cells.n_obs)[: args.cells]
            cells = cells[np.sort(chosen)].copy()
        labels = cells.obs[DATA_SETS[name].told].astype(str).to_numpy()
        for number, *split in folds(labels, args.folds):
            key = {"data": name, "fold": number, "seed": number}
            if any(key.items() <= done.items() for done in runs):
                continue
            print(f"{name}, fold {number}: {len(split[0])} and {len(split[1])} cells", flush=True)
            runs.append({**key, **one_fold(name, cells, (split[0], split[1]), number, args)})
            write_runs(args.json, runs, summarize(runs))


if __name__ == "__main__":
    main()
