"""What precedes and follows each stage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule
from scmomer.train import clone_state, init_from_data, possible_stages, run_after, run_before
from scmomer.train.fits import AFTER, BEFORE

SPLIT = np.arange(40), np.arange(40, 50), np.arange(50, 60)
EARLIER = ("rna", "atac", "fusion")


@pytest.fixture
def cells(make_cells) -> Cells:
    """Cells of two modalities, not all of them paired."""
    return make_cells(without={"rna": [3, 41], "atac": [4]})


@pytest.fixture
def module(make_module, cells) -> SCMOMERModule:
    """An untrained network with start values."""
    module = make_module().eval()
    init_from_data(module, cells, SPLIT[0])
    return module


def changed(module, before: dict[str, torch.Tensor]) -> set[str]:
    """Names in the state that have other values."""
    return {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}


def fitted_weights(module) -> set[str]:
    """Names of the weights that training goes on from: of decoders, and outputs of bridges."""
    names = [k for k in module.state_dict() if ".linear." in k and "decoder" in k]
    atac = {k for k in names if k.endswith(("atac.linear.weight", "atac.decoder.linear.weight"))}
    atac |= {f"bridges.atac.0.rest.3.{k}" for k in ("weight", "bias")}
    return atac | {k for k in names if k.startswith("bridges.atac") and ".decoders.rna." in k}


def is_reset(module) -> bool:
    """Whether nothing is left of an earlier stage 3."""
    is_plain = torch.equal(module.basis, torch.eye(8)) and not module.even_depth.any()
    return is_plain and not module.refines


def test_only_possible_stages_have_fits(make_module):
    stages = possible_stages(make_module(n_proteins=5))
    assert {*BEFORE, *AFTER} <= {*stages}


# -- stage 3


def test_before_stage_three_encoders_are_cached_and_sources_refined(module, cells):
    before = clone_state(module)
    assert not module.refines
    run_before("bridge", module, cells, SPLIT, 0)
    assert changed(module, before) == {"refines"} and module.refines
    assert set(cells.embeddings) == {"rna", "atac"}
    fresh = Cells(cells.counts, cells.measured)
    for m, z in cells.embeddings.items():
        assert not z.requires_grad
        np.testing.assert_array_equal(z.numpy(), Inference(module, fresh).encode(m))


def test_before_stage_three_pairs_of_training_cells_are_recorded(make_module):
    """RNA and ATAC, RNA and protein in one cell; ATAC and protein only in a validation cell."""
    rng, sizes = np.random.default_rng(0), {"rna": 30, "atac": 40, "protein": 5}
    counts = {
        m: sp.csr_matrix(rng.poisson(1.0, (60, n)), dtype=np.float32) for m, n in sizes.items()
    }
    kind = np.arange(60) % 2
    measured = {"rna": np.ones(60, bool), "atac": kind == 0, "protein": kind == 1}
    measured["atac"][41] = measured["protein"][41] = True
    module, cells = make_module(n_proteins=5), Cells(counts, measured)
    run_before("bridge", module, cells, SPLIT, 0)
    expected = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 1]], dtype=torch.bool)
    assert torch.equal(module.co_measured, expected)
    assert set(cells.embeddings) == set(sizes)


def test_after_stage_three_all_fits_run(module, cells):
    run_before("bridge", module, cells, SPLIT, 0)
    before = clone_state(module)
    run_after("bridge", module, cells, SPLIT, 0)
    depth = {"depth_heads.atac.weight", "depth_heads.atac.bias"}
    assert changed(module, before) == {*depth, *fitted_weights(module), "basis", "even_depth"}
    assert all(v.isfinite().all() for v in module.state_dict().values())
    assert module.refines


def test_fits_after_stage_three_are_switched_off_one_by_one(make_module, cells):
    for option, name in (("expression_metric", "basis"), ("measured_gain", "even_depth")):
        module = make_module(**{option: False}).eval()
        init_from_data(module, cells, SPLIT[0])
        before = clone_state(module)
        run_after("bridge", module, cells, SPLIT, 0)
        assert {"basis", "even_depth"} - changed(module, before) == {name}


def test_the_seed_of_fits_counts(module, cells):
    def even_depth(seed: int) -> torch.Tensor:
        run_after("bridge", module, cells, SPLIT, seed)
        return module.even_depth.clone()

    assert torch.equal(even_depth(0), even_depth(0))
    assert not torch.equal(even_depth(0), even_depth(1))


# -- other stages


@pytest.mark.parametrize("stage", [*EARLIER, "bridge"])
def test_what_an_earlier_stage_three_left_is_dropped(module, cells, stage):
    before = clone_state(module)
    run_before("bridge", module, cells, SPLIT, 0)
    run_after("bridge", module, cells, SPLIT, 0)
    assert not is_reset(module)
    run_before(stage, module, cells, SPLIT, 0)
    if stage == "bridge":  # which begins anew
        assert module.refines
        module.refines.fill_(False)
    assert is_reset(module)
    # Depth heads wait to be fitted again.
    depth = {"depth_heads.atac.weight", "depth_heads.atac.bias"}
    assert changed(module, before) == depth | fitted_weights(module)


@pytest.mark.parametrize("stage", EARLIER)
def test_other_stages_fit_nothing(module, cells, stage):
    before = clone_state(module)
    run_before(stage, module, cells, SPLIT, 0)
    run_after(stage, module, cells, SPLIT, 0)
    assert not changed(module, before) and not cells.embeddings


@pytest.mark.parametrize(
    ("stage", "options", "fitted"),
    [("rna", {"n_peaks": 0}, {"basis"}), ("atac", {"n_genes": 0}, set())],
)
def test_networks_of_one_modality(make_module, make_cells, stage, options, fitted):
    module, cells = make_module(**options), make_cells().select_modality(stage)
    before = clone_state(module)
    run_before(stage, module, cells, SPLIT, 0)
    run_after(stage, module, cells, SPLIT, 0)
    assert changed(module, before) == fitted
