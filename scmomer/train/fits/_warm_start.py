"""Start values computed from the training cells, so that no stage begins at noise.

Encoders begin as principal components of scaled expression and as latent semantic indexing of
peaks, decoders at the mean profile; the stages then learn what these linear maps miss.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

from scmomer.data import Cells
from scmomer.module import SCMOMERModule, ViTEncoder
from scmomer.train.fits._warm_protein import start_protein

_MIN_STD = 0.05  # of a gene's log expression; rarer genes would dominate otherwise
_START_STD = 1.0  # spread of the first component; sets the scale of all embeddings
_DEPTH_CORRELATION = 0.5  # beyond this a component is depth
_SPARE = 3  # components computed in excess, to replace those
_MAX_CELLS = 20_000  # enough for the leading components


def warm_start(module: SCMOMERModule, cells: Cells, train: np.ndarray) -> None:
    """Set statistics and start values of `module` from the `train` cells, in place.

    Parameters
    ----------
    module
        Untrained network.
    cells
        All registered cells.
    train
        Indices of the training cells; validation cells take no part.
    """
    train = np.sort(train)
    counts = {m: c[train[cells.measured[m][train]]] for m, c in cells.counts.items()}
    if "rna" in counts:
        _start_rna(module, counts["rna"])
    if "atac" in counts:
        _start_atac(module, counts["atac"])
    if "protein" in counts:
        start_protein(module, counts["protein"])
    if module.paired and module.config.warm_start:
        module.fusion.keep_leading_parts()


def _log_normalized(counts: sp.csr_matrix, target_sum: float) -> sp.csr_matrix:
    """The matrix form of :func:`scmomer.nn._rows.log_normalize`."""
    totals = np.maximum(np.asarray(counts.sum(1)).ravel(), 1e-12)
    scaled = sp.diags(target_sum / totals) @ counts
    scaled.data = np.log2(1 + scaled.data)
    return scaled.tocsr()


def _log_stats(values: np.ndarray) -> torch.Tensor:
    logs = np.log1p(values)
    return torch.tensor([logs.mean(), max(logs.std(), 1e-3)])


def _start_rna(module: SCMOMERModule, counts: sp.csr_matrix) -> None:
    totals = np.asarray(counts.sum(1)).ravel()
    if module.config.target_sum is None and totals.any():
        module.target_sum.fill_(float(np.median(totals[totals > 0])))
    expression = _log_normalized(counts, float(module.target_sum))
    mean = np.asarray(expression.mean(0)).ravel()
    variance = np.asarray(expression.power(2).mean(0)).ravel() - mean**2
    std = np.maximum(np.sqrt(np.maximum(variance, 0)), _MIN_STD)
    if module.config.scale_genes:
        module.gene_weight.copy_(torch.from_numpy(1 / std**2))
    weight = module.gene_weight.cpu().numpy()
    module.baseline[0] = max(float((np.maximum(variance, 0) * weight).sum()), 1e-6)
    shares = (np.asarray(counts.sum(0)).ravel() + 0.5) / (counts.sum() + 0.5 * counts.shape[1])
    module.count_baseline.fill_(max(float(-(counts @ np.log(shares)).mean()), 1e-6))
    for rates in module.rates():
        rates.start_at(torch.from_numpy(np.log(shares)))
    module.size_stats[1] = _log_stats(totals)
    module.size_stats[2] = _log_stats(np.diff(counts.indptr))
    for decoder in module.decoders_of("rna"):
        decoder.start_at(torch.from_numpy(mean), torch.from_numpy(std))
    if module.paired and module.config.scale_genes:
        for bridge in (module.bridge_from("rna"), *(h.bridge for h in module.heads_from("rna"))):
            bridge.standardize(torch.from_numpy(mean), torch.from_numpy(std))
    if module.config.warm_start:
        weights, bias = _principal_components(expression, mean, std, module.config.n_latent // 2)
        module.encoder("rna").start_at(weights, bias)


def _principal_components(
    expression: sp.csr_matrix, mean: np.ndarray, std: np.ndarray, n_components: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the linear map from log expression to components of scaled genes.

    Returns
    -------
    tuple
        Weights ``(n_genes, k)`` and bias ``(k,)``; the first component has standard deviation
        1, the others as much less as they explain less.
    """
    picked = _subsample(expression)
    k = max(0, min(n_components, *(n - 1 for n in picked.shape)))
    scaled = (picked @ sp.diags(1 / std)).tocsr()
    shift = mean / std
    gram = (scaled.T @ scaled).toarray() if scaled.shape[1] <= 4000 else None
    if gram is not None:
        gram = gram / scaled.shape[0] - np.outer(shift, shift)
        values, vectors = np.linalg.eigh(gram)
        vectors, spread = vectors[:, ::-1][:, :k], np.sqrt(max(values[-1], 1e-12))
    else:
        # Uncentred for width: the leading direction is the mean and is left out.
        _, s, vt = randomized_svd(scaled, k + 1, random_state=0)
        vectors, spread = vt[1:].T, s[1] / np.sqrt(scaled.shape[0])
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    vectors = vectors * (_START_STD / max(spread, 1e-6))
    return torch.from_numpy(vectors / std[:, None]).float(), torch.from_numpy(
        -shift @ vectors
    ).float()


