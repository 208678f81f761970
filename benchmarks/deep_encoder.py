"""Does attention earn its place in deep cells, and is there a better recipe of stage 1?

    python benchmarks/deep_encoder.py [--data NAME ...] [--seeds 0 1 2] [--rows NAME ...]
        [--cells N] [--genes N] [--json PATH]

RNA encoders (the Performer, a perceptron, none: principal components) are trained on unlabeled
cells (stage 1 alone), then frozen. Sorted PBMC (Zheng 2017) and interferon-stimulated PBMC (Kang
2018), the 1,000 most variable genes of the training cells. Held-out cells take no part in anything
before they are scored:

- *types*: logistic regression on the embedding, from 5 or 20 labeled cells of each type (mean of
  five draws) or from all training cells; also for test cells of which a quarter of the counts is
  left (binomial thinning);
- *hidden genes*: 15 % of the expressed genes of a test cell are predicted from the others.

Recipes of stage 1: ``_deep_encoder_training.Recipe``. All networks are trained by one loop with the
optimizer of the package, without early stopping. A seed sets cells, hidden genes and weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from _deep_encoder_cells import FILES, Components, DeepCells, log_expression, read, split, thin
from _deep_encoder_scores import HiddenEntries, Scores, probe, scaled
from _deep_encoder_training import Recipe, build, encode, fit, predict_hidden
from _measure import machine, versions
from _report import write_report
from sklearn.neighbors import NearestNeighbors

from scmomer.nn import to_rows

SIZES = {"sorted PBMC": (1100, 600), "Kang": (1000, 600)}  # training and test cells
LONG = 3.0
HIDDEN = 0.15
THIN = 0.25
N_NEIGHBORS = 20
RECIPES = {
    "default": Recipe(),
    "3 x epochs": Recipe(LONG),
    "3 x epochs, thinned cells in": Recipe(LONG, thinnest=0.2),
    "3 x epochs, 40 % hidden": Recipe(LONG, mask=0.4),
}
MORE = {  # for the perceptron, which is fast
    "3 x epochs, halves of a cell": Recipe(LONG, contrast=0.1),
    "10 x epochs": Recipe(10.0),
    "30 x epochs": Recipe(30.0),
    "30 x epochs, thinned cells in": Recipe(30.0, thinnest=0.2),
}
NETWORKS: dict[str, tuple[str, Recipe]] = {
    **{f"MLP, {name}": ("mlp", recipe) for name, recipe in (RECIPES | MORE).items()},
    **{f"Performer, {name}": ("performer", recipe) for name, recipe in RECIPES.items()},
}
SOMETIMES = {
    f"Performer, {name}": ("performer", MORE[name])
    for name in ("3 x epochs, halves of a cell", "10 x epochs")
}  # slow: where --rows names them
NONE = "no network"


class Task(NamedTuple):
    """The cells of one seed, and what is hidden in them."""

    cells: DeepCells
    tests: dict[str, sp.csr_matrix]
    """Test cells by suffix of their scores: as they are, and thinned."""
    hidden: np.ndarray
    entries: HiddenEntries
    seed: int


def prepare(name: str, seed: int, n_train: int, n_test: int, n_genes: int) -> Task:
    """Draw cells and hide genes."""
    cells = split(*read(name), seed, n_train=n_train, n_test=n_test, n_genes=n_genes)
    hidden = np.random.default_rng([seed, 1]).random(cells.test.nnz) < HIDDEN
    tokenizer = build(cells.train, "performer", seed)

    def bins(counts: sp.csr_matrix) -> np.ndarray:
        tokens = tokenizer.rna.encoder.tokenize(tokenizer.rna.normalize(to_rows(counts)))
        return tokens.bins[tokens.valid].numpy() - 1

    n_bins = tokenizer.rna.config.n_bins
    shares = np.ones((n_genes, n_bins)) / n_bins
    np.add.at(shares, (cells.train.indices, bins(cells.train)), 1.0)
    shares /= shares.sum(1, keepdims=True)
    entries = HiddenEntries(cells.test, hidden, bins(cells.test)[hidden], shares)
    tests = {"": cells.test, "_thinned": thin(cells.test, THIN, seed)}
    return Task(cells, tests, hidden, entries, seed)


def visible(task: Task) -> sp.csr_matrix:
    """Return test cells without what is hidden."""
    counts = task.cells.test.copy()
    counts.data[task.hidden] = 0
    counts.eliminate_zeros()
    return counts


def without_network(task: Task) -> dict[str, Scores]:
    """Score log expression, its components, and simple predictions of hidden genes."""
    cells = task.cells
    train = log_expression(cells.train)
    dense = train.toarray()
    logs = {kind: log_expression(counts).toarray() for kind, counts in task.tests.items()}
    labels, truth = cells.train_labels, cells.test_labels
    found = {"log expression": probe(dense, labels, logs, truth, task.seed)}
    rows, columns = task.entries.cells, task.entries.genes
    expressed = np.asarray((train != 0).sum(0)).ravel()
    means = dense.sum(0) / np.maximum(expressed, 1)
    found["mean of the gene"] = task.entries.score(means[columns])
    seen = visible(task)
    for name, is_scaled in (("components", False), ("components, scaled", True)):
        parts = Components(cells.train, scaled=is_scaled)
        z = parts(cells.train)
        tests = {kind: parts(counts) for kind, counts in task.tests.items()}
        query = parts(seen)
        found[name] = probe(*_ordered(scaled(z, tests), labels), truth, task.seed)
        found[name] |= task.entries.score(parts.rebuild(query)[rows, columns])
        near = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(z).kneighbors(query)[1]  # (n, k)
        found[f"kNN on {name}"] = task.entries.score(dense[near].mean(1)[rows, columns])
    return found


def _ordered(features: tuple[np.ndarray, dict], labels: np.ndarray) -> tuple[Any, ...]:
    return features[0], labels, features[1]


def with_network(task: Task, encoder: str, recipe: Recipe) -> dict[str, Scores]:
    """Train a network and score it; of the Performer also means over gene tokens."""
    cells = task.cells
    options = {"rna_attention": "favor"} if encoder == "performer" else {}
    module = build(cells.train, encoder, task.seed, **options)
    started = time.process_time()
    fit(module, cells.train, recipe, task.seed)
    seconds = time.process_time() - started
    train = encode(module, cells.train)
    tests = {kind: encode(module, counts) for kind, counts in task.tests.items()}
    found = {}
    for place, name in enumerate(("", "mean of tokens")):
        if train[place] is None:
            continue
        features = scaled(train[place], {kind: z[place] for kind, z in tests.items()})
        found[name] = probe(*_ordered(features, cells.train_labels), cells.test_labels, task.seed)
    hidden = predict_hidden(module, cells.test, task.hidden)
    found[""] |= task.entries.score(hidden.decoded)
    if hidden.log_bins is not None:
        expected = np.exp(hidden.log_bins) @ np.arange(hidden.log_bins.shape[1])
        found["masked-gene head"] = task.entries.score(expected, hidden.log_bins)
    found[""]["core_seconds"] = seconds
    return found


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over seeds, by data set and method."""
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(run["data"] for run in runs):
        values: dict[str, dict[str, list[float]]] = {}
        for run in runs:
            if run["data"] != name:
                continue
            for method, scores in run["scores"].items():
                for key, value in scores.items():
                    values.setdefault(method, {}).setdefault(key, []).append(value)
        summary[name] = {
            method: {k: [float(np.mean(v)), _error(v), len(v)] for k, v in scores.items()}
            for method, scores in values.items()
        }
    return summary


