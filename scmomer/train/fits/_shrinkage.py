"""Estimates, by split-half reliability, how far to shrink measured ATAC embeddings."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from scmomer._constants import ATAC, RNA
from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule

_MIN_CELLS = 100
_LEAST_SIGNAL = 1e-3  # share of the variance; less is not distinguishable from none


def fit_shrinkage(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Set the depth at which measured and predicted embeddings weigh the same, in place.

    The open peaks of paired validation cells, which no encoder was fitted to, are split at
    random; with those of training cells if there are few. What the embeddings of the two halves
    have in common beyond the bridge's prediction is signal, the rest is noise, which falls with
    the number of peaks (split-half reliability).
    """
    here = {RNA, ATAC} <= cells.counts.keys()
    if module.config.measured_gain is False or not here or not module.has_bridge(RNA, ATAC):
        return
    train, validation, _ = split
    both = cells.has_all(RNA, ATAC)
    paired = validation[both[validation]]
    if len(paired) < _MIN_CELLS:  # better from cells that the encoders know than from a handful
        known = np.sort(np.concatenate([train, validation]))
        paired = known[both[known]]
    halves = [cells.select_modality(ATAC, half) for half in _halves(cells.counts[ATAC], seed)]
    first, second = (Inference(module, half, paired).encode(ATAC) for half in halves)
    expected = Inference(module, cells.select_modality(RNA), paired).embed().single[ATAC]
    depth = cells.lengths(ATAC)[paired] / 2
    even = even_depth(first, second, expected, depth)
    module.even_depth.copy_(torch.from_numpy(even))


def even_depth(
    first: np.ndarray, second: np.ndarray, expected: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Return the even depth of each dimension, ``(d,)`` float32.

    Parameters
    ----------
    first, second
        Embeddings of two halves of the same measurements, ``(n, d)``.
    expected
        What RNA predicts, ``(n, d)``.
    depth
        Open peaks of a half, ``(n,)``.
    """
    expected = expected - expected.mean(0)
    halves = [half - half.mean(0) for half in (first, second)]
    # A half is shallower and so nearer to zero than the whole: bring the expectation to its scale.
    power = np.maximum((expected**2).sum(0), 1e-12)
    scale = ((halves[0] + halves[1]) * expected).sum(0) / (2 * power)  # (d,)
    # Depth is common to the halves as well, and no signal.
    logs = np.log1p(depth) - np.log1p(depth).mean()  # (n,)
    logs = logs / max(float(np.linalg.norm(logs)), 1e-12)
    one, two = (half - scale * expected for half in halves)
    one, two = (half - np.outer(logs, logs @ half) for half in (one, two))
    total = (one**2 + two**2).mean(0) / 2
    signal = np.maximum((one * two).mean(0), _LEAST_SIGNAL * total + 1e-12)
    noise = np.maximum(total - signal, 0) / np.mean(1 / np.maximum(depth, 1))  # of one peak
    return (noise / signal).astype(np.float32)


def _halves(counts: sp.csr_matrix, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Give each stored count to one of two matrices."""
    first = np.random.default_rng(seed).random(counts.nnz) < 0.5
    return _kept(counts, first), _kept(counts, ~first)


def _kept(counts: sp.csr_matrix, keep: np.ndarray) -> sp.csr_matrix:
    before = np.concatenate([[0], np.cumsum(keep)])
    parts = counts.data[keep], counts.indices[keep], before[counts.indptr]
    return sp.csr_matrix(parts, shape=counts.shape)
