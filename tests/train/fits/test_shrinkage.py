"""How much a measured embedding says: recovered from halves with known signal and noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scmomer
from scmomer.data import read_cells
from scmomer.train.fits import _shrinkage, fit_shrinkage
from scmomer.train.fits._shrinkage import _halves, even_depth

TRAIN, VALIDATION, TEST = SPLIT = np.arange(0, 80), np.arange(80, 100), np.arange(100, 120)


def simulate(signal, noise, n: int = 5000, scale: float = 1.0, seed: int = 0):
    """Two halves of cells of unequal depth.

    Signal is the variance beyond what was expected; noise that of one open peak.
    """
    rng = np.random.default_rng(seed)
    signal, noise = np.asarray(signal, float), np.asarray(noise, float)
    depth = rng.integers(200, 3000, n)
    expected = rng.normal(3, 2, (n, len(signal)))
    truth = scale * expected + signal**0.5 * rng.normal(size=expected.shape)
    first, second = (
        1 + truth + (noise / depth[:, None]) ** 0.5 * rng.normal(size=truth.shape) for _ in range(2)
    )
    return first, second, expected, depth


# -- even depth


@pytest.mark.parametrize("scale", [1.0, 0.4, 0.0])
def test_noise_over_signal_is_recovered(scale):
    signal, noise = [1.0, 1.0, 0.2, 4.0], [100.0, 1000.0, 300.0, 400.0]
    found = even_depth(*simulate(signal, noise, scale=scale))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.divide(noise, signal), rtol=0.2)


def test_what_was_expected_is_no_signal():
    """However much of the measurement it explains."""
    expected = even_depth(*simulate([1.0], [500.0]))
    first, second, mean, depth = simulate([1.0], [500.0])
    np.testing.assert_allclose(
        even_depth(first + 30 * mean, second + 30 * mean, mean, depth), expected, rtol=1e-3
    )


def test_pure_noise_needs_a_huge_depth():
    found = even_depth(*simulate([0.0] * 8, [500.0] * 8))
    assert (found > 5 * 3000).all() and np.isfinite(found).all()


def test_pure_signal_needs_next_to_none():
    found = even_depth(*simulate([1.0] * 8, [0.0] * 8))
    assert (found >= 0).all() and (found < 1e-3).all()


def test_depth_is_no_signal():
    """Though it is common to both halves."""
    first, second, expected, depth = simulate([0.0] * 4, [500.0] * 4)
    common = 3 * np.log1p(depth)[:, None]
    assert (even_depth(first + common, second + common, expected, depth) > 5 * 3000).all()
    first, second, expected, depth = simulate([1.0] * 4, [500.0] * 4)
    found = even_depth(first + common, second + common, expected, depth)
    np.testing.assert_allclose(found, even_depth(first, second, expected, depth), rtol=0.05)


def test_offsets_and_units_do_not_matter():
    first, second, expected, depth = simulate([1.0, 0.3], [100.0, 900.0])
    start = even_depth(first, second, expected, depth)
    found = even_depth(7 * first + 1, 7 * second + 5, 7 * expected - 3, depth)
    np.testing.assert_allclose(found, start, rtol=1e-4)
    np.testing.assert_allclose(even_depth(second, first, expected, depth), start, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 2])
def test_hardly_any_or_equal_cells_stay_finite(n):
    first, second, expected, depth = simulate([1.0], [100.0], n=n)
    for cells in ((first, second, expected, depth), (first, first, expected, 0 * depth)):
        found = even_depth(*cells)
        assert np.isfinite(found).all() and (found >= 0).all()
    flat = np.ones((5, 3))
    assert np.isfinite(even_depth(flat, flat, flat, np.full(5, 100))).all()


# -- halves


def counts(n: int = 50, n_peaks: int = 400) -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    table = rng.integers(1, 4, (n, n_peaks)) * (rng.random((n, n_peaks)) < 0.2)
    table[[0, 7, n - 1]] = 0
    return sp.csr_matrix(table.astype(np.float32))


def test_each_count_goes_to_exactly_one_half():
    whole = counts()
    first, second = _halves(whole, seed=0)
    assert first.shape == second.shape == whole.shape and first.dtype == whole.dtype
    assert (first + second != whole).nnz == 0
    assert first.multiply(second).nnz == 0
    assert first.nnz + second.nnz == whole.nnz
    assert 0.45 < first.nnz / whole.nnz < 0.55
    assert np.diff(first.indptr)[[0, 7, 49]].tolist() == [0, 0, 0]


def test_halves_depend_on_the_seed_alone():
    whole = counts()
    one, again, other = (_halves(whole, seed)[0] for seed in (3, 3, 4))
    assert (one != again).nnz == 0 and (one != other).nnz > 0


# -- of a model


def test_training_sets_it(trained):
    even = trained.module.even_depth
    assert even.shape == (8,) and even.isfinite().all() and (even > 0).all()


@pytest.mark.parametrize(
    ("options", "stages"),
    [({"measured_gain": False}, None), ({"measured_gain": True}, ["rna", "atac", "fusion"])],
    ids=["not wanted", "no bridge"],
)
def test_otherwise_measurements_count_as_they_are(make_model, train, mdata, options, stages):
    model = make_model(mdata, **options)
    train(model, stages=stages)
    assert not model.module.even_depth.any()
    z = {m: model.get_latent_representation(modality=m) for m in ("rna", "atac", "joint")}
    with torch.no_grad():
        fused = model.module.fusion(*(torch.from_numpy(z[m]) for m in ("rna", "atac")))
        expected = fused @ model.module.basis
    np.testing.assert_allclose(z["joint"], expected.numpy(), rtol=0, atol=1e-5)


def test_it_weighs_what_was_measured(saved, mdata):
    """With a huge even depth the measured peaks say nothing."""
    model = scmomer.load(saved)
    alone = model.get_latent_representation(mdata["rna"])
    assert np.abs(model.get_latent_representation(mdata) - alone).max() > 1e-3
    model.module.even_depth.fill_(1e12)
    found = model.get_latent_representation(mdata)
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-5)
    model.module.even_depth.zero_()
    assert np.abs(model.get_latent_representation(mdata) - alone).max() > 1e-3


def test_it_is_saved(trained, saved):
    assert torch.equal(scmomer.load(saved).module.even_depth, trained.module.even_depth)


def scrambled(cells, members: np.ndarray):
    """Change both modalities of some cells, but not how many counts are stored."""
    for matrix in cells.counts.values():
        for cell in members:
            part = slice(matrix.indptr[cell], matrix.indptr[cell + 1])
            matrix.indices[part] = np.sort((matrix.indices[part] + 5) % matrix.shape[1])
    return cells


@pytest.mark.parametrize(
    ("enough", "reads"), [(20, {"validation"}), (21, {"train", "validation"})], ids=["many", "few"]
)
def test_which_cells_it_is_learned_from(saved, make_mdata, monkeypatch, enough, reads):
    """Validation cells if there are enough, and never those of the test set."""
    monkeypatch.setattr(_shrinkage, "_MIN_CELLS", enough)
    model = scmomer.load(saved)

    def learn(changed=()) -> torch.Tensor:
        cells = scrambled(read_cells(make_mdata(), model.spec), np.asarray(changed, int))
        fit_shrinkage(model.module, cells, SPLIT, 0)
        return model.module.even_depth.clone()

    start = learn()
    assert torch.equal(learn(), start)
    parts = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    assert {name for name, part in parts.items() if not torch.equal(learn(part), start)} == reads


def test_cells_that_lack_a_modality_take_no_part(saved, make_mdata):
    model = scmomer.load(saved)
    cells = read_cells(make_mdata(missing={"rna": 0.3, "atac": 0.3}), model.spec)
    fit_shrinkage(model.module, cells, SPLIT, 0)
    start = model.module.even_depth.clone()
    assert start.isfinite().all() and (start > 0).all()
    lacking = np.flatnonzero(~cells.paired)
    fit_shrinkage(model.module, scrambled(cells, lacking), SPLIT, 0)
    assert torch.equal(model.module.even_depth, start)
