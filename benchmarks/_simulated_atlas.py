"""A simulated atlas: cells of many types in many batches, and small data sets of new types.

Types are sparse mixtures of gene programs, as tissues share pathways: the programs and the peaks
linked to their genes are the same in atlas and targets, the mixtures and the batch effects are not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs

N_PROGRAMS = 40
N_GENES, N_PEAKS = 600, 2_000
RNA_DEPTH, ATAC_DEPTH = 150.0, 100.0
BATCH_EFFECT = 0.3  # standard deviation of the log fold change of each feature in a batch
IN_TYPE = 4.0  # precision of a cell's mixture around that of its type, times the number of programs
PER_TYPE = 4  # programs of a type
_CHUNK = 5_000


class Atlas:
    """Programs, and data sets drawn from them.

    Parameters
    ----------
    seed
        Of the programs; data sets have seeds of their own.
    """

    def __init__(self, seed: int = 0):
        known = scmomer.datasets.synthetic(
            2 * N_PROGRAMS, N_GENES, N_PEAKS, n_types=N_PROGRAMS, n_batches=1, seed=seed
        )
        truth = known.uns["truth"]
        self.profiles = {m: truth[m][:N_PROGRAMS] for m in ("rna", "atac")}
        self.names = {m: known[m].var_names for m in ("rna", "atac")}

    def draw(self, n_cells: int, n_types: int, n_batches: int, seed: int, name: str) -> MuData:
        """Draw a data set of types and batches of its own."""
        rng = np.random.default_rng([seed, 17])
        types = self._types(rng, n_types)  # (n_types, n_programs)
        code, batch = rng.integers(n_types, size=n_cells), rng.integers(n_batches, size=n_cells)
        obs = pd.DataFrame(
            {
                "cell_type": [f"{name}-{i}" for i in code],
                "batch": [f"{name}-batch{i}" for i in batch],
            },
            index=[f"{name}-{i}" for i in range(n_cells)],
        )
        parts = {}
        mixture = self._cells(rng, types[code])
        for m, depth in (("rna", RNA_DEPTH), ("atac", ATAC_DEPTH)):
            effect = np.exp(rng.normal(0, BATCH_EFFECT, (n_batches, len(self.names[m]))))
            sizes = depth * rng.lognormal(0, 0.4, n_cells)
            counts = _counts(rng, mixture, self.profiles[m], effect, batch, sizes)
            parts[m] = AnnData(counts, obs=obs.copy(), var=pd.DataFrame(index=self.names[m]))
        with keep_obs():
            mdata = MuData(parts)
        mdata.obs = obs
        return mdata

    def _types(self, rng: np.random.Generator, n_types: int) -> np.ndarray:
        """Return mixtures of few programs, each row sums to 1."""
        types = np.zeros((n_types, N_PROGRAMS))
        for row in types:
            row[rng.choice(N_PROGRAMS, PER_TYPE, replace=False)] = rng.dirichlet(np.ones(PER_TYPE))
        return types

    def _cells(self, rng: np.random.Generator, of_type: np.ndarray) -> np.ndarray:
        """Return the mixture of each cell, around that of its type."""
        shape = of_type * IN_TYPE * PER_TYPE + 0.02
        drawn = rng.gamma(shape)
        return drawn / drawn.sum(1, keepdims=True)

    def write(self, folder: Path, n_files: int, cells_per_file: int, types_per_file: int) -> None:
        """Write the atlas as one file for each of its studies."""
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(n_files):
            path = folder / f"study{i:02d}.h5mu"
            if not path.exists():
                self.draw(cells_per_file, types_per_file, 2, 1_000 + i, f"study{i:02d}").write(path)


def _counts(
    rng: np.random.Generator,
    mixture: np.ndarray,
    profiles: np.ndarray,
    effect: np.ndarray,
    batch: np.ndarray,
    sizes: np.ndarray,
) -> sp.csr_matrix:
    """Draw Poisson counts in chunks of cells."""
    parts = []
    for start in range(0, len(sizes), _CHUNK):
        some = slice(start, start + _CHUNK)
        expected = (mixture[some] @ profiles) * effect[batch[some]]
        expected *= (sizes[some] / expected.sum(1))[:, None]
        parts.append(sp.csr_matrix(rng.poisson(expected).astype(np.float32)))
    return sp.vstack(parts).tocsr()
