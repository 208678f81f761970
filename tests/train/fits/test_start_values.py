"""Start values: what holds for all modalities. Those of one are in tests/module/modalities."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from scmomer.inference import Inference
from scmomer.train import clone_state, init_from_data
from scmomer.train._objectives import stage_loss

ALL = np.arange(60)


def correlations(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute correlation of matching columns."""
    k = found.shape[1]
    return np.abs(np.diag(np.corrcoef(found.T, expected[:, :k].T)[:k, k:]))


def test_mean_shares_have_a_count_loss_of_one(make_module, make_cells):
    """As the mean has in reconstruction; in stage 3."""
    cells = make_cells()
    module = make_module(bridge_count_loss=1.0).eval()
    init_from_data(module, cells, ALL)
    for bridge in module.bridges_from("rna"):
        nn.init.zeros_(bridge.count_decoder.linear.weight)
    cells.embeddings = {m: torch.randn(60, 8) for m in cells.counts}
    _, terms = stage_loss(module, "bridge", cells.minibatch(ALL, ("rna", "atac")))
    for end in ("", "_1", "_2", "_3"):
        assert float(terms[f"counts_from_rna{end}"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("scale_genes", [True, False])
def test_the_mean_has_a_loss_of_one(make_module, make_cells, scale_genes):
    """Reconstruction is measured in units of the loss of the train mean."""
    cells = make_cells()
    module = make_module(rna_scale_genes=scale_genes, warm_start=False).eval()
    init_from_data(module, cells, ALL)
    for kind in module.kinds().values():
        nn.init.zeros_(kind.decoder.linear.weight)
    nn.init.zeros_(module.modality("atac").decoder.depth_slope)
    _, terms = stage_loss(module, "fusion", cells.minibatch(ALL, ("rna", "atac")))
    assert float(terms["rna_reconstruction"]) == pytest.approx(1, abs=1e-4)
    # Rates of peaks are smoothed by half a count.
    assert float(terms["atac_reconstruction"]) == pytest.approx(1, abs=0.02)


def assert_equal_states(one, two) -> None:
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_only_training_cells_take_part(make_module, make_cells):
    cells, other = make_cells(), make_cells()
    train = np.random.default_rng(0).permutation(60)[:40]
    held_out = np.setdiff1d(ALL, train)
    for modality, counts in other.counts.items():
        changed = counts.toarray()
        changed[held_out] = 7
        other.counts[modality] = sp.csr_matrix(changed)
    one, two = make_module(), make_module()
    init_from_data(one, cells, train)
    init_from_data(two, other, np.sort(train))
    assert_equal_states(one, two)


def test_cells_that_lack_a_modality_take_no_part_in_it(make_module, make_cells):
    cells = make_cells(without={"rna": [0, 1], "atac": [2]})
    one, two = make_module(), make_module()
    init_from_data(one, cells, ALL)
    for m, kind in two.kinds().items():
        own = cells.counts[m][cells.measured[m]]
        assert len(own.indptr) < 61
        kind.init_from_data(own, two.all_decoders(m), two.bridges_from(m), True)
    two.fusion.init_concatenation()
    assert_equal_states(one, two)


def test_no_warm_start_leaves_encoders_at_random(make_module, make_cells):
    module = make_module(warm_start=False, bridge_n_heads=1)
    before = clone_state(module)
    init_from_data(module, make_cells(), ALL)
    changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {
        "modalities.rna.target_sum",
        "modalities.rna.gene_weight",
        "modalities.rna.baseline",
        "modalities.rna.count_baseline",
        "modalities.rna.library_mean",
        "modalities.rna.library_std",
        "modalities.rna.decoder.scale",
        "modalities.rna.decoder.linear.bias",
        "modalities.atac.baseline",
        "modalities.atac.depth_mean",
        "modalities.atac.depth_std",
        "modalities.atac.decoder.linear.bias",
        "modalities.atac.decoder.depth_slope",
        "bridges.rna.0.scale",
        "bridges.rna.0.shift",
        "bridges.rna.0.count_decoder.linear.bias",
        "bridges.rna.1.scale",
        "bridges.rna.1.shift",
        "bridges.rna.1.count_decoder.linear.bias",
        "bridges.rna.1.decoders.rna.scale",
        "bridges.rna.1.decoders.rna.linear.bias",
        "bridges.rna.1.decoders.atac.linear.bias",
        "bridges.rna.1.decoders.atac.depth_slope",
        "bridges.atac.1.decoders.rna.scale",
        "bridges.atac.1.decoders.rna.linear.bias",
    }


def test_fused_embedding_starts_as_both_halves(make_module, make_cells):
    cells, module = make_cells(), make_module()
    init_from_data(module, cells, ALL)
    z = Inference(module, cells).embed().z
    for half, m in ((z[:, :4], "rna"), (z[:, 4:], "atac")):
        assert (correlations(half, Inference(module, cells).encode(m)) > 0.95).all()


@pytest.mark.parametrize(
    ("n", "options"), [(3, {}), (5, {}), (3, {"n_peaks": 0}), (3, {"n_genes": 0})], ids=str
)
def test_fewer_cells_than_components(make_module, make_cells, n, options):
    cells = make_cells(n)
    absent = {"n_peaks": "atac", "n_genes": "rna"}
    for option in options:
        del cells.counts[absent[option]], cells.measured[absent[option]]
    module = make_module(**options)
    init_from_data(module, cells, np.arange(n))
    assert all(v.isfinite().all() for v in module.state_dict().values())


def test_cells_without_counts_stay_finite(make_module, make_cells):
    cells = make_cells()
    for m, counts in cells.counts.items():
        cells.counts[m] = sp.csr_matrix(counts.shape, dtype=np.float32)
    module = make_module()
    init_from_data(module, cells, ALL)
    assert all(v.isfinite().all() for v in module.state_dict().values())
    for m in cells.counts:
        assert np.isfinite(Inference(module, cells).encode(m)).all()
