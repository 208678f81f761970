"""What the expression of a gene tells without an embedding."""

from __future__ import annotations

import numpy as np

from scmomer.tasks.genes._inputs import GeneVectors


def expression_features(genes: GeneVectors) -> dict[str, np.ndarray]:
    """Return mean and detection as ``{"expression": (n_genes, 2)}``, empty if they are not known."""
    if genes.mean is None or genes.detection is None:
        return {}
    expression = np.stack([genes.mean, genes.detection], axis=1)
    return {"expression": np.nan_to_num(expression).astype(np.float32)}
