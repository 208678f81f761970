"""scMomer and competing annotators; all use raw RNA counts.

Each takes a labeled reference and a query and returns probabilities, cells x types.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import _baselines as baselines
import anndata as ad
import numpy as np
import pandas as pd
import scvi
import torch
from anndata import AnnData
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scmomer
from scmomer.tasks.annotation._novelty import ClassMahalanobis

N_RARE = 6
Annotator = Callable[[AnnData, np.ndarray, AnnData, int], pd.DataFrame]


def _frame(model: Any, query: Any) -> pd.DataFrame:
    return pd.DataFrame(model.predict_proba(query), columns=model.classes_)


def _log(train: AnnData, query: AnnData) -> tuple[Any, Any]:
    """Log expression at the median total of the reference."""
    target = float(np.median(np.asarray(train.X.sum(1))))
    return baselines.log_normalize(train.X, target), baselines.log_normalize(query.X, target)


def _pcs(train: AnnData, query: AnnData, scaled: bool) -> tuple[np.ndarray, np.ndarray]:
    n_comps = min(50, min(train.shape) - 1)
    options: dict[str, Any] = {"target_sum": None, "scale": True} if scaled else {}
    return baselines.rna_pca(train.X, query.X, n_comps, **options)


def novelty_of_pcs(train: AnnData, labels: np.ndarray, query: AnnData) -> np.ndarray:
    """Return scMomer's novelty score, computed on scaled principal components."""
    known, unseen = _pcs(train, query, True)
    codes = np.unique(labels, return_inverse=True)[1]
    return ClassMahalanobis.fit(known, codes).novelty(unseen)


