"""Biases of a query's batches: the optimum of a shrunken likelihood."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import expit

from scmomer.data import Cells
from scmomer.train import fit_query_bias

N, N_PEAKS = 4000, 50


@pytest.fixture
def module(trained):
    module = deepcopy(trained.module)
    module.add_query_batches(3)
    return module


def drawn(module, shift: np.ndarray) -> tuple[torch.Tensor, Cells]:
    """Cells whose peaks are drawn from the model's own decoder, shifted by `shift` (n_peaks,)."""
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(N, 8)).astype(np.float32))
    with torch.no_grad():
        logits = module.modality("atac").decoder(z).numpy() + shift  # at the mean depth
    opened = sp.csr_matrix((rng.random(logits.shape) < expit(logits)).astype(np.float32))
    module.modality("atac").depth_mean.zero_()
    module.modality("atac").depth_std.fill_(1e9)  # so that depth says nothing
    return z, Cells({"atac": opened}, {"atac": np.ones(N, bool)})


def test_a_known_shift_is_found(module):
    decoder = module.modality("atac").decoder
    n_peaks = decoder.linear.out_features
    shift = np.random.default_rng(1).normal(0, 0.7, n_peaks)
    z, cells = drawn(module, shift)
    fit_query_bias(module, "atac", decoder, z, cells, np.arange(N), np.ones(N, np.int64))
    found = decoder.query_bias.numpy()
    assert not found[:, [0, 2]].any()  # batches without cells
    assert np.corrcoef(found[:, 1], shift)[0, 1] > 0.97
    assert np.abs(found[:, 1] - shift).mean() < 0.1


def test_what_is_no_different_stays_where_it_is(module):
    decoder = module.modality("atac").decoder
    z, cells = drawn(module, np.zeros(decoder.linear.out_features))
    some = np.arange(40)  # their noise is far larger than what is let through
    fit_query_bias(module, "atac", decoder, z[some], cells, some, np.zeros(40, np.int64))
    share = cells.counts["atac"][some].toarray().mean(0).clip(0.01, 0.99)
    noise = (
        np.log(share / (1 - share)) - module.modality("atac").decoder(z).mean(0).detach().numpy()
    )
    assert np.abs(decoder.query_bias.numpy()[:, 0]).mean() < 0.3 * np.abs(noise).mean()


def test_no_cells_change_nothing(module):
    decoder = module.modality("atac").decoder
    z, cells = drawn(module, np.zeros(decoder.linear.out_features))
    none = np.zeros(0, np.int64)
    fit_query_bias(module, "atac", decoder, z[none], cells, none, none)
    assert not decoder.query_bias.any()


def test_batches_do_not_touch_each_other(module):
    decoder = module.modality("atac").decoder
    n_peaks = decoder.linear.out_features
    z, cells = drawn(module, np.full(n_peaks, 0.5))
    codes = np.arange(N) % 2
    fit_query_bias(module, "atac", decoder, z, cells, np.arange(N), codes)
    both = decoder.query_bias.clone()
    decoder.query_bias.zero_()
    some = np.flatnonzero(codes == 0)
    fit_query_bias(module, "atac", decoder, z[some], cells, some, codes[some])
    torch.testing.assert_close(decoder.query_bias[:, 0], both[:, 0], rtol=0, atol=0.02)
    assert not decoder.query_bias[:, 1].any() and both[:, 1].any()
