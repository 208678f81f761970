"""Start values of ATAC: the mean profile, and latent semantic indexing of peaks."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

_FIRST_STD = 0.5  # of the first component; sets the scale of the embedding
_DEPTH_CORRELATION = 0.5  # beyond this a component is depth
_N_SPARE = 3  # components computed in excess, to replace those
_MAX_CELLS = 20_000  # enough for the leading components


def semantic_indexing(
    open_peaks: sp.csr_matrix, rate: np.ndarray, median: float, n_components: int
) -> torch.Tensor:
    """Return the linear map from shrunken means of peaks to LSI components, ``(n_peaks, k)``.

    Components that follow the cell's depth are left out, as is usual; the first one, the mean
    profile, always.
    """
    picked = open_peaks[:: -(-open_peaks.shape[0] // _MAX_CELLS)]
    n_open = np.diff(picked.indptr)
    idf = np.log(1 + 1 / rate)
    weighted = sp.diags(1 / np.maximum(n_open + median, 1)) @ picked @ sp.diags(idf)
    k = min(n_components + _N_SPARE, *(n - 2 for n in picked.shape))
    if k < 1:  # too few peaks or cells for a component
        return torch.zeros(picked.shape[1], 0)
    u, s, vt = randomized_svd(weighted, k + 1, random_state=0)
    scores = np.column_stack([np.log1p(n_open), u])
    with np.errstate(invalid="ignore", divide="ignore"):
        follows = np.abs(np.corrcoef(scores.T)[0, 1:]) > _DEPTH_CORRELATION
    follows[0] = True
    kept = np.flatnonzero(~follows)[:n_components]
    spread = max(float((u[:, kept].std(0) * s[kept]).max(initial=0)), 1e-6)
    return torch.from_numpy((vt[kept] * idf).T * (_FIRST_STD / spread)).float()
