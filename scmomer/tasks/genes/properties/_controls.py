"""Features of genes that need no embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scmomer.tasks.genes.properties._labels import Task


@dataclass(frozen=True)
class SetCounts:
    """Number of gene sets that each gene is in."""

    counts: np.ndarray
    """int ``(n_genes,)``"""
    terms: frozenset[str]
    """Names of the sets."""

    def for_task(self, task: Task) -> np.ndarray:
        """Return the logarithm of 1 + number, float32 ``(n_genes, 1)``.

        A set that is the task itself is not counted, as it tells the label.
        """
        counts = self.counts.copy()
        if task.name in self.terms:
            counts[task.genes[task.positive]] -= 1
        return np.log1p(np.maximum(counts, 0))[:, None].astype(np.float32)