def l2_expression(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
    """L2 logistic regression on log expression; regularization chosen on other batches."""
    x, q = _log(train, query)
    return _frame(LogisticRegression(C=0.3, max_iter=1000).fit(x, labels), q)


def l2_default(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
    """L2 logistic regression on log expression with scikit-learn's regularization, C = 1."""
    x, q = _log(train, query)
    return _frame(LogisticRegression(max_iter=1000).fit(x, labels), q)


def l1_expression(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
    """L1 logistic regression on log expression, one type against the rest."""
    x, q = _log(train, query)
    one = LogisticRegression(penalty="l1", solver="liblinear", C=1.0, random_state=seed)
    return _frame(OneVsRestClassifier(one).fit(x, labels), q)


def _on_pcs(model: Any, scaled: bool) -> Annotator:
    def run(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
        x, q = _pcs(train, query, scaled)
        fitted = make_pipeline(StandardScaler(), model(seed)).fit(x, labels)
        return _frame(fitted, q)

    return run


def bayes(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
    """Multinomial naive Bayes on raw counts."""
    return _frame(MultinomialNB().fit(train.X, labels), query.X)


def scanvi(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
    """Train scANVI on reference and unlabeled query together, its intended use."""
    scvi.settings.seed = seed
    both = ad.concat({"reference": train, "query": query}, label="side")
    both.obs["label"] = np.r_[labels, np.full(query.n_obs, "unlabeled")]
    scvi.model.SCVI.setup_anndata(both, batch_key="batch" if "batch" in both.obs else None)
    vae = scvi.model.SCVI(both)
    vae.train(max_epochs=100, enable_progress_bar=False, accelerator="cpu")
    model = scvi.model.SCANVI.from_scvi_model(vae, "unlabeled", labels_key="label")
    model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    cells = both[both.obs["side"] == "query"].copy()
    return model.predict(cells, soft=True).reset_index(drop=True)


def celltypist(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
    """CellTypist trained on the reference, with its own normalization.

    CellTypist 1.7.1 requests one-versus-rest regression with an argument that scikit-learn 1.8 has
    removed; regression is therefore multinomial.
    """
    import celltypist as ct

    def regression(multi_class: str, n_jobs: int, **options: Any) -> LogisticRegression:
        return LogisticRegression(**options)

    sys.modules["celltypist.train"].LogisticRegression = regression  # type: ignore[attr-defined]
    x, q = (AnnData(baselines.log_normalize(a.X), var=a.var[[]]) for a in (train, query))
    model = ct.train(x, labels, max_iter=200, check_expression=True)
    return ct.annotate(q, model).probability_matrix.reset_index(drop=True)


def _mlp(seed: int) -> MLPClassifier:
    return MLPClassifier((128, 64), early_stopping=True, random_state=seed, max_iter=200)


OPPONENTS: dict[str, Annotator] = {
    "L2 logistic regression, log expression": l2_expression,
    "L2 logistic regression, log expression, C = 1": l2_default,
    "L1 logistic regression, log expression": l1_expression,
    "logistic regression, 50 PCs": _on_pcs(lambda _: LogisticRegression(max_iter=1000), False),
    "logistic regression, 50 scaled PCs": _on_pcs(
        lambda _: LogisticRegression(max_iter=1000), True
    ),
    "kNN, 50 scaled PCs": _on_pcs(lambda _: KNeighborsClassifier(15, weights="distance"), True),
    "MLP, 50 scaled PCs": _on_pcs(_mlp, True),
    "naive Bayes, counts": bayes,
}


def opponents(with_scanvi: bool) -> dict[str, Annotator]:
    """Return all opponents that are installed."""
    found = dict(OPPONENTS)
    if find_spec("celltypist") is not None:
        found["CellTypist"] = celltypist
    return {**found, "scANVI": scanvi} if with_scanvi else found


def ours(model: Any, **options: Any) -> Annotator:
    """Return scMomer's annotator with the defaults of the package, as `tl.annotate` runs it."""
    mode = options.pop("mode", "frozen")

    def run(train: AnnData, labels: np.ndarray, query: AnnData, seed: int) -> pd.DataFrame:
        scvi.settings.seed = seed
        classifier = scmomer.CellTypeClassifier(model, **options)
        shared = train.var_names[train.var_names.isin(query.var_names)]
        classifier.fit(train, labels, mode=mode, genes=shared)
        found, novelty = classifier.annotate(query)
        found.attrs["novelty"] = novelty
        return found.reset_index(drop=True)

    return run


def run(
    name: str, annotator: Annotator, train: AnnData, labels: np.ndarray, query: AnnData, seed: int
) -> pd.DataFrame:
    """Annotate without warnings, on one thread."""
    torch.set_num_threads(1)  # numba, used by scanpy, raises it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return annotator(train, labels, query, seed)


def score(found: pd.DataFrame, truth: np.ndarray, rare: list[str]) -> dict[str, Any]:
    """Return accuracy, macro-F1, F1 of the rare types, recall of every type.

    Types that are not in the query are left out of the means; predicting one of them lowers the
    recall of the true type.
    """
    predicted = found.columns.to_numpy()[found.to_numpy().argmax(1)]
    types = np.unique(truth)
    f1 = dict(zip(types, _f1(truth, predicted, types), strict=True))
    recall = recall_score(truth, predicted, labels=types, average=None, zero_division=0)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(np.mean(list(f1.values()))),
        "rare_f1": float(np.mean([f1[t] for t in rare if t in f1] or [np.nan])),
        "recall": dict(zip(types.tolist(), np.round(recall, 4).tolist(), strict=True)),
        "f1": {t: round(float(v), 4) for t, v in f1.items()},
    }


def _f1(truth: np.ndarray, predicted: np.ndarray, types: np.ndarray) -> np.ndarray:
    return f1_score(truth, predicted, labels=types, average=None, zero_division=0)


def unknown_auroc(found: pd.DataFrame, is_new: np.ndarray) -> dict[str, float]:
    """Return how well cells of an unseen type are detected (AUROC)."""
    p = found.to_numpy()
    scores = {
        "largest probability": -p.max(1),
        "entropy": -(p * np.log(np.maximum(p, 1e-12))).sum(1),
    }
    if "novelty" in found.attrs:
        scores["novelty"] = found.attrs["novelty"]
    return {name: float(roc_auc_score(is_new, values)) for name, values in scores.items()}
