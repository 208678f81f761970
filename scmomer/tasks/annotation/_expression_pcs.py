"""Principal components of the reference's expression, as inputs of a classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

from scmomer._constants import RNA
from scmomer.data import Cells
from scmomer.nn import log_normalize_csr

_MAX_COMPS = 50


@dataclass(frozen=True)
class ExpressionPCs:
    """Singular vectors of log expression, each gene divided by its standard deviation.

    Variation that the embedding discards as noise can still separate two types.
    """

    weights: np.ndarray
    """From log expression to components, ``(n_genes, n_comps)``, float32."""
    target_sum: float
    """Counts per cell after normalization."""

    @classmethod
    def fit(cls, counts: sp.csr_matrix, target_sum: float) -> ExpressionPCs:
        """Fit to raw counts ``(n_cells, n_genes)`` of the reference."""
        x = log_normalize_csr(counts, target_sum)
        mean = np.asarray(x.mean(0)).ravel()
        variance = np.asarray(x.multiply(x).mean(0)).ravel() - mean**2
        std = np.sqrt(np.maximum(variance, 0))
        scale = np.divide(1, std, out=np.zeros_like(std), where=std > 1e-6)
        # Components beyond the rank are rounding error, which standardization would amplify.
        n_comps = max(1, min(_MAX_COMPS, x.shape[0] - 1, int((scale > 0).sum()) - 1))
        svd = TruncatedSVD(n_comps, algorithm="arpack", random_state=0)
        svd.fit((x @ sp.diags(scale)).astype(np.float32))
        weights = scale[:, None] * svd.components_.T
        return cls(np.ascontiguousarray(weights, np.float32), target_sum)

    def transform(self, cells: Cells, use: tuple[str, ...]) -> np.ndarray:
        """Return components, ``(n_cells, n_comps)`` float32; NaN where RNA is not read."""
        found = np.full((cells.n_cells, self.weights.shape[1]), np.nan, np.float32)
        if RNA in cells.counts and RNA in use:
            known = cells.measured[RNA]
            found[known] = (log_normalize_csr(cells.counts[RNA], self.target_sum) @ self.weights)[
                known
            ]
        return found
