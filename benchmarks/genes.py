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

import anndata as ad
import numpy as np
import pandas as pd
import pretrain
import scanpy as sc
import scvi
from _corpus import make_corpus, make_shard, survey_files
from _gene_tasks import (
    GMT,
    ORTHOLOGS,
    TERMS,
    classes,
    housekeeping,
    matched_terms,
    other_embeddings,
    read_embedding,
    read_labels,
    read_pairs,
    read_terms,
)
from _measure import machine, peak_mb, versions
from _report import write_report
from _sources import DATA, human_rna
from _vocabulary import Rule
from anndata import AnnData
from sklearn.metrics import roc_auc_score

import scmomer
from scmomer import tl

PARTS = ("property", "pairs", "chromatin", "variability", "speed")
MIN_CELLS = 10  # that express a gene
MIN_GENES = 20  # of a term in SNARE-seq
RANGE = "long- against short-range TFs"
JUDGED = ("dosage-sensitive TFs, no zinc fingers", "bivalent, not Lys4-only", *TERMS)
NAME = "scMomer, contextual"
TABLE = "scMomer, table"
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


# -- embeddings


def corpus_cells(args: Namespace) -> AnnData:
    """Return the RNA of the corpus on which models are pretrained."""
    if args.cells is not None:
        return ad.read_h5ad(args.cells)
    path = args.models / "human_genes_rna.h5ad"
    if not path.exists():
        args.models.mkdir(parents=True, exist_ok=True)
        shard = make_shard(make_corpus(survey_files(human_rna()), Rule(1, 10)), 20_000, 0, 0)
        AnnData(shard.X, obs=shard.obs[[]], var=shard.var[[]]).write_h5ad(path)
    return ad.read_h5ad(path)


def pretrained(args: Namespace, seed: int) -> scmomer.SCMOMER:
    """Return the model of a seed, trained if it is not there."""
    if args.model is not None:
        return scmomer.load(args.model)
    path = args.models / f"human_genes_{seed}.scmomer"
    if not path.exists():
        options = ["--corpus", "human_rna", "--rounds", "1", "--seed", str(seed)]
        pretrain.main([*options, "--out", str(path)])
    return scmomer.load(path)


def embeddings(
    model: scmomer.SCMOMER, cells: AnnData, others: dict[str, pd.DataFrame]
) -> tuple[AnnData, dict[str, Any]]:
    """Return contextual embeddings of genes in enough cells, and all others by name."""
    genes = model.get_gene_embeddings(cells)
    genes = genes[genes.obs["n_cells"] >= MIN_CELLS].copy()
    table = model.get_gene_embeddings(source="table")[genes.obs_names].copy()
    return genes, {TABLE: table, **others}


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
            protocol: _nested(summarize(table, protocol)) for protocol in ("plain", "controlled")
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


