"""What do gene embeddings tell, beside what is simpler?

    python benchmarks/genes.py [--parts property pairs chromatin variability speed] [--seeds 0 1 2]
        [--models DIR] [--model PATH] [--cells FILE.h5ad] [--embedding NAME=FILE ...]
        [--labels NAME=FILE ...] [--repeats 2] [--json PATH]

The model is that of ``pretrain.py --corpus human_rna`` (one round, a model for each seed): human
blood and pancreas, 6,024 cells, mapped to symbols; contextual embeddings are averaged over the same
cells. ``--model`` and ``--cells`` take another one instead, for example published weights
(``scmomer.pretrained.load_scbert``, then ``model.save``). Genes are those in at least 10 cells.

- *property*: classes of transcription factors and promoters, and 20 GO terms fixed beforehand.
  "plain" is the usual protocol. "controlled" keeps genes of a family (first three letters) in one
  fold and compares genes of a term with others that are in as many terms: names and
  annotation then tell nothing.
- *pairs*: gene-gene interactions (published split, disjoint genes) and protein-protein interactions,
  by the published protocol and with disjoint genes and degree-preserving negative pairs.
- *chromatin*: SNARE-seq through orthologs and synthetic data, a model with and without ATAC.
- *variability*: markers and housekeeping genes.
- *speed*: time and memory for up to 100,000 cells x 2,000 genes.

``--embedding`` scores further tables (CSV, word2vec text, h5ad) on the genes that all have.
``--labels`` takes CSV files with columns gene, label, such as long- and short-range transcription
factors, for which there are no labels at hand.
"""

from __future__ import annotations

import argparse
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _gene_models import MIN_CELLS, corpus_cells, embeddings, pretrained
from _gene_parts import run_chromatin, run_speed, run_variability
from _gene_tables import nested
from _gene_tasks import (
    GMT,
    TERMS,
    annotated,
    classes,
    matched_terms,
    other_embeddings,
    read_embedding,
    read_labels,
    read_pairs,
    read_terms,
)
from _measure import machine, versions
from _report import write_report
from anndata import AnnData

from scmomer import tl

PARTS = ("property", "pairs", "chromatin", "variability", "speed")
RANGE = "long- against short-range TFs"
JUDGED = ("dosage-sensitive TFs, no zinc fingers", "bivalent, not Lys4-only", *TERMS)
NAME = "scMomer, contextual"
Report = dict[str, Any]


def parse(argv: list[str] | None = None) -> Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of models")
    parser.add_argument("--model", type=Path, help="a trained model to score instead")
    parser.add_argument("--cells", type=Path, help="h5ad with RNA counts for --model")
    parser.add_argument("--embedding", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--labels", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--repeats", type=int, default=2, help="of five folds")
    parser.add_argument("--max-pairs", type=int, default=50_000, help="to train on")
    parser.add_argument("--max-cells", type=int, help="for a quick run")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/genes.json"))
    args = parser.parse_args(argv)
    if bool(args.model) != bool(args.cells):
        parser.error("Expected --model and --cells together. Pass both, or none.")
    return args


# -- parts


def run_property(args: Namespace, cells: AnnData, others: dict[str, pd.DataFrame]) -> Report:
    """Score classes and terms by both protocols, for each seed."""
    tasks = classes()
    given = dict(item.split("=", 1) for item in args.labels)
    tasks |= {name: read_labels(Path(path)) for name, path in given.items()}
    rows = []
    for seed in args.seeds:
        genes, opponents = embeddings(pretrained(args, seed), cells, others)
        terms = {t: g for t, g in read_terms().items() if t in TERMS}
        options = {"opponents": opponents, "gene_sets": GMT, "repeats": args.repeats, "seed": seed}
        options["background"] = annotated(genes.obs_names)
        for protocol, groups, sets in (
            ("plain", None, terms),
            ("controlled", "family", matched_terms(genes.obs_names, 0)),
        ):
            # Bivalent promoters are silent in these cells: more than half of the genes are not seen.
            seen = {name: y[y.index.isin(genes.obs_names)] for name, y in tasks.items()}
            for part in (seen, sets):
                found = tl.gene_property(genes, part, groups=groups, **options)
                rows.append(found.table.assign(protocol=protocol, seed=seed))
            print(protocol, seed, summarize(pd.concat(rows), protocol).round(3), sep="\n")
            sys.stdout.flush()
    table = pd.concat(rows).replace({"features": {"embedding": NAME}})
    return {
        "not run": [] if given else [RANGE],
        "n_genes": int(len(genes)),
        "tasks": _tasks(table),
        "summary": {
            protocol: nested(summarize(table, protocol)) for protocol in ("plain", "controlled")
        },
    }


