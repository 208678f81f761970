"""Components of the reference's expression, as inputs of a classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

N_COMPS = 50


@dataclass(frozen=True)
class ExpressionPCs:
    """Singular vectors of log expression in units of each gene's spread.

    What the model's embedding leaves out as noise of all cells may tell two types apart.
    """

    weights: np.ndarray
    """From log expression to components, ``(n_genes, n_comps)``, float32."""
    target_sum: float
    """Counts per cell after normalisation."""

    @classmethod
    def of(cls, counts: sp.csr_matrix, target_sum: float) -> ExpressionPCs:
        """Fit to raw counts ``(n_cells, n_genes)`` of the reference."""
        x = log_expression(counts, target_sum)
        mean = np.asarray(x.mean(0)).ravel()
        variance = np.asarray(x.multiply(x).mean(0)).ravel() - mean**2
        spread = np.sqrt(np.maximum(variance, 0))
        scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6)
        # Beyond the rank there is nothing but rounding, which standardisation would blow up.
        n_comps = max(1, min(N_COMPS, x.shape[0] - 1, int((scale > 0).sum()) - 1))
        svd = TruncatedSVD(n_comps, algorithm="arpack", random_state=0)
        svd.fit((x @ sp.diags(scale)).astype(np.float32))
        weights = scale[:, None] * svd.components_.T
        return cls(np.ascontiguousarray(weights, np.float32), target_sum)

    def __call__(self, counts: sp.csr_matrix, measured: np.ndarray) -> np.ndarray:
        """Return the components of cells, ``(n_cells, n_comps)``; NaN where not `measured`."""
        found = log_expression(counts, self.target_sum) @ self.weights
        return np.where(measured[:, None], found, np.nan).astype(np.float32)


def log_expression(counts: sp.csr_matrix, target_sum: float) -> sp.csr_matrix:
    """Return ``log2(1 + counts / total * target_sum)``, as the model normalises them."""
    totals = np.maximum(np.asarray(counts.sum(1)).ravel(), 1e-12)
    x = (sp.diags(target_sum / totals) @ counts).tocsr().astype(np.float32)
    x.data = np.log2(1 + x.data)
    return x
