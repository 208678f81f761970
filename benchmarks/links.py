"""Links of peaks to genes: synthetic data with known links, and SNARE-seq by proximity.

    python benchmarks/links.py [--seeds 0 1 2] [--models DIR] [--cells N] [--max-epochs N]

``synthetic``: ``datasets.synthetic(linked_within=200_000)``, where each peak follows a random one of
the genes within 200 kb. AUROC of linked pairs among all pairs within that distance. Cells have six
types and ten shared programs; genes of one program cannot be told apart, and ``true profiles`` is
what the noiseless activity of each cell would reach.

``snareseq``: *proximity recovery*, not functional truth. Each peak comes with one gene of the
publication, assigned by proximity; the file has no coordinates of genes. AUROC of this pair against
the same peak with another gene of the chromosome (that of the peaks assigned to a gene), for all
peaks and for the tenth that is open in most cells. Two kinds of negatives: ``uniform``, each gene
alike; and ``permuted``, the genes of the positives in another order, so that each gene is as often
in negatives as in positives. With uniform negatives and all peaks, the mean expression of the gene
alone, which knows nothing of the peak, beats all methods: genes with many peaks are seen best.

Every method sees the same cells; scMomer is trained on them with its defaults, as links are a
description of given cells. Smoothing over neighbors replaces the values of a cell by the mean of
itself and its nearest cells in 50 principal components of log expression, 50 in all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import scvi
from _measure import machine, versions
from _quality import all_cells, kept_model, measured, parser
from _report import write_report
from mudata import MuData
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import scmomer
from scmomer.tasks.genes import LinkCells, activity, attributed, read_link_cells

WITHIN = 200_000  # base pairs, of synthetic links
SYNTHETIC: dict[str, Any] = {
    "n_cells": 3000,
    "n_genes": 300,
    "n_peaks": 1500,
    "n_types": 6,
    "n_states": 10,
    "marker_share": 1.0,
    "linked_within": WITHIN,
    "rna_depth": 600,
    "atac_depth": 300,
}
N_COMPS, N_NEIGHBORS = 50, 50
BLOCK = 2000  # peaks at a time, smoothed
#: Returns the score of each pair, from positions of genes and peaks.
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def pearson(expression: np.ndarray, peaks: sp.csr_matrix, smooth: sp.csr_matrix) -> Score:
    """Return the correlation over cells, both smoothed by ``smooth``, ``(n_cells, n_cells)``."""
    x = standard(smooth @ expression)
    y = peaks.tocsc()

    def score(gene: np.ndarray, peak: np.ndarray) -> np.ndarray:
        out = np.empty(len(gene))
        for start in range(0, y.shape[1], BLOCK):
            rows = np.flatnonzero((peak >= start) & (peak < start + BLOCK))
            block = standard((smooth @ y[:, start : start + BLOCK]).toarray())
            for few in np.array_split(rows, len(rows) // BLOCK + 1):
                out[few] = np.einsum("ij,ij->j", x[:, gene[few]], block[:, peak[few] - start])
        return out

    return score


def standard(values: np.ndarray) -> np.ndarray:
    """Center columns and scale them to length 1; constant ones become 0."""
    values = values - values.mean(0)
    return values / np.maximum(np.linalg.norm(values, axis=0), 1e-9)


def neighbors(z: np.ndarray, k: int) -> sp.csr_matrix:
    """Return the weights that average each cell with its nearest cells, ``(n_cells, n_cells)``."""
    k = min(k, len(z))
    index = NearestNeighbors(n_neighbors=k).fit(z).kneighbors(z, return_distance=False)
    weight = np.full(index.size, 1 / k, np.float32)
    rows = np.repeat(np.arange(len(z)), k)
    return sp.csr_matrix((weight, (rows, index.ravel())), shape=(len(z),) * 2)


def methods(mdata: MuData, model: scmomer.SCMOMER, seed: int) -> dict[str, Score]:
    """Return the score of every method."""
    cells = read_link_cells(mdata, model, None, None, {})
    expression, peaks = cells.rna.values.toarray(), cells.atac.values
    alone, n_comps = sp.eye(mdata.n_obs, format="csr"), min(N_COMPS, *expression.shape)
    mdata.obsm["X_pca_rna"] = PCA(n_comps, random_state=seed).fit_transform(expression)
    on_pcs = read_link_cells(mdata, model, "X_pca_rna", None, {})
    rna_only = read_link_cells(mdata["rna"].copy(), model, None, None, {})
    mean = expression.mean(0)
    every = activity(cells, np.ones(mdata.n_obs, bool), np.ones((mdata.n_obs, 1)), False)
    one_group = np.zeros(mdata.n_obs, int)
    (by_gradient,) = attributed([every], model, mdata, cells, one_group, None, {})
    return {
        "mean expression of the gene": lambda gene, peak: mean[gene],
        "correlation": pearson(expression, peaks, alone),
        "correlation, kNN-50 on RNA PCs": pearson(
            expression, peaks, neighbors(mdata.obsm["X_pca_rna"], N_NEIGHBORS)
        ),
        "correlation, kNN-50 on scMomer": pearson(
            expression, peaks, neighbors(cells.z, N_NEIGHBORS)
        ),
        "projected onto RNA PCs": projected(on_pcs, False),
        "scMomer": every.factors.pairs,
        "scMomer, adjust_depth": projected(cells, True),
        "scMomer, RNA alone": projected(rna_only, False),
        "scMomer, attribution": by_gradient.factors.pairs,
    }


def projected(cells: LinkCells, adjust_depth: bool) -> Score:
    """Return the score of ``tl.peak_gene_links``."""
    n = len(cells.z)
    return activity(cells, np.ones(n, bool), np.ones((n, 1)), adjust_depth).factors.pairs


def trained(mdata: MuData, path: Path | None, seed: int, max_epochs: int | None) -> Any:
    """Return scMomer with its defaults, trained on all cells."""

    def fit() -> Any:
        scvi.settings.seed = seed
        scmomer.pp.setup_mudata(mdata, batch_key="batch")
        model = scmomer.SCMOMER(mdata)
        model.train(max_epochs, enable_progress_bar=False)
        return model

    return kept_model(path, lambda: measured(fit))[0]


def run_synthetic(model: Any, mdata: MuData, seed: int) -> dict[str, float]:
    """Return the AUROC of each method among pairs within the distance of links."""
    scmomer.tl.peak_gene_links(mdata, model, distance=WITHIN, min_cells=1)
    table = mdata.uns["scmomer_links"]
    rna, atac = mdata["rna"], mdata["atac"]
    gene, peak = rna.var_names.get_indexer(table["gene"]), atac.var_names.get_indexer(table["peak"])
    true = atac.var["linked_gene"].cat.codes.to_numpy()[peak] == gene
    profiles, shares = mdata.uns["truth"], mdata.obsm["programs"]
    noiseless = pearson(
        shares @ profiles["rna"],
        sp.csr_matrix(shares @ profiles["atac"]),
        sp.eye(mdata.n_obs, format="csr"),
    )
    found = {"distance": -table["distance"].abs().to_numpy()}
    found |= {name: score(gene, peak) for name, score in methods(mdata, model, seed).items()}
    found["scMomer, z against its background"] = table["z"].fillna(0).to_numpy()
    found["true profiles"] = noiseless(gene, peak)
    return {name: float(roc_auc_score(true, values)) for name, values in found.items()}


def pairs_of_snareseq(
    mdata: MuData, seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return peaks, their gene, and other genes of the chromosome for each peak."""
    rng = np.random.default_rng(seed)
    atac = mdata["atac"]
    chrom = atac.var_names.str.split(":").str[0].to_numpy()
    gene = mdata["rna"].var_names.get_indexer(atac.var["linked_gene"])
    peak = np.flatnonzero(gene >= 0)
    gene, chrom = gene[peak], chrom[peak]
    other = {"uniform": gene.copy(), "permuted": gene.copy()}
    for name in np.unique(chrom):
        here = np.flatnonzero(chrom == name)
        own = gene[here]
        known = np.unique(own)
        if len(known) < 2:
            continue
        # A uniform gene other than the own: skip the place of the own one.
        drawn = rng.integers(0, len(known) - 1, len(here))
        other["uniform"][here] = known[drawn + (drawn >= np.searchsorted(known, own))]
        other["permuted"][here] = rearranged(own, rng)
    return peak, gene, other