def summarize(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return AUROC and difference to our embedding: means over tasks, with standard errors.

    Of a single task the error is that of its folds, of several that over tasks.
    """
    auroc = table[(table["protocol"] == protocol) & (table["metric"] == "auroc")]
    columns = ["mean", "se", "difference", "difference_se"]
    each = auroc.groupby(["task", "features"], sort=False)[columns].mean()
    parts = {"20 GO terms": list(TERMS), "judged tasks": list(JUDGED)}
    tasks = list(dict.fromkeys(auroc["task"]))
    singles = {task: [task] for task in tasks if task not in TERMS}
    rows = {}
    for name, members in {**singles, **parts}.items():
        some = each[each.index.get_level_values("task").isin(members)]
        for features, values in some.groupby(level="features", sort=False):
            n = len(values)
            row = values.mean()
            if n > 1:
                row["se"] = values["mean"].std() / np.sqrt(n)
                row["difference_se"] = values["difference"].std() / np.sqrt(n)
            rows[name, features] = row
    return pd.DataFrame(rows).T


def _tasks(table: pd.DataFrame) -> dict[str, list[int]]:
    """Return the number of positive and negative genes of each task."""
    first = table.drop_duplicates(["protocol", "task"])
    return {
        f"{row.task}, {row.protocol}": [int(row.n_positive), int(row.n_negative)]
        for row in first.itertuples()
    }


PAIRS = {
    "GGI, published split": (
        "gene_pairs",
        {"split": "given", "negatives": "given", "head": "symmetric"},
    ),
    "PPI, published protocol": (
        "ppi",
        {"split": "given", "negatives": "given", "head": "concatenated"},
    ),
    "PPI, new genes, degree-preserving": (
        "ppi",
        {"split": "c3", "negatives": "degree", "head": "symmetric", "n_splits": 2},
    ),
    "PPI, new genes, degree-preserving, similarity": (
        "ppi",
        {"split": "c3", "negatives": "degree", "head": "similarity", "n_splits": 2},
    ),
}


def run_pairs(args: Namespace, cells: AnnData, others: dict[str, pd.DataFrame]) -> Report:
    """Score interactions, for each seed."""
    rows = []
    for seed in args.seeds:
        genes, opponents = embeddings(pretrained(args, seed), cells, others)
        for name, (file, options) in PAIRS.items():
            started, pairs = time.perf_counter(), read_pairs(file)
            found = tl.gene_interactions(
                genes,
                pairs[pairs[["gene_a", "gene_b"]].isin(genes.obs_names).all(axis=1)],
                opponents=opponents,
                max_train_pairs=args.max_pairs,
                seed=seed,
                **options,
            )
            rows.append(found.table.assign(task=name, seed=seed, protocol="pairs"))
            print(name, seed, f"{time.perf_counter() - started:.0f} s")
            print(found.table[found.table["metric"] == "auroc"].round(3).to_string(), flush=True)
    table = pd.concat(rows).replace({"features": {"embedding": NAME}})
    return {"tasks": _tasks(table), "summary": nested(summarize(table, "pairs"))}


def main(argv: list[str] | None = None) -> None:
    """Run parts; each is written when it is done."""
    args = parse(argv)
    report: Report = {
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scikit-learn"),
        "parts": {},
    }
    if args.json.exists():
        import json

        report["parts"] = json.loads(args.json.read_text())["parts"]
    needs_cells = {"property", "pairs"} & {*args.parts}
    cells = corpus_cells(args) if needs_cells else None
    others = {}
    if cells is not None:
        cells = cells[: args.max_cells].copy()
        often = np.asarray((cells.X > 0).sum(0)).ravel() >= MIN_CELLS
        others = other_embeddings(cells[:, often].X.tocsr(), cells.var_names[often])
        given = dict(item.split("=", 1) for item in args.embedding)
        others |= {name: read_embedding(Path(path)) for name, path in given.items()}
    for part in args.parts:
        if part == "property":
            found = run_property(args, cells, others)
        elif part == "pairs":
            found = run_pairs(args, cells, others)
        else:
            found = {
                "chromatin": run_chromatin,
                "variability": run_variability,
                "speed": run_speed,
            }[part](args)
        command = " ".join(["python", *sys.argv])
        report["parts"][part] = {"command": command, "seeds": args.seeds, **found}
        write_report(args.json, report)


if __name__ == "__main__":
    main()
