"""Synergy written to a container."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scmomer

pytest.importorskip("rdkit")

KEY = "scmomer_drug_synergy"


@pytest.fixture(scope="module")
def lines() -> AnnData:
    rng = np.random.default_rng(0)
    names = [f"line {i}" for i in range(4)]
    genes = pd.DataFrame(index=[f"gene {i}" for i in range(10)])
    return AnnData(
        rng.poisson(20.0, (4, 10)).astype(float), obs=pd.DataFrame(index=names), var=genes
    )


@pytest.fixture(scope="module")
def model(lines) -> scmomer.DrugSynergyModel:
    rng = np.random.default_rng(0)
    a, b = np.triu_indices(5, 1)
    pair, line = np.divmod(np.arange(len(a) * 4), 4)
    table = pd.DataFrame(
        {
            "drug_a": [f"drug {i}" for i in a[pair]],
            "drug_b": [f"drug {i}" for i in b[pair]],
            "cell_line": [f"line {i}" for i in line],
            "synergy": rng.normal(scale=20, size=len(pair)),
        }
    )
    smiles = ["CCO", "c1ccccc1", "CCN", "CC(=O)O", "c1ccncc1"]
    drugs = pd.Series(smiles, index=[f"drug {i}" for i in range(5)])
    options = {"n_members": 1, "max_epochs": 1, "hidden": 8}
    return scmomer.DrugSynergyModel(**options).fit(table, lines, drugs, new="lines")


def test_table_in_uns(lines, model):
    own = lines.copy()
    assert scmomer.tl.drug_synergy(own, model) is None
    expected = model.predict(None, lines)
    found = own.uns[KEY]
    assert len(found) == 10 * 4
    assert found.reset_index(drop=True).equals(expected)
    note = own.uns["scmomer"]["drug_synergy"]
    assert note["params"]["n_rows"] == 40 and note["params"]["weight"] == model.weight_
    assert "model_id" not in note


def test_pairs_threshold_and_key(lines, model):
    own = lines[:2].copy()
    pairs = [("drug 0", "drug 1")]
    scmomer.tl.drug_synergy(own, model, pairs, key_added="mine", threshold=0.0)
    expected = model.predict(pairs, own, threshold=0.0)
    assert own.uns["mine"]["probability"].tolist() == expected["probability"].tolist()
    assert KEY not in own.uns


def test_copy_leaves_the_original(lines, model):
    copy = scmomer.tl.drug_synergy(lines, model, [("drug 0", "drug 1")], copy=True)
    assert KEY in copy.uns and not lines.uns


def test_saved_model_and_file(lines, model, tmp_path):
    model.save(tmp_path / "m")
    own = lines.copy()
    scmomer.tl.drug_synergy(own, tmp_path / "m")
    own.write_h5ad(tmp_path / "lines.h5ad")
    again = anndata.read_h5ad(tmp_path / "lines.h5ad").uns[KEY]
    assert np.array_equal(again["synergy"], own.uns[KEY]["synergy"])
    assert again["drug_a"].astype(str).tolist() == own.uns[KEY]["drug_a"].tolist()


def test_new_drugs(lines, model):
    own = lines.copy()
    with pytest.warns(UserWarning, match="rows are of new drugs"):
        scmomer.tl.drug_synergy(own, model, [("drug 0", "x")], drugs={"x": "CCCCCC"})
    assert (own.uns[KEY]["new"] == "drugs").all()


def test_zscores_are_standardized_within_the_query(lines, model):
    z = (lines.X - lines.X.mean(0)) / lines.X.std(0)
    own = AnnData(z, obs=lines.obs, var=lines.var)
    with pytest.warns(UserWarning, match="standardized within these cells"):
        scmomer.tl.drug_synergy(own, model, profile="zscore")
    with pytest.raises(ValueError, match="Pass standardize='query'"):
        scmomer.tl.drug_synergy(own, model, profile="zscore", standardize="training")


def test_what_is_no_model(lines, refuses):
    with refuses(TypeError, "Expected a DrugSynergyModel", "int", "fit(synergy, cells, drugs)"):
        scmomer.tl.drug_synergy(lines, 3)
    with pytest.raises(RuntimeError, match="not fitted"):
        scmomer.tl.drug_synergy(lines, scmomer.DrugSynergyModel())


@pytest.mark.parametrize("key", [3, "a/b", "", None])
def test_keys_that_files_cannot_store(lines, model, refuses, key):
    own = lines.copy()
    with refuses(ValueError, "key_added as text without '/'", repr(key), "Pass another key"):
        scmomer.tl.drug_synergy(own, model, key_added=key)
    assert not own.uns


def test_smiles_that_cannot_be_read(lines, model):
    drugs = {"x": "CCCCCC", "bad": "C1CC"}
    with pytest.raises(ValueError, match="on_invalid='skip'"):
        scmomer.tl.drug_synergy(lines.copy(), model, [("drug 0", "x")], drugs=drugs)
    own = lines.copy()
    with pytest.warns(UserWarning, match="1 of 2 drugs"):
        scmomer.tl.drug_synergy(own, model, [("drug 0", "x")], drugs=drugs, on_invalid="skip")
    assert len(own.uns[KEY]) == 4