def _subsample(matrix: sp.csr_matrix) -> sp.csr_matrix:
    step = -(-matrix.shape[0] // _MAX_CELLS)
    return matrix[::step]


def _start_atac(module: SCMOMERModule, counts: sp.csr_matrix) -> None:
    open_peaks = (counts > 0).astype(np.float32).tocsr()
    n_cells, n_open = open_peaks.shape[0], np.diff(open_peaks.indptr)
    rate = (np.asarray(open_peaks.sum(0)).ravel() + 0.5) / (n_cells + 1)  # never 0 or 1
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    module.baseline[1] = max(float(entropy.sum()), 1e-6)
    module.size_stats[0] = _log_stats(n_open)
    for decoder in module.decoders_of("atac"):
        decoder.start_at(torch.from_numpy(np.log(rate / (1 - rate))))
        if decoder.depth_slope is not None:  # twice the depth: twice as likely to be open
            decoder.depth_slope.data.fill_(float(module.size_stats[0, 1]))
    if module.config.warm_start:
        depth = float(np.median(n_open))
        weights = _semantic_indexing(open_peaks, rate, depth, module.config.n_latent // 2)
        encoder = module.encoder("atac")
        if isinstance(encoder, ViTEncoder):
            encoder.typical_depth.fill_(depth)
        encoder.start_at(weights)


def _semantic_indexing(
    open_peaks: sp.csr_matrix, rate: np.ndarray, depth: float, n_components: int
) -> torch.Tensor:
    """Return the linear map from shrunken means of peaks to LSI components, ``(n_peaks, k)``.

    Components that follow the cell's depth are left out, as is usual; the first one, the mean
    profile, always.
    """
    picked = _subsample(open_peaks)
    n_open = np.diff(picked.indptr)
    idf = np.log(1 + 1 / rate)
    weighted = sp.diags(1 / np.maximum(n_open + depth, 1)) @ picked @ sp.diags(idf)
    k = min(n_components + _SPARE, *(n - 2 for n in picked.shape))
    if k < 1:  # too few peaks or cells for a component
        return torch.zeros(picked.shape[1], 0)
    u, s, vt = randomized_svd(weighted, k + 1, random_state=0)
    scores = np.column_stack([np.log1p(n_open), u])
    with np.errstate(invalid="ignore", divide="ignore"):
        follows = np.abs(np.corrcoef(scores.T)[0, 1:]) > _DEPTH_CORRELATION
    follows[0] = True
    kept = np.flatnonzero(~follows)[:n_components]
    spread = max(float((u[:, kept].std(0) * s[kept]).max(initial=0)), 1e-6)
    return torch.from_numpy((vt[kept] * idf).T * (_START_STD / 2 / spread)).float()
