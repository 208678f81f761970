"""Start values of RNA: principal components of scaled expression, and profiles of genes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

_MAX_CELLS = 20_000  # enough for the leading components
_MAX_GRAM = 4_000  # genes up to which all components are computed
_MIN_GROUP = 5  # mean cells of a group that has a profile
_PRIOR_CELLS = 10  # mean cells that are added to each group, so that few counts give no large ratio


def principal_components(
    expression: sp.csr_matrix, mean: np.ndarray, std: np.ndarray, n_components: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the linear map from log expression to components of scaled genes.

    Returns
    -------
    tuple
        Weights ``(n_genes, k)`` and bias ``(k,)``; the first component has standard deviation
        1, the others as much less as they explain less.
    """
    picked = expression[:: -(-expression.shape[0] // _MAX_CELLS)]
    k = max(0, min(n_components, *(n - 1 for n in picked.shape)))
    scaled = (picked @ sp.diags(1 / std)).tocsr()
    shift = mean / std
    if scaled.shape[1] <= _MAX_GRAM:
        gram = (scaled.T @ scaled).toarray() / scaled.shape[0] - np.outer(shift, shift)
        values, vectors = np.linalg.eigh(gram)
        vectors, spread = vectors[:, ::-1][:, :k], np.sqrt(max(values[-1], 1e-12))
    else:
        # Not centered, to stay sparse: the leading direction is the mean and is left out.
        _, s, vt = randomized_svd(scaled, k + 1, random_state=0)
        vectors, spread = vt[1:].T, s[1] / np.sqrt(scaled.shape[0])
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    vectors = vectors / max(spread, 1e-6)
    weights, bias = vectors / std[:, None], -shift @ vectors
    return torch.from_numpy(weights).float(), torch.from_numpy(bias).float()


def gene_profiles(counts: sp.csr_matrix, components: np.ndarray, n_groups: int) -> torch.Tensor:
    """Return the log ratio of each gene's share of counts in a group of cells to that in all cells.

    Groups are k-means clusters. Unlike loadings of components, ratios do not depend on how strongly
    a gene is expressed, so that rare genes have a profile too.

    Parameters
    ----------
    counts
        Of training cells, ``(n_cells, n_genes)``.
    components
        Of the same cells, ``(n_cells, k)``.
    n_groups
        Most groups; fewer for few cells.

    Returns
    -------
    torch.Tensor
        Shape ``(n_genes, n_groups)``.
    """
    n_groups = min(n_groups, len(components) // _MIN_GROUP)
    totals = np.asarray(counts.sum(1), np.float64).ravel()
    if not n_groups or not components.shape[1] or not totals.any():
        return torch.zeros(counts.shape[1], 0)
    kmeans = MiniBatchKMeans(n_groups, n_init=3, random_state=0)
    kmeans.fit(components[:: -(-len(components) // _MAX_CELLS)])
    group = kmeans.predict(components)
    member = sp.csr_matrix(
        (np.ones_like(totals), (group, np.arange(len(group)))), (n_groups, len(group))
    )
    per_group = (member @ counts).toarray()  # (n_groups, n_genes)
    share = np.asarray(counts.sum(0), np.float64).ravel() / totals.sum()
    prior = _PRIOR_CELLS * np.median(totals[totals > 0])
    ratio = (per_group + prior * share) / ((member @ totals)[:, None] + prior)
    known = share > 0
    log_ratio = np.log(ratio[:, known] / share[known])
    profiles = np.zeros((counts.shape[1], n_groups))
    profiles[known] = log_ratio.T
    return torch.from_numpy(profiles).float()
