"""How well an embedding separates known groups of cells, by clustering and by classification."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    adjusted_mutual_info_score,
    adjusted_rand_score,
    f1_score,
    homogeneity_score,
    normalized_mutual_info_score,
)
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmomer.metrics._blocks import dense
from scmomer.metrics._checks import check_matrix, encode_labels


def clustering_agreement(
    embedding: np.ndarray,
    labels: ArrayLike,
    *,
    n_clusters: int | None = None,
    n_init: int = 10,
    random_state: int = 0,
) -> dict[str, float]:
    r"""Agreement of k-means clusters of an embedding with known labels.

    With clusters :math:`C`, labels :math:`L`, entropy :math:`H` and mutual information :math:`I`,

    .. math::

        \mathrm{ARI} &= \frac{\mathrm{RI} - E[\mathrm{RI}]}{1 - E[\mathrm{RI}]}, &
        \mathrm{AMI} &= \frac{I(C, L) - E[I]}{\tfrac{1}{2}(H(C) + H(L)) - E[I]}, \\
        \mathrm{NMI} &= \frac{I(C, L)}{\tfrac{1}{2}(H(C) + H(L))}, &
        \mathrm{homogeneity} &= 1 - \frac{H(L \mid C)}{H(L)}.

    Parameters
    ----------
    embedding
        Embedding of the cells, shape ``(n_cells, n_latent)``.
    labels
        Label of each cell, shape ``(n_cells,)``. Cells without one (NaN, None) are left out before
        clustering.
    n_clusters
        Number of clusters; by default the number of labels.
    n_init
        Number of k-means starts; the best is used.
    random_state
        Seed of the starts.

    Returns
    -------
    ``"ari"`` in [-0.5, 1] and ``"ami"`` in [-1, 1], both 0 by chance; ``"nmi"`` and
    ``"homogeneity"`` in [0, 1], above 0 by chance. All are 1 if clusters equal labels.

    Raises
    ------
    ValueError
        If ``embedding`` is not a finite matrix, if there is not one label per cell, or if there are
        more clusters than labeled cells.
    """
    embedding = check_matrix("embedding", embedding)
    codes = encode_labels("labels", labels, embedding.shape[0])
    embedding, codes = embedding[codes >= 0], codes[codes >= 0]
    k = int(codes.max()) + 1 if n_clusters is None else n_clusters
    if not 1 <= k <= codes.size:
        msg = (
            f"Expected `n_clusters` between 1 and the number of labeled cells, {codes.size}, "
            f"found {k}."
        )
        raise ValueError(msg)
    clusters = KMeans(k, n_init=n_init, random_state=random_state).fit_predict(embedding)
    scores = {
        "ari": adjusted_rand_score,
        "ami": adjusted_mutual_info_score,
        "nmi": normalized_mutual_info_score,
        "homogeneity": homogeneity_score,
    }
    return {name: float(score(codes, clusters)) for name, score in scores.items()}


def label_prediction(
    embedding: np.ndarray,
    labels: ArrayLike,
    *,
    n_folds: int = 3,
    random_state: int = 0,
) -> dict[str, float]:
    r"""Cross-validated accuracy and macro-F1 of logistic regression of labels on an embedding.

    With the label :math:`l_i` of :math:`n` cells, its prediction :math:`\hat{l}_i` by regression on
    standardized dimensions, fitted to the folds without cell :math:`i`, and
    precision :math:`p_l` and recall :math:`r_l` of each of :math:`L` labels,

    .. math::

        \mathrm{accuracy} = \frac{1}{n} \sum_i [\hat{l}_i = l_i], \qquad
        \mathrm{macro\ F1} = \frac{1}{L} \sum_l \frac{2 p_l r_l}{p_l + r_l}.

    Parameters
    ----------
    embedding
        Embedding of the cells, shape ``(n_cells, n_latent)``.
    labels
        Label of each cell, shape ``(n_cells,)``. Cells without one (NaN, None) are left out. Labels
        with fewer cells than folds are kept, with a warning of scikit-learn; the only cell of a
        label cannot be predicted.
    n_folds
        Number of folds, each with the same mix of labels.
    random_state
        Seed of the folds.

    Returns
    -------
    ``"accuracy"`` and ``"macro_f1"``, both in [0, 1]. Accuracy is the share of the most frequent
    label if the embedding is uninformative.

    Raises
    ------
    ValueError
        If ``embedding`` is not a finite matrix, if there is not one label per cell, or if labels
        have too few cells for cross-validation.
    """
    embedding = check_matrix("embedding", embedding)
    codes = encode_labels("labels", labels, embedding.shape[0])
    x, y = dense(embedding)[codes >= 0], codes[codes >= 0]
    if n_folds < 2:
        msg = f"Expected `n_folds` to be at least 2, found {n_folds}."
        raise ValueError(msg)
    # Ensures that each training set has two labels and that each fold has cells.
    largest = np.sort(np.bincount(y))[::-1]
    if largest.size < 2 or largest[1] < 2 or largest[0] < n_folds:
        msg = (
            f"Expected two labels with two cells or more, one of them with {n_folds} (`n_folds`), "
            f"found labels of {largest[:5].tolist()} cells. Pass more cells or lower `n_folds`."
        )
        raise ValueError(msg)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    predicted = cross_val_predict(regression, x, y, cv=folds)
    return {
        "accuracy": float(accuracy_score(y, predicted)),
        "macro_f1": float(f1_score(y, predicted, average="macro")),
    }
