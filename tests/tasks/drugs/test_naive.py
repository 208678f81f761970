from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs import read_molecules
from scmomer.tasks.drugs._effects import mean_effects, soft_impute
from scmomer.tasks.drugs._naive import naive_predictions

pytest.importorskip("rdkit")

NAN = np.nan
TABLE = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, NAN], [NAN, NAN, NAN], [4.0, 6.0, 8.0]])


def test_means():
    found = naive_predictions(TABLE)
    assert set(found) == {"mean", "drug mean", "line mean", "mean effects", "soft-impute"}
    np.testing.assert_allclose(found["mean"], 30 / 8)
    np.testing.assert_allclose(found["drug mean"], [[2, 4, 6]] * 4)
    expected = np.repeat([[2.0], [3.0], [30 / 8], [6.0]], 3, axis=1)
    np.testing.assert_allclose(found["line mean"], expected)
    # Additive: the gap is filled exactly, and a line without responses is the average line.
    expected = np.array([[0, 2, 4], [2, 4, 6], [2, 4, 6], [4, 6, 8]])
    np.testing.assert_allclose(found["mean effects"], expected, atol=1e-9)
    np.testing.assert_allclose(found["soft-impute"], expected, atol=1e-6)


def test_soft_impute_adds_low_rank(matrix):
    effects = mean_effects(matrix).matrix
    found = naive_predictions(matrix)["soft-impute"]
    np.testing.assert_allclose(found - effects, soft_impute(matrix - effects, 0.135))
    assert np.abs(found - effects).max() > 0.1


def test_tissues():
    tissues = np.array(["skin", "skin", "lung", None], dtype=object)
    found = naive_predictions(TABLE, tissues=tissues)
    np.testing.assert_allclose(found["tissue mean"][:2], 12 / 5)
    np.testing.assert_allclose(found["tissue mean"][2:], 30 / 8)  # unmeasured, and unknown
    np.testing.assert_allclose(found["tissue x drug mean"][:2], [[1, 3, 4]] * 2)
    np.testing.assert_allclose(found["tissue x drug mean"][2:], [[2, 4, 6]] * 2)


def test_other_and_similar_drugs():
    molecules = read_molecules({"a": "CCCCO", "a too": "OCCCC", "b": "CCCCCO", "c": "c1ccccc1Cl"})
    train = np.array([[-1.0, NAN, 1.0, 5.0], [1.0, NAN, -1.0, -5.0]])
    found = naive_predictions(train, molecules=molecules)
    # "a too" is the molecule of "a": a predictor by structure may not read it.
    np.testing.assert_allclose(found["other drugs"][0, 1], 3.0)
    assert 0.99 < found["similar drugs"][0, 1] < 1.1
    np.testing.assert_allclose(found["other drugs"][0, 0], 3.0)
    np.testing.assert_allclose(found["other drugs"][0, 3], 0.0)


def test_ridge_reads_expression_of_new_lines(screen):
    values = screen.values.to_numpy().copy()
    values[60:] = np.nan
    genes = np.asarray(screen.cells.X)
    found = naive_predictions(values, expression=genes)
    truth = screen.truth.to_numpy()[60:]

    def r(name: str) -> float:
        each = [np.corrcoef(found[name][60:, j], truth[:, j])[0, 1] for j in range(12)]
        return float(np.mean(each))

    assert r("ridge") > r("ridge, cell effect") > 0.3
    permuted = naive_predictions(values, expression=genes[::-1])["ridge"]
    assert np.corrcoef(permuted[60:, 0], truth[:, 0])[0, 1] < 0.3
    assert all(np.isfinite(x).all() and x.shape == values.shape for x in found.values())


def test_training_alone_is_read(screen):
    values = screen.values.to_numpy().copy()
    values[60:] = np.nan
    kwargs = {"expression": np.asarray(screen.cells.X), "molecules": read_molecules(screen.drugs)}
    one = naive_predictions(values, **kwargs)
    other = naive_predictions(values.copy(), **kwargs)
    assert all((one[k] == other[k]).all() for k in one)
    new_drug = np.where(np.arange(12) == 3, np.nan, values)
    for name, found in naive_predictions(new_drug, **kwargs).items():
        assert np.isfinite(found).all(), name
