"""From expected counts of proteins to typical ones."""

from __future__ import annotations

import numpy as np
import torch

from scmomer._constants import PROTEIN
from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import ProteinModality, SCMOMERModule
from scmomer.train.fits._chosen_cells import thinned

_MIN_CELLS = 20
_MAX_CELLS = 5_000  # enough for one number a protein
_MOST = 5.0  # absolute shift of the log: a factor of 150
_N_HALVINGS = 25


@torch.no_grad()
def fit_typical_counts(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Shift translations into proteins so that their ``log1p`` is right on average, in place.

    A decoder gives the log of the expected count. Counts of proteins are skewed and are compared
    as logs, and the log of an expectation is above the expected log. So one number of each protein
    is added, under which translations of training cells have the mean ``log1p`` that was measured.
    """
    kind = module.kinds().get(PROTEIN)
    if not isinstance(kind, ProteinModality) or PROTEIN not in cells.counts or not module.fused:
        return
    kind.log_shift.zero_()
    has_another = cells.measured[PROTEIN] & (cells.n_measured > 1)
    chosen = thinned(split[0], has_another, _MAX_CELLS)
    if len(chosen) < _MIN_CELLS:
        return
    run = Inference(module, cells, chosen)
    found = run.embed(tuple(m for m in cells.counts if m != PROTEIN), PROTEIN)
    depth = run.depths(found, "predicted", PROTEIN)
    expected = run.decode(PROTEIN, found, slice(None), depth, None)[0].astype(np.float64)
    measured = np.log1p(cells.counts[PROTEIN][chosen].toarray()).mean(0)
    kind.log_shift.copy_(torch.from_numpy(shift_of_logs(expected, measured)))


def shift_of_logs(expected: np.ndarray, mean_log: np.ndarray) -> np.ndarray:
    """Return the shift of each protein's log under which its mean ``log1p`` is as wanted.

    Parameters
    ----------
    expected
        Counts, ``(n_cells, n_proteins)``.
    mean_log
        Wanted mean of ``log1p``, ``(n_proteins,)``.
    """
    low, high = np.full(len(mean_log), -_MOST), np.full(len(mean_log), _MOST)
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        is_above = np.log1p(expected * np.exp(middle)).mean(0) > mean_log
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    return (low + high) / 2
