"""From expected counts of proteins to typical ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule
from scmomer.train import clone_state, init_from_data
from scmomer.train.fits import fit_typical_counts, run_before
from scmomer.train.fits._typical_counts import shift_of_logs

ALL = np.arange(60)
SPLIT = ALL, ALL[:0], ALL[:0]


@pytest.fixture
def cells(make_cells) -> Cells:
    """Cells with proteins whose counts are skewed."""
    rng, cells = np.random.default_rng(0), make_cells()
    counts = np.floor(rng.lognormal(1.0, 1.2, (60, 5)))
    table = sp.csr_matrix(counts.astype(np.float32))
    both = {"rna": cells.counts["rna"], "protein": table}
    return Cells(both, {m: np.ones(60, bool) for m in both})


@pytest.fixture
def module(make_module, cells) -> SCMOMERModule:
    """A network with start values."""
    module = make_module(n_peaks=0, n_proteins=5).eval()
    init_from_data(module, cells, ALL)
    return module


def translated(module, cells: Cells, columns=None) -> np.ndarray:
    run = Inference(module, cells.select_modality("rna"))
    found = run.embed(to="protein")
    depth = run.depths(found, "predicted", "protein")
    return run.decode("protein", found, slice(None), depth, None, columns)[0]


def test_logs_of_translations_have_the_mean_of_those_of_counts(module, cells):
    wanted = np.log1p(cells.counts["protein"].toarray()).mean(0)
    assert (np.log1p(translated(module, cells)).mean(0) > wanted + 0.1).all()  # Jensen
    before = clone_state(module)
    fit_typical_counts(module, cells, SPLIT, 0)
    np.testing.assert_allclose(np.log1p(translated(module, cells)).mean(0), wanted, atol=1e-4)
    changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"modalities.protein.log_shift"}
    few = translated(module, cells, np.array([4, 1]))
    np.testing.assert_allclose(few, translated(module, cells)[:, [4, 1]], rtol=1e-6)


def test_a_second_fit_is_the_first_and_training_drops_it(module, cells):
    fit_typical_counts(module, cells, SPLIT, 0)
    first = module.modality("protein").log_shift.clone()
    fit_typical_counts(module, cells, SPLIT, 0)
    assert torch.equal(module.modality("protein").log_shift, first) and first.all()
    run_before("fusion", module, cells, SPLIT, 0)
    assert not module.modality("protein").log_shift.any()


@pytest.mark.parametrize("lost", ["rna", "protein"])
def test_cells_of_one_modality_tell_nothing(module, cells, lost):
    measured = {m: np.ones(60, bool) for m in cells.counts}
    measured[lost][:50] = False
    few = Cells(cells.counts, measured)
    fit_typical_counts(module, few, SPLIT, 0)
    fit_typical_counts(module, cells.select_modality("rna"), SPLIT, 0)
    assert not module.modality("protein").log_shift.any()


def test_the_shift_is_the_root_and_bounded():
    rng = np.random.default_rng(0)
    expected = rng.lognormal(1, 1, (500, 3))
    for shift in (np.zeros(3), np.array([-1.5, 0.3, 2.0])):
        wanted = np.log1p(expected * np.exp(shift)).mean(0)
        np.testing.assert_allclose(shift_of_logs(expected, wanted), shift, atol=1e-5)
    np.testing.assert_allclose(shift_of_logs(expected, np.zeros(3)), -5, atol=1e-5)
