"""The embedding of RNA alone beside principal components, on cells that nobody saw.

    SCMOMER_DATA=... python benchmarks/rna_embedding.py [--data facs_deep kang pancreas snareseq]
        [--seeds 0 1 2] [--performer kang pancreas snareseq] [--models DIR] [--json PATH]

Data sets and splits are in ``_rna_sets``. Embeddings are fitted to the reference without labels. Of
the query: k-means in its embedding, as many clusters as types, and types by the 15 nearest cells of
the reference. The Performer is slow in the deepest cells, and measured on the others.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

import _baselines as baselines
import numpy as np
from _held_out import score_embedding
from _quality import UNTOUCHED, over_folds, parser
from _report import write_runs
from _rna_sets import RNA_SETS, RnaSplit, small_model
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

N_NEIGHBORS = 15
Scores = dict[str, float]


def embeddings(
    split: RnaSplit, performer: Any = None
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield a name and the embeddings of reference and query; `performer` is another model."""
    reference, query = split.train[0], split.test[0]
    for name, model in (("scMomer", split.model), ("scMomer, Performer", performer)):
        if model is not None:
            embed = model.get_latent_representation
            yield name, embed(reference), embed(query)
    pca = partial(baselines.rna_pca, reference.X, query.X)
    yield "50 PCs", *pca()
    yield "50 PCs, scaled", *pca(target_sum=None, scale=True)


def score(z: np.ndarray, labels: np.ndarray, z_query: np.ndarray, truth: np.ndarray) -> Scores:
    """Score the embedding of a query."""
    near = KNeighborsClassifier(min(N_NEIGHBORS, len(z))).fit(z, labels).predict(z_query)
    return {
        **score_embedding(z_query, truth),
        "accuracy": float(accuracy_score(truth, near)),
        "macro_f1": float(f1_score(truth, near, labels=np.unique(truth), average="macro")),
    }


def runs_of(name: str, args: Namespace) -> Iterator[dict[str, Any]]:
    """Yield one run for each fold and seed."""
    for split in RNA_SETS[name](args):
        found, other = {}, None
        if name in args.performer:
            kept = f"{split.name}_performer", split.seed, args
            other = small_model(split.train[0], *kept, rna_encoder="performer")
        for method, z, z_query in embeddings(split, other):
            found[method] = score(z, split.train[1], z_query, split.test[1])
            short = {key: round(value, 3) for key, value in found[method].items()}
            print(f"    {method}: {short}", flush=True)
        yield {"data": name, "fold": split.fold, "seed": split.seed, "methods": found}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over folds, by data set."""
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(run["data"] for run in runs):
        some = [run for run in runs if run["data"] == name]
        summary[name] = {
            method: {key: over_folds(some, method, key) for key in scores}
            for method, scores in some[0]["methods"].items()
        }
    return summary


def main() -> None:
    """Run the data sets."""
    command = parser(__doc__, "rna_embedding.json")
    names = ["kang", "pancreas", "snareseq"]
    command.add_argument("--data", nargs="+", default=["facs_deep", *names], choices=RNA_SETS)
    command.add_argument("--performer", nargs="*", default=names, choices=RNA_SETS)
    command.set_defaults(folds=list(UNTOUCHED))
    args = command.parse_args()
    runs: list[dict[str, Any]] = []
    for name in args.data:
        print(name, flush=True)
        for run in runs_of(name, args):
            runs.append(run)
            write_runs(args.json, runs, summarize(runs))


if __name__ == "__main__":
    main()
