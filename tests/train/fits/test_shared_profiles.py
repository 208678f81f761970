"""Decoders of accessibility learn from cells with ATAC alone which peaks open together."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.train.fits import share_profiles

N = 90
SPLIT = np.arange(80), np.arange(80, 85), np.arange(85, 90)


def cells(model, n_paired: int) -> Cells:
    """Two groups of cells, each with its half of the peaks; the first few are paired."""
    n_peaks, n_genes = (model.module.modality(m).n_features for m in ("atac", "rna"))
    group = np.arange(N) % 2
    atac = ((np.arange(n_peaks) % 2)[None] == group[:, None]).astype(np.float32)
    measured = {"rna": np.arange(N) < n_paired, "atac": np.ones(N, bool)}
    rna = sp.csr_matrix(np.ones((N, n_genes), np.float32) * measured["rna"][:, None])
    return Cells({"rna": rna, "atac": sp.csr_matrix(atac)}, measured)


def weights(model) -> list[torch.Tensor]:
    decoders = model.module.all_decoders("atac")
    return [decoder.linear.weight.detach().clone() for decoder in decoders]


def test_the_rest_shrinks_by_the_paired_share(make_model, mdata):
    """The two profiles span all that is common: contrasts within a group of peaks are the rest."""
    model = make_model(mdata)
    before = weights(model)
    share_profiles(model.module, cells(model, 20), SPLIT, 0)
    for old, new in zip(before, weights(model), strict=True):
        for group in (0, 1):
            one, other = old[group::2], new[group::2]
            np.testing.assert_allclose(other.mean(0), one.mean(0), atol=1e-5)
            np.testing.assert_allclose(other - other.mean(0), 0.25 * (one - one.mean(0)), atol=1e-5)


@pytest.mark.parametrize("n_paired", [0, N])
def test_nothing_changes_if_all_or_none_are_paired(make_model, mdata, n_paired):
    model = make_model(mdata)
    before = weights(model)
    share_profiles(model.module, cells(model, n_paired), SPLIT, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))


def test_it_can_be_turned_off(make_model, mdata):
    model = make_model(mdata, bridge_use_unpaired_atac=False)
    before = weights(model)
    share_profiles(model.module, cells(model, 20), SPLIT, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
