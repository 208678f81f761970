"""Sparse minibatches: the rows of a CSR matrix as three tensors, and what is computed on them."""

from __future__ import annotations

from collections.abc import Callable
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
    """Feature of each stored count, shape ``(nnz,)``, int64; int32 from a loader until
    :meth:`to`."""
    values: Tensor
    """Counts, shape ``(nnz,)``, float32."""
    host_lengths: np.ndarray | None = None
    """What :attr:`lengths` holds, in the memory of the host: read it instead of waiting for a
    device. None if only the device has it."""

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
        return _repeated(self.lengths, self.indices.shape[0])

    def to(self, device: torch.device | str) -> SparseRows:
        """Return the rows on a device, with int64 indices; nothing waits if they are pinned."""
        indptr, indices, values = (_moved(t, device) for t in self[:3])
        return SparseRows(indptr, indices.long(), values, self.host_lengths)

    def pin_memory(self) -> SparseRows:
        """Return the rows in memory that a GPU copies from by itself."""
        indptr, indices, values = (t.pin_memory() for t in self[:3])
        return SparseRows(indptr, indices, values, self.host_lengths)


def waits_for(tensor: Tensor) -> bool:
    """Return whether the host would have to wait for a tensor's values: those on a GPU."""
    return tensor.is_cuda


def _moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    # Other devices copy at once, or wrongly: https://github.com/pytorch/pytorch/issues/83015
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a small tensor of the host on a device, which nothing waits for."""
    return _moved(tensor.pin_memory() if device.type == "cuda" else tensor, device)


def _repeated(times: Tensor, total: int) -> Tensor:
    """Return each number as often as `times` says, ``(total,)``."""
    numbers = torch.arange(times.shape[0], device=times.device)
    return torch.repeat_interleave(numbers, times, output_size=total)


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
    if waits_for(rows.values) and rows.host_lengths is not None:
        return _drop_known_numbers(rows, fraction)
    keep = torch.rand(rows.values.shape, device=rows.values.device) >= fraction
    return keep_entries(rows, keep)


def _drop_known_numbers(rows: SparseRows, fraction: float) -> SparseRows:
    """As :func:`drop_entries`, but nothing waits for the device to tell how many remain.

    Of each cell the host draws the number to keep, which is binomial, and the device which ones.
    """
    device, n = rows.values.device, torch.from_numpy(rows.host_lengths).double()
    kept = torch.binomial(n, torch.full_like(n, 1 - fraction)).long()  # (n_cells,)
    indptr = send(torch.nn.functional.pad(kept.cumsum(0), (1, 0)), device)
    draw = torch.rand(rows.values.shape, dtype=torch.float64, device=device)
    order = (rows.row_ids + draw).argsort()  # by cell, at random within
    row = _repeated(indptr[1:] - indptr[:-1], int(kept.sum()))
    place = torch.arange(row.shape[0], device=device) - indptr[row]  # among those of the cell
    chosen = order[rows.indptr[row] + place].sort()[0]
    return SparseRows(indptr, rows.indices[chosen], rows.values[chosen], kept.numpy())


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

    def to(self, device: torch.device | str) -> CellBatch:
        """Return the cells on a device (see :meth:`SparseRows.to`)."""
        return self._each(lambda part: part.to(device), lambda tensor: _moved(tensor, device))

    def pin_memory(self) -> CellBatch:
        """Return what the host holds in memory that a GPU copies from by itself."""
        return self._each(
            SparseRows.pin_memory, lambda tensor: tensor if tensor.is_cuda else tensor.pin_memory()
        )

    def _each(
        self, of_rows: Callable[[SparseRows], SparseRows], of_tensor: Callable[[Tensor], Tensor]
    ) -> CellBatch:
        codes = (None if t is None else of_tensor(t) for t in (self.batch, self.labels))
        return CellBatch(
            {m: of_rows(rows) for m, rows in self.counts.items()},
            {m: of_tensor(known) for m, known in self.encoded.items()},
            *codes,
        )


def to_rows(matrix: sp.csr_matrix) -> SparseRows:
    """Return a CSR matrix as tensors."""
    return SparseRows(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data.astype(np.float32)),
        np.diff(matrix.indptr).astype(np.int64),
    )


def narrow_rows(matrix: sp.csr_matrix) -> SparseRows:
    """Return a CSR matrix as tensors that share its memory where they can, with int32 indices.

    Half the bytes to a device, where :meth:`SparseRows.to` widens them.
    """
    indptr = matrix.indptr.astype(np.int64, copy=False)
    return SparseRows(
        torch.from_numpy(indptr),
        torch.from_numpy(matrix.indices.astype(np.int32, copy=False)),
        torch.from_numpy(matrix.data.astype(np.float32, copy=False)),
        np.diff(indptr),
    )


def to_csr(rows: SparseRows, n_features: int) -> sp.csr_matrix:
    """Return tensors as a CSR matrix, ``(n_cells, n_features)``."""
    parts = (t.cpu().numpy() for t in (rows.values, rows.indices, rows.indptr))
    return sp.csr_matrix(tuple(parts), shape=(rows.n_rows, n_features))
