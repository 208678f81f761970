"""Start values of RNA: the mean profile, and principal components of scaled expression."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

_MAX_CELLS = 20_000  # enough for the leading components
_MAX_GRAM = 4_000  # genes up to which all components are computed


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
