"""Data sets on which defaults are compared: training and scores of one model each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import protein
import scipy.sparse as sp
from _held_out import score_embedding, score_translation
from _quality import CHOSEN_ON, data
from anndata import AnnData
from mudata import MuData
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scmomer
from scmomer import metrics

RNA = Path(os.environ.get("SCMOMER_DATA", "../shared/data")) / "rna"
N_SNARESEQ, N_PEAKS = 2500, 8000  # training cells, and their most frequent peaks
Scores = dict[str, float]
Options = dict[str, Any]
"""Of :class:`scmomer.SCMOMER`."""
# A Performer of one layer, or perceptrons without further heads: a tenth of the time.
PERFORMER: Options = {"rna_n_layers": 1, "rna_dim": 32, "rna_n_heads": 2}
MLP: Options = {"rna_encoder": "mlp", "atac_encoder": "mlp", "bridge_n_heads": 0}


def fitted(train: MuData | AnnData, options: Options) -> Any:
    """Return a trained model."""
    batch_key = "batch" if "batch" in train.obs else None
    if isinstance(train, MuData):
        scmomer.pp.setup_mudata(train, batch_key=batch_key)
    else:
        scmomer.pp.setup_anndata(train, batch_key=batch_key)
    model = scmomer.SCMOMER(train, **options)
    model.train(enable_progress_bar=False)
    return model


def some(data: Any, n: int, seed: int = 0) -> tuple[Any, Any]:
    """Return `n` random cells, and all others."""
    order = np.random.default_rng(seed).permutation(data.n_obs)
    return data[np.sort(order[:n])].copy(), data[np.sort(order[n:])].copy()


def median_total(rna: AnnData) -> float:
    """Return the median count of a cell."""
    totals = np.asarray(rna.X.sum(1)).ravel()
    return float(np.median(totals[totals > 0]))


def _frozen(known: np.ndarray, of: np.ndarray, query: np.ndarray, truth: np.ndarray) -> Scores:
    """Classify held-out cells by a regression on the frozen embedding, and cluster them."""
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    found = regression.fit(known, of).predict(query)
    scores = {
        "accuracy": float(accuracy_score(truth, found)),
        "macro_f1": float(f1_score(truth, found, average="macro", zero_division=0)),
    }
    return scores | score_embedding(query, truth)


class Labeled:
    """RNA of labeled cells; a part of them is unseen, also by the model."""

    def __init__(self, file: str, labels: str, share: float):
        adata = ad.read_h5ad(RNA / file)
        adata.obs_names_make_unique()
        x = sp.csr_matrix(adata.X, dtype=np.float32)
        obs = adata.obs[[labels]].rename(columns={labels: "label"}).astype(str)
        self.cells, self.share = AnnData(x, obs=obs, var=adata.var[[]]), share
        self.rna = self.cells

    def run(self, options: Options, seed: int) -> Scores:
        """Train without labels, then score the embedding."""
        parts = some(self.cells, round(self.share * self.cells.n_obs), seed)
        model = fitted(parts[0], PERFORMER | options)
        z, q = (model.get_latent_representation(a) for a in parts)
        labels = [a.obs["label"].to_numpy() for a in parts]
        return _frozen(z, labels[0], q, labels[1])


class Protein:
    """CITE-seq of bone marrow, in a fold on which settings of proteins were chosen."""

    def __init__(self) -> None:
        self.fold = protein.TRIED_ON[0]
        self.train, self.truth, self.types = protein.read(self.fold)
        self.rna = self.train["rna"]

    def run(self, options: Options, seed: int) -> Scores:
        """Predict the hidden proteins of a batch."""
        train, batch = self.train.copy(), self.fold.split("/")[1]
        model = fitted(train, MLP | options)
        query = train["rna"][train["rna"].obs["batch"].to_numpy() == batch].copy()
        found = protein.score(
            self.truth, np.log1p(model.get_translated(query, "protein")), self.types
        )
        return {k: found[k] for k in ("pearson", "pearson_within_types", "rmse")}


class Multiome:
    """RNA and ATAC of the same cells; translation and embedding from RNA alone."""

    def __init__(self, train: MuData, test: MuData, labels: str, fixed: Options = MLP):
        self.train, self.test, self.rna, self.fixed = train, test, train["rna"], fixed
        self.labels = test.obs[labels].astype(str).to_numpy()

    def run(self, options: Options, seed: int) -> Scores:
        """Score translation to ATAC and the embedding of unseen cells."""
        model = fitted(self.train, self.fixed | options)
        values = model.get_translated(self.test["rna"])
        scores = score_translation(self.test["atac"].X, values, self.labels)
        z = model.get_latent_representation(self.test["rna"])
        scores |= metrics.label_prediction(z, np.where(self.labels == "Mis", None, self.labels))
        return scores | score_embedding(z, self.labels)


def synthetic() -> Multiome:
    """Return deep synthetic cells; those held out are of both batches."""
    mdata = scmomer.datasets.synthetic(
        1500,
        1500,
        4000,
        n_types=8,
        n_states=4,
        marker_share=0.3,
        rna_depth=6000,
        atac_depth=6000,
    )
    return Multiome(*some(mdata, 1000), "cell_type")


def snareseq(fixed: Options = MLP) -> Multiome:
    """Return some cells of SNARE-seq, and two batches on which settings were chosen."""
    train, test = data(CHOSEN_ON[1], None)
    train = some(train, N_SNARESEQ)[0]
    often = np.sort(np.asarray((train["atac"].X > 0).sum(0)).ravel().argsort()[-N_PEAKS:])
    parts = [MuData({"rna": m["rna"], "atac": m["atac"][:, often].copy()}) for m in (train, test)]
    for part, whole in zip(parts, (train, test), strict=True):
        part.obs[["batch", "cell_subtype"]] = whole.obs[["batch", "cell_subtype"]]
    return Multiome(*parts, "cell_subtype", fixed)


SETS: dict[str, Callable[[], Any]] = {
    "sorted blood": lambda: Labeled("pbmc_facs_3774.h5ad", "celltype", 0.75),
    "pancreas": lambda: Labeled("pancreas_baron_350.h5ad", "Group", 0.5),
    "CITE-seq": Protein,
    "synthetic, deep": synthetic,
    "SNARE-seq": snareseq,
    "SNARE-seq, default encoders": lambda: snareseq({"bridge_n_heads": 0}),
}
