"""Expression tokens: genes and expression bins of a cell, padded to a rectangle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scmomer.nn import SparseRows, to_dense

_PADDING = 0.1  # share of padding that a batch may have before it is cut
_MOST_GROUPS = 8


class Packing(NamedTuple):
    """The tokens of a batch one behind the other, without padding."""

    starts: Tensor
    """First token of each cell, and the end, ``(n + 1,)``."""
    places: Tensor
    """Where each token lies in the flattened rectangle, ``(n_tokens,)``."""


class ExpressionTokens(NamedTuple):
    """What the RNA encoder reads of a minibatch."""

    genes: Tensor
    """Gene of each token, shape ``(n, length)``, int64; 0 at padding."""
    bins: Tensor
    """Expression bin, shape ``(n, length)``, int64 in ``0..n_bins`` (or ``n_bins + 1``: masked)."""
    values: Tensor
    """Log-normalized expression, shape ``(n, length)``; 0 at padding and where masked."""
    valid: Tensor
    """True at tokens, false at padding, shape ``(n, length)``."""
    groups: tuple[tuple[int, int, int], ...] = ()
    """First cell, last cell plus one and longest cell of runs of cells of similar length; what
    the encoder computes at a time. Empty: all cells at once."""
    packing: Packing | None = None
    """Where tokens lie without padding; None: there is none."""


def log2_bins(expression: SparseRows, n_bins: int, floor: bool = False) -> Tensor:
    """Return published bins: log2 counts per 10k, rounded and capped at `n_bins`.

    The published scripts floor in stage 1 (as scBERT does) and round afterwards; here it is one
    of the two for a model, rounding (half to even) unless `floor`, so that a gene has the same
    token in every stage.
    """
    values = expression.values.floor() if floor else expression.values.round()
    return values.clamp_(0, n_bins).long()  # (nnz,)


def quantile_bins(expression: SparseRows, n_bins: int) -> Tensor:
    """Return bins ``1..n_bins`` by the mid-rank of a gene among its cell's expressed genes.

    Unlike log2 of counts per 10k, ranks do not saturate on gene panels and shallow assays.
    """
    rows, values = expression.row_ids, expression.values
    order = torch.sort(values, stable=True)[1]
    order = order[torch.sort(rows[order], stable=True)[1]]  # by cell, then by value
    rows, values = rows[order], values[order]
    new = torch.ones_like(rows, dtype=torch.bool)  # first of a run of equal values in a cell
    new[1:] = (rows[1:] != rows[:-1]) | (values[1:] != values[:-1])
    group = torch.cumsum(new, 0) - 1
    # Not torch.bincount, which waits for a GPU to tell how many groups there are.
    size = torch.zeros_like(group).scatter_add_(0, group, torch.ones_like(group))
    first = torch.cumsum(size, 0) - size
    # Mid-rank within the cell, doubled to stay an integer: exact, however large the batch.
    middle = (2 * first + size)[group] - 2 * expression.indptr[rows]
    bins = -(-middle * n_bins // (2 * expression.lengths[rows]))  # rounded up: 1..n_bins
    return torch.empty_like(bins).index_put_((order,), bins)


def pad_expressed(expression: SparseRows, bins: Tensor) -> ExpressionTokens:
    """Return one token for each expressed gene, padded to the longest cell of the batch."""
    lengths = expression.host_lengths
    if lengths is None:
        lengths = expression.lengths.cpu().numpy()  # waits for a GPU
    n, length = expression.n_rows, int(lengths.max(initial=1))
    rows = expression.row_ids
    columns = torch.arange(rows.shape[0], device=rows.device) - expression.indptr[rows]

    def rectangle(flat: Tensor) -> Tensor:
        out = flat.new_zeros(n, length)
        return out.index_put_((rows, columns), flat)

    valid = torch.arange(length, device=rows.device) < expression.lengths[:, None]
    return ExpressionTokens(
        rectangle(expression.indices),
        rectangle(bins),
        rectangle(expression.values),
        valid,
        length_groups(lengths),
        Packing(expression.indptr, rows * length + columns),
    )


def length_groups(lengths: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    """Cut a batch into runs of cells so that at most a tenth of what is computed is padding.

    Loaders sort the cells of a batch by length, so that a few runs are enough. Returns an empty
    tuple if the batch is fine as it is, and at most eight runs otherwise.
    """
    n = len(lengths)
    if not n or _padded(lengths, np.array([0, n])) <= 1 + _PADDING:
        return ()
    low, high = max(1, int(lengths.min())), max(1, int(lengths.max()))
    for k in (2, 4, _MOST_GROUPS):
        by_count = np.linspace(0, n, k + 1).astype(int)
        by_length = np.searchsorted(lengths, np.geomspace(low, high, k + 1)[1:-1])
        choices = [np.unique(by_count), np.unique([0, *by_length, n])]
        edges = min(choices, key=lambda edges: _padded(lengths, edges))
        if _padded(lengths, edges) <= 1 + _PADDING:
            break
    longest = _longest(lengths, edges)
    return tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), longest.tolist(), strict=True))


def _longest(lengths: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the longest cell of each run, at least 1."""
    return np.maximum(np.maximum.reduceat(lengths, edges[:-1]), 1)


def _padded(lengths: np.ndarray, edges: np.ndarray) -> float:
    """Return what is computed, as a multiple of what is there."""
    return float((_longest(lengths, edges) * np.diff(edges)).sum() / max(1, lengths.sum()))


def pad_all(expression: SparseRows, bins: Tensor, n_genes: int) -> ExpressionTokens:
    """Return one token for every gene of the vocabulary, as published."""
    values = to_dense(expression, n_genes)  # (n, n_genes)
    tokens = to_dense(expression._replace(values=bins), n_genes)
    genes = torch.arange(n_genes, device=values.device).expand_as(tokens)
    return ExpressionTokens(genes, tokens, values, torch.ones_like(tokens, dtype=torch.bool))


def mask_tokens(
    tokens: ExpressionTokens, fraction: float, mask_bin: int
) -> tuple[ExpressionTokens, Tensor]:
    """Hide a random `fraction` of the expressed genes; return also where, ``(n, length)``.

    As published, 90 % of the chosen genes show the mask token and 10 % keep their own.
    """
    draw = torch.rand(tokens.bins.shape, device=tokens.bins.device)
    chosen = (draw < fraction) & tokens.valid & (tokens.values > 0)
    hidden = chosen & (draw < 0.9 * fraction)
    return tokens._replace(
        bins=tokens.bins.masked_fill(hidden, mask_bin),
        values=tokens.values.masked_fill(hidden, 0.0),
    ), chosen