def _error(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def run(args: argparse.Namespace, report: dict[str, Any]) -> None:
    """Run what is not in the report yet, and write it after each row."""
    runs = {(r["data"], r["seed"], r["row"]): r for r in report["runs"]}
    for seed in args.seeds:
        for name in args.data:
            todo = [row for row in args.rows if (name, seed, row) not in runs]
            if not todo:
                continue
            n_train, n_test = args.cells or SIZES[name]
            task = prepare(name, seed, n_train, n_test, args.genes)
            for row in todo:
                scores = without_network(task) if row == NONE else _named(task, row)
                length = float(np.median(np.diff(task.cells.train.indptr)))
                entry = {"data": name, "seed": seed, "row": row, "median_genes": length}
                report["runs"].append(entry | {"scores": scores})
                report["summary"] = summarize(report["runs"])
                write_report(args.json, report)
                first = next(iter(scores.values()))
                print(name, seed, row, {k: round(v, 3) for k, v in first.items()}, flush=True)


def _named(task: Task, row: str) -> dict[str, Scores]:
    found = with_network(task, *(NETWORKS | SOMETIMES)[row])
    return {f"{row}: {part}" if part else row: scores for part, scores in found.items()}


def main(argv: list[str] | None = None) -> None:
    """Run data sets, seeds and rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=[*FILES], choices=FILES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--rows", nargs="+", default=[NONE, *NETWORKS], choices=[NONE, *NETWORKS, *SOMETIMES]
    )
    parser.add_argument("--cells", nargs=2, type=int, metavar=("TRAIN", "TEST"))
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/deep_encoder.json"))
    args = parser.parse_args(argv)
    report: dict[str, Any] = {"runs": []}
    if args.json.exists():
        report = json.loads(args.json.read_text())
    head = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scikit-learn"),
        "threads": torch.get_num_threads(),
    }
    run(args, head | {key: report[key] for key in ("runs", "summary") if key in report})


if __name__ == "__main__":
    main()