def _nested(table: pd.DataFrame) -> dict[str, dict[str, list[float | None]]]:
    """Return rows as lists ``[mean, se, difference, difference_se]`` by task and features."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for (task, features), row in table.iterrows():
        values = [None if np.isnan(v) else float(v) for v in row]
        found.setdefault(task, {})[features] = values
    return found


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
    return {"tasks": _tasks(table), "summary": _nested(summarize(table, "pairs"))}


def run_chromatin(args: Namespace) -> Report:
    """Compare embeddings of a model with and without ATAC, on the same RNA."""
    cortex = scmomer.datasets.snareseq_cortex()
    if args.max_cells is not None:
        cortex = cortex[: args.max_cells].copy()
    orthologs = pd.read_csv(ORTHOLOGS)
    columns = [next(c for c in orthologs if s in c.lower()) for s in ("human", "mouse")]
    synthetic = scmomer.datasets.synthetic(1500, 300, 900, rna_depth=80, atac_depth=600)
    rows = []
    for name, data in (("SNARE-seq", cortex), ("synthetic", synthetic)):
        for seed in args.seeds:
            scvi.settings.seed = seed
            rna = data["rna"].copy()
            kept = args.models / f"genes_{name}_{seed}.scmomer"
            with_atac = _trained(data.copy(), kept, args)
            without = _trained(rna, kept.with_name(f"genes_{name}_rna_{seed}.scmomer"), args)
            genes, apart = (
                g[g.obs["n_cells"] >= MIN_CELLS].copy()
                for g in (m.get_gene_embeddings(rna) for m in (with_atac, without))
            )
            others = other_embeddings(rna.X.tocsr(), rna.var_names)
            others = {key: table.loc[genes.obs_names] for key, table in others.items()}
            options: dict[str, Any] = {"repeats": args.repeats, "seed": seed}
            labels: Any
            if name == "synthetic":
                program = rna.var["marker_of"].astype(object)
                labels = {p: program == p for p in program.dropna().unique()}
            else:
                options["orthologs"] = orthologs[columns]
                options["gene_sets"] = GMT
                labels = _terms_in(genes, orthologs[columns])
            found = tl.gene_property(
                genes, labels, opponents={"without ATAC": apart, **others}, **options
            )
            rows.append(found.table.assign(protocol=name, seed=seed))
            print(name, seed, found.summary().round(3), sep="\n", flush=True)
    table = pd.concat(rows).replace({"features": {"embedding": "with ATAC"}})
    summary = {}
    for name in ("SNARE-seq", "synthetic"):
        some = table[(table["protocol"] == name) & (table["metric"] == "auroc")]
        each = some.groupby(["task", "features"], sort=False)[["mean", "difference"]].mean()
        by = each.groupby(level="features", sort=False)
        n = some["task"].nunique()
        error = by.std() / np.sqrt(n)
        mean = by.mean().assign(se=error["mean"], difference_se=error["difference"])
        mean = mean[["mean", "se", "difference", "difference_se"]]
        mean.index = pd.MultiIndex.from_product([[f"{name}, {n} tasks"], mean.index])
        summary |= _nested(mean)
    return {"summary": summary}


def _trained(data: Any, path: Path, args: Namespace) -> scmomer.SCMOMER:
    """Return a model with defaults, read from `path` or trained."""
    if path.exists():
        return scmomer.load(path)
    if isinstance(data, AnnData):
        scmomer.pp.setup_anndata(data, batch_key="batch")
    else:
        scmomer.pp.setup_mudata(data, batch_key="batch")
    # Both read genes by a Performer; the default for few cells is a perceptron.
    model = scmomer.SCMOMER(data, rna_encoder="performer")
    model.train(1 if args.max_cells else None, enable_progress_bar=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def _terms_in(genes: AnnData, orthologs: pd.DataFrame) -> dict[str, list[str]]:
    """Return the terms of which enough genes have an ortholog in the data."""
    here = orthologs[orthologs.iloc[:, 1].isin(genes.obs_names)].iloc[:, 0]
    terms = {t: [g for g in m if g in set(here)] for t, m in read_terms().items() if t in TERMS}
    return {t: m for t, m in terms.items() if len(m) >= MIN_GENES}


def run_variability(args: Namespace) -> Report:
    """Compare variability between cell types of markers and of housekeeping genes."""
    known = set(housekeeping())
    rows = []
    for seed in args.seeds:
        model = pretrained(args, seed)
        cells = ad.read_h5ad(DATA / "rna" / "pbmc_facs_3774.h5ad")
        cells = scmomer.pp.align_genes(cells, model, gene_key="symbol")
        rng = np.random.default_rng(seed)
        half = rng.random(cells.n_obs) < 0.5  # markers are those of the other cells
        rest, cells = cells[half].copy(), cells[~half].copy()
        sc.pp.normalize_total(rest)
        sc.pp.log1p(rest)
        sc.tl.rank_genes_groups(rest, "celltype", n_genes=30, method="t-test")
        markers = {g for names in rest.uns["rank_genes_groups"]["names"] for g in names}
        tl.gene_variability(cells, "celltype", model, enable_progress_bar=False, seed=seed)
        table = cells.varm["gene_variability"].dropna(subset=["variability"])
        is_marker = table.index.isin(list(markers))
        is_known = table.index.isin(list(known)) & ~is_marker
        decile = pd.qcut(table["detection"].rank(method="first"), 10, labels=False)
        within = table["variability"].groupby(decile).rank(pct=True)
        two = is_marker | is_known
        rows.append(
            {
                "markers above housekeeping genes, AUROC": roc_auc_score(
                    is_marker[two], table["variability"][two]
                ),
                "markers above all others of the same detection, AUROC": roc_auc_score(
                    is_marker, within
                ),
                "median of markers": table["variability"][is_marker].median(),
                "median of housekeeping genes": table["variability"][is_known].median(),
                "Spearman correlation with detection": table["variability"].corr(
                    table["detection"], method="spearman"
                ),
            }
        )
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    return {
        "summary": {
            name: [float(table[name].mean()), float(table[name].sem() if len(table) > 1 else 0)]
            for name in table
        }
    }


def run_speed(args: Namespace) -> Report:
    """Time gene embeddings of more and more cells of a panel of 2,000 genes."""
    scvi.settings.seed = 0
    sizes = (12_500, 25_000, 50_000, 100_000)
    n = args.max_cells or max(sizes)
    data = scmomer.datasets.synthetic(n, 2000, 100, rna_depth=600, atac_depth=20)["rna"]
    start = data[: min(n, 2000)].copy()
    scmomer.pp.setup_anndata(start)
    model = scmomer.SCMOMER(start, rna_encoder="performer")
    model.train(1, enable_progress_bar=False)
    rows = []
    for size in [s for s in sizes if s <= n] or [n]:
        some = data[:size]
        spent: list[float] = []

        def one(some: AnnData = some, spent: list[float] = spent) -> None:
            started = time.perf_counter()
            model.get_gene_embeddings(some)
            spent.append(time.perf_counter() - started)

        mb = peak_mb(one, "cpu")
        genes = float(np.diff(some.X.indptr).mean())
        row = {"cells": size, "genes_per_cell": genes, "seconds": spent[0], "peak_mb": mb}
        rows.append(row)
        print(row, flush=True)
    return {"rows": rows}


def main(argv: list[str] | None = None) -> None:
    """Run parts; each is written when it is done."""
    args = parse(argv)
    report: Report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scikit-learn"),
        "seeds": args.seeds,
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
        report["parts"][part] = found
        write_report(args.json, report)


if __name__ == "__main__":
    main()
