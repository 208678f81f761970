"""Where fusion begins."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.inference import Inference
from scmomer.train import clone_state, init_from_data, run_before
from scmomer.train.fits import start_fusion
from scmomer.train.fits._fusion_start import common_components

ALL = np.arange(120)
SPLIT = ALL, ALL[:0], ALL[:0]


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers."""
    return np.random.default_rng(0)


def test_what_parts_have_in_common_comes_first(rng):
    shared, own = rng.normal(size=(500, 1)), rng.normal(size=(500, 2)) * 3
    first = np.hstack([own[:, :1], shared])
    second = np.hstack([0.5 * shared, own[:, 1:]])
    weights, bias = common_components([first, second], np.zeros(500), 3)
    found = first @ weights[0].T + second @ weights[1].T + bias
    assert found.shape == (500, 3)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    assert abs(np.corrcoef(found[:, 0], shared[:, 0])[0, 1]) > 0.99
    spread = found.std(0)
    assert spread[0] == pytest.approx(2**0.5, rel=0.02)  # two standardized dimensions that agree
    np.testing.assert_allclose(spread[1:], 1, rtol=0.1)  # and those of one part alone
    np.testing.assert_allclose(np.corrcoef(found.T), np.eye(3), atol=1e-6)


def test_units_of_a_part_do_not_count(rng):
    parts = [rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3)) for _ in range(2)]
    batch = rng.integers(2, size=300)
    one, bias = common_components(parts, batch, 4)
    two, other = common_components([parts[0], 100 * parts[1]], batch, 4)
    np.testing.assert_allclose(np.abs(one[1]), 100 * np.abs(two[1]), rtol=1e-6)
    np.testing.assert_allclose(np.abs(bias), np.abs(other), rtol=1e-6, atol=1e-9)


def test_differences_between_batches_take_no_part(rng):
    parts = [rng.normal(size=(400, 2)) for _ in range(2)]
    batch = rng.integers(3, size=400)
    one, _ = common_components(parts, batch, 4)
    moved = [part + 50 * batch[:, None] for part in parts]
    two, _ = common_components(moved, batch, 4)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-6)


def test_unused_dimensions_stay_small(rng):
    part = np.hstack([rng.normal(size=(200, 2)), 1e-3 * rng.normal(size=(200, 2))])
    weights, bias = common_components([part, part[:, ::-1].copy()], np.zeros(200), 4)
    found = part @ weights[0].T + part[:, ::-1] @ weights[1].T + bias
    assert (found.std(0)[:2] > 0.5).all() and (found.std(0)[2:] < 0.1).all()
    constant, _ = common_components([np.ones((200, 2)), part], np.zeros(200), 2)
    assert all(np.isfinite(w).all() for w in constant)


@pytest.mark.parametrize("three", [False, True])
def test_fused_embeddings_are_uncorrelated(make_module, make_cells, three):
    cells, module = make_cells(120), make_module(n_proteins=6 if three else 0).eval()
    if three:
        counts = np.random.default_rng(1).poisson(5.0, (120, 6)).astype(np.float32)
        measured = cells.measured | {"protein": np.ones(120, bool)}
        cells = Cells(cells.counts | {"protein": sp.csr_matrix(counts)}, measured)
    init_from_data(module, cells, ALL)
    start_fusion(module, cells, SPLIT, 0)
    parts = {m: torch.from_numpy(Inference(module, cells).encode(m)) for m in cells.counts}
    with torch.no_grad():
        z = module.fuse(parts).numpy()
    spread = z.std(0)
    assert (np.diff(spread) < 1e-4).all() and spread[0] > 0.9
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(z.shape[1]), atol=1e-2)


@pytest.mark.parametrize("reason", ["few cells", "one modality", "warm_start"])
def test_without_pairs_or_warm_start_nothing_changes(make_module, make_cells, reason):
    cells = make_cells(120, without={"atac": list(range(30))} if reason == "few cells" else {})
    module = make_module(warm_start=reason != "warm_start").eval()
    init_from_data(module, cells, ALL)
    before = clone_state(module)
    start_fusion(
        module, cells.select_modality("rna") if reason == "one modality" else cells, SPLIT, 0
    )
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_only_a_stage_that_was_not_trained_starts_anew(make_module, make_cells):
    cells, module = make_cells(120), make_module().eval()
    init_from_data(module, cells, ALL)
    before = module.fusion.to_out.weight.clone()
    run_before("fusion", module, cells, SPLIT, 0)
    assert torch.equal(module.fusion.to_out.weight, before)
    run_before("fusion", module, cells, SPLIT, 0, anew=True)
    assert not torch.equal(module.fusion.to_out.weight, before)
