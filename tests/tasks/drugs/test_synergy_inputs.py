"""Features of drugs and lines: scales of training only, and features of others as a control."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs._synergy_cells import Standardizer
from scmomer.tasks.drugs._synergy_inputs import Subjects, SynergyInputs


@pytest.fixture
def subjects() -> Subjects:
    rng = np.random.default_rng(0)
    block = pd.DataFrame(rng.normal(3, 2, (6, 5)), index=[f"line {i}" for i in range(6)])
    block.iloc[4] = np.nan
    return Subjects(
        smiles=np.array(["C", "CC", "CCC", "CCCC"], dtype=object),
        fingerprints=rng.integers(0, 2, (4, 32)).astype(np.uint8),
        drug_ids=np.arange(4),
        cell_ids=np.arange(6),
        blocks={"expression": block},
    )


def rows_of(drugs, lines) -> np.ndarray:
    a, b = np.triu_indices(len(drugs), 1)
    n = len(a)
    d = np.array(drugs)
    parts = [np.tile(d[a], len(lines)), np.tile(d[b], len(lines)), np.repeat(lines, n)]
    return np.stack(parts, axis=1)


def test_scales_are_those_of_training(subjects):
    rows = rows_of([0, 1, 2], [0, 1, 2])
    inputs = SynergyInputs.fit(subjects, rows, "fingerprint")
    changed = {k: v.copy() for k, v in subjects.blocks.items()}
    changed["expression"].iloc[5] += 100
    prints = subjects.fingerprints.copy()
    prints[3] = 1 - prints[3]
    other = Subjects(**{**vars(subjects), "blocks": changed, "fingerprints": prints})
    again = SynergyInputs.fit(other, rows, "fingerprint")
    assert np.array_equal(inputs.bits, again.bits) and inputs.drug_scale == again.drug_scale
    one, two = (x.standardizers["expression"] for x in (inputs, again))
    assert np.array_equal(one.mean, two.mean) and np.array_equal(one.scale, two.scale)
    shared = subjects.fingerprints[:3].sum(0) >= 2
    assert np.array_equal(inputs.bits, np.flatnonzero(shared))


def test_lines_without_features_are_the_mean(subjects):
    inputs = SynergyInputs.fit(subjects, rows_of([0, 1, 2, 3], range(6)), "fingerprint")
    features = inputs.cell_features(subjects.blocks)
    assert not features[4].any() and features[[0, 1, 2, 3, 5]].any(axis=1).all()
    known = features[[0, 1, 2, 3, 5]]
    assert np.allclose(known.mean(0), 0, atol=1e-6)
    assert np.square(known).sum(1).mean() == pytest.approx(9.0, rel=1e-5)


def test_ids_are_those_that_training_had(subjects):
    rows = rows_of([0, 2], [1, 3])
    inputs = SynergyInputs.fit(subjects, rows, "none")
    found = inputs.entities(subjects, (np.unique(rows[:, :2]), np.unique(rows[:, 2])))
    assert found.drug_ids.tolist() == [0, -1, 2, -1]
    assert found.cell_ids.tolist() == [-1, 1, -1, 3, -1, -1]
    assert found.drugs.shape == (4, 0) and found.cells.shape == (6, 5)


@pytest.mark.parametrize("seed", range(5))
def test_permuted_features_are_those_of_another(subjects, seed):
    cells = subjects.with_permuted("cells", seed)
    before, after = (s.blocks["expression"].to_numpy() for s in (subjects, cells))
    assert np.isnan(after[4]).all()
    kept = [0, 1, 2, 3, 5]
    assert not (before[kept] == after[kept]).any()
    assert np.allclose(np.sort(before[kept], 0), np.sort(after[kept], 0))
    assert cells.blocks["expression"].index.equals(subjects.blocks["expression"].index)
    assert np.array_equal(cells.fingerprints, subjects.fingerprints)
    drugs = subjects.with_permuted("drugs", seed)
    assert not (drugs.smiles == subjects.smiles).any()
    assert sorted(drugs.smiles) == sorted(subjects.smiles)
    at = [subjects.smiles.tolist().index(s) for s in drugs.smiles]
    assert np.array_equal(drugs.fingerprints, subjects.fingerprints[at])
    assert drugs.blocks is subjects.blocks


def test_constant_features_and_outliers(refuses):
    x = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [5.0, 5.0, 5.0]})
    scale = Standardizer.fit(x, "expression")
    assert (scale(x)[:, 1] == 0).all()
    far = scale(pd.DataFrame({"a": [1e6], "b": [7.0]}))
    assert far.tolist() == [[30.0, 0.0]]
    assert scale(pd.DataFrame({"a": [np.nan], "b": [1.0]})).tolist() == [[0.0, 0.0]]
    with refuses(ValueError, "embedding that differs", "2 constant features in 1 lines"):
        Standardizer.fit(x[:1], "embedding")
