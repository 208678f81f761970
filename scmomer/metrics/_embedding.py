"""How well an embedding separates known groups of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from ._checks import check_matrix, encode_labels


def clustering_agreement(
    embedding: NDArray[np.number],
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
        Number of clusters; by default that of distinct labels.
    n_init
        Starts of k-means, of which the tightest counts.
    random_state
        Seed of the starts.

    Returns
    -------
    ``"ari"`` in [-0.5, 1] and ``"ami"`` in [-1, 1], both 0 by chance; ``"nmi"`` and
    ``"homogeneity"`` in [0, 1], above 0 by chance. All 1 when clusters equal labels.

    Raises
    ------
    ValueError
        If ``embedding`` is no finite matrix, if there is not one label per cell, or if there are
        more clusters than labelled cells.
    """
    embedding = check_matrix("embedding", embedding)
    codes = encode_labels("labels", labels, embedding.shape[0])
    embedding, codes = embedding[codes >= 0], codes[codes >= 0]
    k = int(codes.max()) + 1 if n_clusters is None else n_clusters
    if not 1 <= k <= codes.size:
        raise ValueError(
            f"Expected `n_clusters` between 1 and the number of labelled cells, {codes.size}, "
            f"found {k}."
        )
    clusters = KMeans(k, n_init=n_init, random_state=random_state).fit_predict(embedding)
    scores = {
        "ari": adjusted_rand_score,
        "ami": adjusted_mutual_info_score,
        "nmi": normalized_mutual_info_score,
        "homogeneity": homogeneity_score,
    }
    return {name: float(score(codes, clusters)) for name, score in scores.items()}