def rearranged(own: np.ndarray, rng: np.random.Generator, tries: int = 200) -> np.ndarray:
    """Return the same genes in an order in which (nearly) none stays in its place."""
    found = rng.permutation(own)
    for _ in range(tries):
        stuck = np.flatnonzero(found == own)
        if not len(stuck):
            break
        for i, j in zip(stuck, rng.integers(0, len(own), len(stuck)), strict=True):
            found[i], found[j] = found[j], found[i]
    return found


def run_snareseq(model: Any, mdata: MuData, seed: int) -> dict[str, dict[str, float]]:
    """Return AUROCs of proximity recovery."""
    peak, gene, other = pairs_of_snareseq(mdata, seed)
    opened = mdata["atac"].X.getnnz(axis=0)[peak]
    some = {"all peaks": np.ones(len(peak), bool), "top tenth": opened >= np.quantile(opened, 0.9)}
    found: dict[str, dict[str, float]] = {}
    for name, score in methods(mdata, model, seed).items():
        positive = score(gene, peak)
        found[name] = {}
        for kind, negatives in other.items():
            negative, differs = score(negatives, peak), negatives != gene
            for which, chosen in some.items():
                rest = chosen & differs
                values = np.concatenate([positive[chosen], negative[rest]])
                true = np.repeat([1, 0], [chosen.sum(), rest.sum()])
                found[name][f"{kind}, {which}"] = float(roc_auc_score(true, values))
        print(seed, name, found[name], flush=True)
    return found


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds of every score."""
    first = runs[0]
    if isinstance(first, dict):
        return {key: summarize([r[key] for r in runs]) for key in first}
    return [float(np.mean(runs)), float(np.std(runs, ddof=1)) if len(runs) > 1 else None]  # type: ignore[return-value]


def main() -> None:
    """Run all seeds, print the tables, write JSON."""
    command = parser(__doc__, "links.json")
    command.add_argument("--parts", nargs="+", default=["synthetic", "snareseq"])
    args = command.parse_args()
    runs: dict[str, list[Any]] = {part: [] for part in args.parts}
    for seed in args.seeds:
        for part in args.parts:
            if part == "synthetic":
                options = SYNTHETIC if args.cells is None else SYNTHETIC | {"n_cells": args.cells}
                mdata, run = scmomer.datasets.synthetic(**options, seed=seed), run_synthetic
            else:
                mdata, run = all_cells(args.cells), run_snareseq
            path = None if args.models is None else args.models / f"links_{part}_{seed}.scmomer"
            model = trained(mdata, path, seed, args.max_epochs)
            runs[part].append(run(model, mdata, seed))
            print(part, seed, runs[part][-1], flush=True)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scipy"),
        "seeds": args.seeds,
        "synthetic_options": SYNTHETIC,
        "summary": {part: summarize(found) for part, found in runs.items()},
        "runs": runs,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_report(args.json, report)
    for part, table in report["summary"].items():
        show(part, table)


def show(part: str, table: dict[str, Any]) -> None:
    """Print a table in Markdown."""
    rows = {k: v if isinstance(v, dict) else {"AUROC": v} for k, v in table.items()}
    keys = list(next(iter(rows.values())))
    print(f"\n{part}\n| | " + " | ".join(keys) + " |\n" + "|---" * (len(keys) + 1) + "|")
    for name, scores in rows.items():
        cells = (f"{m:.3f}" + (f" ± {e:.3f}" if e is not None else "") for m, e in scores.values())
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
