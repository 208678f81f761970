"""Labels and pairs of ``genes.py``, and other embeddings of the same genes."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

from scmomer.nn import log_normalize_csr

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data")) / "genes"
GMT = DATA / "go_bp.gmt.gz"
ORTHOLOGS = DATA / "human_mouse_orthologs_mgi.csv.gz"
ZINC_FINGERS = r"(?:ZNF|ZSCAN|ZBTB|ZKSCAN|ZFP)"
# Drawn before any was scored, among terms with 50 to 500 genes in the file of which at least 30 are
# in the corpus. Start values of the gene table were chosen on 40 others.
TERMS = (
    *("GO:0098660", "GO:0010564", "GO:0009893", "GO:1901700", "GO:0033043", "GO:0044403"),
    *("GO:0043412", "GO:1901990", "GO:0045088", "GO:0045935", "GO:0006955", "GO:0051896"),
    *("GO:0045934", "GO:0001817", "GO:0042770", "GO:0006139", "GO:0055086", "GO:0033554"),
    *("GO:0051129", "GO:0002683"),
)
NEGATIVES = 3  # for each positive gene, with as many terms
BINS = 20  # of the number of terms
WIDTH = 64  # of other embeddings, that of the model


def read_terms() -> dict[str, list[str]]:
    """Return the genes of each GO term, by id."""
    with gzip.open(GMT, "rt") as file:
        rows = (line.rstrip("\n").split("\t") for line in file)
        return {row[0]: row[2:] for row in rows}


def annotated(genes: pd.Index) -> list[str]:
    """Return those of some genes that are in any term: the others are less studied."""
    return sorted({g for members in read_terms().values() for g in members} & {*genes})


def classes() -> dict[str, pd.Series]:
    """Return genes with two classes, True or False."""
    tf = pd.read_csv(DATA / "dosage_sensitive_tf.csv").drop_duplicates("gene").set_index("gene")
    sensitive = tf["label"] == "sensitive"
    table = pd.read_csv(DATA / "gene_class_labels.csv").drop_duplicates(["symbol", "label"])

    def against(other: str) -> pd.Series:
        two = table[table["label"].isin(["bivalent", other])].set_index("symbol")["label"]
        return two[~two.index.duplicated(keep=False)] == "bivalent"

    return {
        "dosage-sensitive TFs": sensitive,
        "dosage-sensitive TFs, no zinc fingers": sensitive[
            ~sensitive.index.str.match(ZINC_FINGERS)
        ],
        "bivalent, not Lys4-only": against("lys4_only"),
        "bivalent, not unmethylated": against("no_methylation"),
    }


def read_labels(path: Path) -> pd.Series:
    """Return genes and classes of a CSV file with columns gene, label."""
    table = pd.read_csv(path)
    return table.set_index("gene")["label"]


def matched_terms(genes: pd.Index, seed: int) -> dict[str, pd.Series]:
    """Return the terms with negative genes that are in as many terms, so that this tells nothing.

    Parameters
    ----------
    genes
        Genes of the comparison, as in the file of terms.
    seed
        Of the draw.
    """
    terms = read_terms()
    n_terms = pd.Series([g for members in terms.values() for g in members]).value_counts()
    n_terms = n_terms[n_terms.index.isin(genes)]
    rng, found = np.random.default_rng(seed), {}
    for term in TERMS:
        inside = n_terms.index.isin(terms[term])
        count = n_terms.to_numpy() - inside  # without the term itself
        edges = np.unique(np.quantile(count[inside], np.linspace(0, 1, BINS + 1)))
        place = np.clip(np.searchsorted(edges, count, side="right"), 1, len(edges) - 1)
        chosen = [np.flatnonzero(inside)]
        for k in np.unique(place[inside]):
            own = np.flatnonzero(
                ~inside & (place == k) & (count >= edges[0]) & (count <= edges[-1])
            )
            n = NEGATIVES * int((inside & (place == k)).sum())
            chosen.append(rng.choice(own, min(n, len(own)), replace=False))
        rows = np.concatenate(chosen)
        found[term] = pd.Series(inside[rows], index=n_terms.index[rows])
    return found


def read_pairs(name: str) -> pd.DataFrame:
    """Return pairs of genes with label and fold; ``gene_pairs`` (GGI) or ``ppi``."""
    parts = []
    for fold in ("train", "valid", "test"):
        part = pd.read_csv(DATA / f"{name}_{fold}.csv.gz")
        part.columns = pd.Index(["gene_a", "gene_b", "label"])
        parts.append(part.assign(fold=fold))
    return pd.concat(parts, ignore_index=True)


def housekeeping() -> list[str]:
    """Return symbols of housekeeping genes."""
    return (DATA / "housekeeping_genes.txt").read_text().split()


# -- other embeddings


def read_embedding(path: Path) -> pd.DataFrame:
    """Return genes x dimensions of a CSV, TSV, word2vec text or h5ad file."""
    if path.suffix == ".h5ad":
        import anndata as ad

        genes = ad.read_h5ad(path)
        return pd.DataFrame(np.asarray(genes.X), index=genes.obs_names)
    with path.open() as file:
        first = file.readline().split()
    is_word2vec = len(first) == 2 and all(part.isdigit() for part in first)
    if is_word2vec:
        return pd.read_csv(path, sep=r"\s+", skiprows=1, header=None, index_col=0)
    return pd.read_csv(path, sep=None, engine="python", index_col=0)


def other_embeddings(counts: sp.csr_matrix, genes: pd.Index) -> dict[str, pd.DataFrame]:
    """Return embeddings of genes that need no network, from the same cells."""
    total = float(np.median(np.asarray(counts.sum(1)).ravel()))
    expression = log_normalize_csr(counts, total)
    mean = np.asarray(expression.mean(0)).ravel()
    std = np.sqrt(np.maximum(np.asarray(expression.power(2).mean(0)).ravel() - mean**2, 1e-8))
    scaled = np.clip((expression.toarray() - mean) / std, -10, 10).astype(np.float32)
    u, s, v = randomized_svd(scaled, WIDTH, random_state=0)
    del scaled
    plain = randomized_svd(expression.toarray() - mean.astype(np.float32), WIDTH, random_state=0)[2]
    found = {
        "PCA loadings": v.T,
        "PCA loadings, not scaled": plain.T,
        "co-detection (PPMI)": _ppmi(counts),
        "log profiles of clusters": _cluster_profiles(counts, (u * s)[:, :16]),
    }
    return {name: pd.DataFrame(np.asarray(x, np.float32), genes) for name, x in found.items()}


def _ppmi(counts: sp.csr_matrix) -> np.ndarray:
    """Factorize positive pointwise mutual information of detection, as gene2vec does in effect."""
    detected = (counts > 0).astype(np.float32)
    weight = 1 / np.maximum(np.asarray(detected.sum(1)).ravel(), 1)
    weighted = sp.diags(np.sqrt(weight)) @ detected
    both = (weighted.T @ weighted).toarray()
    np.fill_diagonal(both, 0)
    row = both.sum(1)
    context = row**0.75 / (row**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(both / (row[:, None] * context))
    u, s, _ = randomized_svd(np.nan_to_num(np.maximum(pmi, 0), posinf=0), WIDTH, random_state=0)
    return u * np.sqrt(s)


def _cluster_profiles(counts: sp.csr_matrix, components: np.ndarray) -> np.ndarray:
    """Return log shares of counts in k-means clusters, relative to all cells."""
    group = MiniBatchKMeans(WIDTH, n_init=3, random_state=0).fit_predict(components)
    member = sp.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))))
    totals = np.asarray(counts.sum(1)).ravel()
    share = np.asarray(counts.sum(0)).ravel() / totals.sum()
    prior = 10 * np.median(totals)
    ratio = ((member @ counts).toarray() + prior * share) / ((member @ totals)[:, None] + prior)
    return np.log(ratio / share).T
