"""Sparse minibatches: the rows of a CSR matrix as three tensors, and what is computed on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


class SparseRows(NamedTuple):
    """A minibatch of counts in CSR form, on any device.

    A :class:`torch.Tensor` of layout ``sparse_csr`` can be neither pinned nor shared between
    processes; three strided tensors can, and need no conversion for what is done here.
    """

    indptr: Tensor
    """Row starts, shape ``(n_cells + 1,)``, int64."""
    indices: Tensor
    """Feature of each stored count, shape ``(nnz,)``, int64."""
    values: Tensor
    """Counts, shape ``(nnz,)``, float32."""

    @property
    def n_rows(self) -> int:
        """Number of cells."""
        return self.indptr.shape[0] - 1

    @property
    def lengths(self) -> Tensor:
        """Stored counts of each cell, shape ``(n_cells,)``."""
        return self.indptr[1:] - self.indptr[:-1]

    @property
    def row_ids(self) -> Tensor:
        """Cell of each stored count, shape ``(nnz,)``."""
        return torch.repeat_interleave(
            torch.arange(self.n_rows, device=self.indptr.device),
            self.lengths,
            output_size=self.indices.shape[0],
        )


def row_sums(rows: SparseRows) -> Tensor:
    """Return the total count of each cell, shape ``(n_cells,)``."""
    return rows.values.new_zeros(rows.n_rows).index_add_(0, rows.row_ids, rows.values)


def log_normalize(rows: SparseRows, target_sum: float | Tensor) -> SparseRows:
    """Return ``log2(1 + counts / total * target_sum)``: the only normalization in scmomer."""
    totals = row_sums(rows).clamp_min(1e-12)
    values = torch.log2(1 + rows.values * (target_sum / totals)[rows.row_ids])
    return rows._replace(values=values)


def log_normalize_csr(counts: sp.csr_matrix, target_sum: float) -> sp.csr_matrix:
    """Return :func:`log_normalize` of a CSR matrix."""
    return to_csr(log_normalize(to_rows(counts), target_sum), counts.shape[1])


def keep_entries(rows: SparseRows, keep: Tensor) -> SparseRows:
    """Return the rows with only the stored counts for which `keep` (``(nnz,)``, bool) is true."""
    kept_before = torch.nn.functional.pad(torch.cumsum(keep, 0), (1, 0))  # (nnz + 1,)
    return SparseRows(kept_before[rows.indptr], rows.indices[keep], rows.values[keep])


def drop_entries(rows: SparseRows, fraction: float) -> SparseRows:
    """Return the rows with a random `fraction` of the stored counts removed."""
    if fraction <= 0:
        return rows
    keep = torch.rand(rows.values.shape, device=rows.values.device) >= fraction
    return keep_entries(rows, keep)


def to_dense(rows: SparseRows, n_features: int) -> Tensor:
    """Return the dense matrix, shape ``(n_cells, n_features)``."""
    dense = rows.values.new_zeros(rows.n_rows, n_features)
    return dense.index_put_((rows.row_ids, rows.indices), rows.values)


def sparse_linear(rows: SparseRows, weight: Tensor) -> Tensor:
    """Return ``rows @ weight`` for ``weight`` of shape ``(n_features, d)`` as ``(n_cells, d)``."""
    return torch.nn.functional.embedding_bag(
        rows.indices,
        weight,
        rows.indptr,
        mode="sum",
        per_sample_weights=rows.values,
        include_last_offset=True,
    )


class CellBatch(NamedTuple):
    """A minibatch of cells with the same modalities."""

    counts: dict[str, SparseRows]
    """Raw counts of each modality that the cells have."""
    encoded: dict[str, Tensor] = {}
    """Cached cell embeddings of frozen encoders, ``(n, n_latent)``."""
    batch: Tensor | None = None
    """Batch code, ``(n,)`` int64, -1 for a batch that the model does not have."""
    labels: Tensor | None = None
    """Label code, ``(n,)`` int64."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return next(iter(self.counts.values())).n_rows


def to_rows(matrix: sp.csr_matrix) -> SparseRows:
    """Return a CSR matrix as tensors."""
    return SparseRows(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data.astype(np.float32)),
    )


def to_csr(rows: SparseRows, n_features: int) -> sp.csr_matrix:
    """Return tensors as a CSR matrix, ``(n_cells, n_features)``."""
    parts = (t.cpu().numpy() for t in (rows.values, rows.indices, rows.indptr))
    return sp.csr_matrix(tuple(parts), shape=(rows.n_rows, n_features))
