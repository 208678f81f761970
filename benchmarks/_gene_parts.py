"""Further parts of ``genes.py``: chromatin, variability between cell types, time and memory."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import scvi
from _gene_models import MIN_CELLS, pretrained
from _gene_tables import nested
from _gene_tasks import (
    GMT,
    ORTHOLOGS,
    TERMS,
    annotated,
    housekeeping,
    other_embeddings,
    read_terms,
)
from _measure import peak_mb
from _sources import DATA
from anndata import AnnData
from sklearn.metrics import roc_auc_score

import scmomer
from scmomer import tl

MIN_GENES = 10  # of a term in SNARE-seq
Report = dict[str, Any]


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
                here = _with_ortholog(genes, orthologs[columns])
                options["background"] = annotated(here)
                labels = {t: [g for g in read_terms()[t] if g in here] for t in TERMS}
                labels = {t: members for t, members in labels.items() if len(members) >= MIN_GENES}
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
        summary |= nested(mean)
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


def _with_ortholog(genes: AnnData, orthologs: pd.DataFrame) -> pd.Index:
    """Return the human genes that have an ortholog in the data."""
    return pd.Index(orthologs[orthologs.iloc[:, 1].isin(genes.obs_names)].iloc[:, 0].unique())


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
