"""Depth heads are fitted to the training cells that have both modalities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scmomer
from scmomer.data import read_cells
from scmomer.inference import Inference
from scmomer.train.fits import _depth, cache_encoders, fit_depth_heads


@pytest.fixture
def model(saved):
    """A trained model that a test may change."""
    return scmomer.load(saved)


@pytest.fixture
def cells(model, mdata):
    """The registered cells."""
    return read_cells(mdata, model.spec)


def predicted(model, cells) -> np.ndarray:
    return Inference(model.module, cells.select_modality("rna")).embed().depth["atac"]


def measured(model, cells) -> np.ndarray:
    kind = model.module.modality("atac")
    logs = np.log1p(cells.lengths("atac"))
    return (logs - float(kind.depth_mean)) / float(kind.depth_std)


def fit(model, cells, train: np.ndarray) -> None:
    """Fit to training cells; others and the seed take no part."""
    none = np.zeros(0, np.int64)
    fit_depth_heads(model.module, cells, (train, none, none), 0)


def test_training_fits_it(model, cells):
    head = model.module.depth_head("atac")
    assert head.weight.any() and head.weight.isfinite().all()


def test_it_predicts_a_depth_that_rna_tells(model, cells):
    """Cells made as deep in ATAC as they are in RNA."""
    deep = np.asarray(cells.counts["rna"].sum(1)).ravel()
    kept = cells.counts["atac"].copy()
    rank = np.argsort(np.argsort(deep)) / len(deep)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(kept.shape[0]), np.diff(kept.indptr))
    kept.data[rng.random(kept.nnz) > 0.1 + 0.9 * rank[rows]] = 0
    kept.eliminate_zeros()
    cells.counts["atac"] = kept
    train, test = np.arange(0, 80), np.arange(80, cells.n_cells)
    fit(model, cells, train)
    found, truth = predicted(model, cells), measured(model, cells)
    assert np.corrcoef(found[test], truth[test])[0, 1] > 0.6


def test_cells_without_the_modality_take_no_part(model, cells):
    train = np.arange(cells.n_cells)
    fit(model, cells, train[:60])
    expected = predicted(model, cells)
    cells.measured["atac"] = train < 60
    fit(model, cells, train)
    assert np.array_equal(predicted(model, cells), expected)
    cells.measured["atac"] = train < 1  # nothing to fit: it stays as it is
    fit(model, cells, train)
    assert np.array_equal(predicted(model, cells), expected)


def test_many_cells_are_thinned(model, cells, monkeypatch):
    fit(model, cells, np.arange(0, cells.n_cells, 3))
    expected = predicted(model, cells)
    monkeypatch.setattr(_depth, "_MAX_FIT_CELLS", -(-cells.n_cells // 3))
    fit(model, cells, np.arange(cells.n_cells))
    assert np.array_equal(predicted(model, cells), expected)


def test_encoders_that_stage_3_has_run_are_not_run_again(model, cells, monkeypatch):
    train = np.arange(cells.n_cells)
    fit(model, cells, train)
    expected = predicted(model, cells)
    cache_encoders(model.module, cells, (train, train[:0], train[:0]), 0)
    monkeypatch.setattr(model.module.rna.encoder, "forward", None)
    fit(model, cells, train)
    np.testing.assert_allclose(predicted(model, cells), expected, atol=1e-4)


def test_it_is_saved(model, cells, tmp_path):
    model.save(tmp_path / "model")
    loaded = scmomer.load(tmp_path / "model")
    assert np.array_equal(predicted(loaded, cells), predicted(model, cells))


def test_equal_cells_have_equal_depth(model, cells):
    """Features without spread have no weight."""
    for m in cells.counts:
        cells.counts[m] = cells.counts[m][np.zeros(cells.n_cells, int)]
    fit(model, cells, np.arange(cells.n_cells))
    found = predicted(model, cells)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, np.clip(measured(model, cells), -4, 4), atol=1e-4)
    assert torch.count_nonzero(model.module.depth_head("atac").weight) == 0
