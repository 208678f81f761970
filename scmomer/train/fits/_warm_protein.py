"""Start values of the protein modality, from the training cells."""

from __future__ import annotations

from typing import cast

import numpy as np
import scipy.sparse as sp
import torch

from scmomer._constants import MODALITIES, PROTEIN
from scmomer.module import ProteinDecoder, ProteinEncoder, SCMOMERModule
from scmomer.nn import negative_binomial, to_rows

_MIN_STD = 0.1  # of a protein's centred log ratio
_MAX_CELLS = 20_000  # enough for the leading components
_DISPERSION = (0.1, 100.0)


def start_protein(module: SCMOMERModule, counts: sp.csr_matrix) -> None:
    """Set statistics and start values: components of log ratios, mean counts, dispersions."""
    counts = counts[:: -(-counts.shape[0] // _MAX_CELLS)]
    table = counts.toarray()  # a hundred or so columns
    logs = np.log1p(table)
    ratios = logs - logs.mean(1, keepdims=True)  # (n, n_proteins)
    mean, std = ratios.mean(0), np.maximum(ratios.std(0), _MIN_STD)
    depth = np.log1p(table.sum(1))
    depth_std = max(float(depth.std()), 1e-3)
    module.size_stats[3] = torch.tensor([depth.mean(), depth_std])
    encoder = cast(ProteinEncoder, module.encoders[PROTEIN])
    encoder.standardize(torch.from_numpy(mean), torch.from_numpy(std))
    if module.config.warm_start:
        encoder.start_at(*_components(ratios, mean, std, module.config.n_latent // 2))
    average = table.mean(0) + 0.5 / len(table)  # never zero
    dispersion = _dispersions(table, average)
    for decoder in module.decoders_of(PROTEIN):
        decoder.start_at(torch.from_numpy(np.log(average)))
        torch.as_tensor(decoder.depth_slope).data.fill_(
            depth_std
        )  # twice as deep: twice the counts
        cast(ProteinDecoder, decoder).log_dispersion.data.copy_(
            torch.from_numpy(np.log(dispersion))
        )
    if module.paired:
        own = [module.bridge_from(PROTEIN), *(h.bridge for h in module.heads_from(PROTEIN))]
        for bridge in own:
            bridge.standardize(torch.from_numpy(mean), torch.from_numpy(std))
    flat = torch.from_numpy(np.log(average)).float().expand(len(table), -1)
    loss = negative_binomial(flat, torch.from_numpy(np.log(dispersion)).float(), to_rows(counts))
    module.baseline[MODALITIES.index(PROTEIN)] = max(float(loss), 1e-6)


def _dispersions(table: np.ndarray, average: np.ndarray) -> np.ndarray:
    """Return each protein's inverse dispersion by the method of moments, ``(n_proteins,)``."""
    excess = np.maximum(table.var(0) - average, 1e-6)
    return np.clip(average**2 / excess, *_DISPERSION)


def _components(
    ratios: np.ndarray, mean: np.ndarray, std: np.ndarray, n_components: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights ``(n_proteins, k)`` and bias ``(k,)`` of components of scaled log ratios.

    The first has standard deviation 1.
    """
    scaled = (ratios - mean) / std
    k = max(0, min(n_components, *(n - 1 for n in scaled.shape)))
    _, s, vt = np.linalg.svd(scaled, full_matrices=False)
    spread = max(float(s[0]) / len(scaled) ** 0.5, 1e-6)
    vectors = vt[:k].T / spread
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(k)])
    weights = vectors / std[:, None]
    return torch.from_numpy(weights).float(), torch.from_numpy(-mean @ weights).float()
