"""The model of synergy: from tables of users to predictions, files and scores."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scmomer
from scmomer.tasks.drugs import read_synergy

pytest.importorskip("rdkit")

SMALL = {"n_members": 2, "max_epochs": 2, "hidden": 16, "width_drug": 8, "width_cell": 8}


def made(**options) -> scmomer.DrugSynergyModel:
    return scmomer.DrugSynergyModel(**{**SMALL, **options})


@pytest.fixture
def model(synergy, lines, smiles) -> scmomer.DrugSynergyModel:
    return made().fit(synergy, lines, smiles)


# -- prediction


def test_all_pairs_in_all_lines(model, synergy):
    found = model.predict()
    assert len(found) == 28 * 6
    names = ["drug_a", "drug_b", "cell_line", "synergy", "std", "probability", "new"]
    assert list(found) == names
    assert np.isfinite(found[["synergy", "std", "probability"]]).all(axis=None)
    assert (found["std"] > 0).all() and found["probability"].between(0, 1).all()
    assert (found["new"] == "").all()
    assert set(found["cell_line"]) == set(synergy["cell_line"])


def test_drugs_can_change_places(model):
    one = model.predict()
    order = one[["drug_b", "drug_a", "cell_line"]].set_axis(
        ["drug_a", "drug_b", "cell_line"], axis=1
    )
    other = model.predict(order)
    for column in ("synergy", "std", "probability"):
        assert np.array_equal(one[column], other[column])


def test_a_table_that_was_read_before(synergy, lines, smiles, model):
    assert made().fit(read_synergy(synergy), lines, smiles).predict().equals(model.predict())


def test_forms_of_pairs(model):
    table = pd.DataFrame({"Drug A": ["drug 3"], "Drug B": ["drug 1"], "Cell line": ["LINE-2"]})
    in_line = model.predict(table)
    assert in_line[["drug_a", "drug_b", "cell_line"]].to_numpy().tolist() == [
        ["drug 3", "drug 1", "LINE-2"]
    ]
    in_all = model.predict([("drug 3", "drug 1")])
    assert in_all["cell_line"].tolist() == [f"line {i}" for i in range(6)]
    three = model.predict([("drug 1", "DRUG-3", "line 2")])
    # Sums of other rows beside it differ in the last bits.
    expected = pytest.approx(in_line["synergy"].item(), abs=1e-4)
    assert three["synergy"].item() == expected and in_all["synergy"][2] == expected


def test_threshold_moves_probabilities_only(model):
    low, high = model.predict(threshold=0.0), model.predict(threshold=30.0)
    assert (low["probability"] > high["probability"]).all()
    assert low["synergy"].equals(high["synergy"])


def test_a_fit_repeats_with_its_seed(synergy, lines, smiles, model, seed):
    with seed(0):
        assert made().fit(synergy, lines, smiles).predict().equals(model.predict())
    with seed(1):
        assert not made().fit(synergy, lines, smiles).predict().equals(model.predict())


def test_profiles_of_training_lines_can_be_passed_again(model, lines):
    again = model.predict(None, lines[::-1].copy())
    assert len(again) == 28 * 5
    both = again.merge(model.predict(), on=["drug_a", "drug_b", "cell_line"])
    assert np.allclose(both["synergy_x"], both["synergy_y"], atol=1e-4)


def test_new_lines_and_drugs(synergy, lines, smiles, caplog):
    model = made().fit(synergy, lines, smiles, new="lines")
    cell = AnnData(
        lines.X[:2] + np.eye(2, 30) * 9, obs=pd.DataFrame(index=["a", "b"]), var=lines.var
    )
    found = model.predict([("drug 0", "drug 1")], cell)
    assert found["cell_line"].tolist() == ["a", "b"] and (found["new"] == "lines").all()
    named = model.predict([("drug 0", "drug 1", "b"), ("drug 0", "drug 1", "line 5")], cell)
    assert named["new"].tolist() == ["lines", ""]
    assert named["synergy"][0] == pytest.approx(found["synergy"][1], abs=1e-5)
    with pytest.warns(UserWarning, match=r"2 of 2 rows are of new drugs.*Fit with new='drugs'"):
        found = model.predict([("drug 0", "other")], cell, {"other": "CCCCCN"})
    assert (found["new"] == "drugs, lines").all()


def test_a_molecule_of_training_is_known_by_any_name(model, smiles):
    renamed = {"aspirin": smiles["drug 1"], "drug 0": smiles["drug 0"]}
    found = model.predict([("drug 0", "aspirin")], drugs=renamed)
    assert (found["new"] == "").all()
    assert found["synergy"].equals(model.predict([("drug 0", "drug 1")])["synergy"])


def test_absent_genes_are_counted(model, lines, caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        found = model.predict(None, lines[:, :20].copy())
    assert "10 of 30 genes are not in these cells" in caplog.text
    assert np.isfinite(found["synergy"]).all()
    with pytest.raises(ValueError, match=r"at least half of the 30 genes.*found 10"):
        model.predict(None, lines[:, :10].copy())


# -- profiles of another kind than in training


@pytest.fixture
def log_normalized(lines) -> AnnData:
    x = np.log1p(lines.X / lines.X.sum(1, keepdims=True) * 1e4)
    return AnnData(x, obs=lines.obs, var=lines.var)


def zscored(cells: AnnData) -> AnnData:
    x = (cells.X - cells.X.mean(0)) / cells.X.std(0)
    return AnnData(x, obs=cells.obs, var=cells.var)


def test_zscores_of_the_training_lines_are_these_lines(synergy, log_normalized, smiles, refuses):
    """The mean and spread of the training lines are those of their z-scores."""
    cells = log_normalized
    model = made().fit(synergy, cells, smiles, profile="normalized")
    z = zscored(cells)
    with pytest.warns(UserWarning, match=r"standardized within these cells"):
        found = model.predict(None, z, profile="zscore")
    # Rescaled to log2(1 + x), then standardized: as the values themselves.
    assert np.allclose(found["synergy"], model.predict(None, cells)["synergy"], atol=1e-3)
    with refuses(ValueError, "profile='normalized'", "'zscore'", "Pass standardize='query'"):
        model.predict(None, z, profile="zscore", standardize="training")
    with refuses(ValueError, "standardize of 'training', 'query' or None", "'mine'"):
        model.predict(None, z, standardize="mine")


def test_other_values_into_a_model_of_zscores(synergy, log_normalized, smiles):
    cells = log_normalized
    z = zscored(cells)
    model = made().fit(synergy, z, smiles, profile="zscore")
    with pytest.warns(UserWarning, match=r"standardized within these cells"):
        found = model.predict(None, cells, profile="normalized")
    assert np.allclose(found["synergy"], model.predict(None, z)["synergy"], atol=1e-3)
    # A shift of all z-scores does not matter within these cells.
    shifted = AnnData(z.X + 0.5, obs=z.obs, var=z.var)
    with pytest.warns(UserWarning, match=r"standardized within these cells"):
        found = model.predict(None, shifted, standardize="query")
    assert np.allclose(found["synergy"], model.predict(None, z)["synergy"], atol=1e-3)


# -- training


def test_lines_and_drugs_without_features_are_counted(synergy, lines, smiles, caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        with pytest.warns(UserWarning, match=r"1 of 8 drugs of synergy have no SMILES.*drug 7"):
            made().fit(synergy, lines, smiles[:-1])
    assert "1 of 6 cell lines of synergy have no features" in caplog.text


def test_profile_and_layer(synergy, lines, smiles, model):
    """Counts, their logarithms, and either in a layer are the same profile."""
    share = lines.X / lines.X.sum(1, keepdims=True)
    other = AnnData(np.log1p(share * 1e4), obs=lines.obs, var=lines.var)
    normalized = made().fit(synergy, other, smiles, profile="normalized")
    expected = model.predict()["synergy"]
    assert np.allclose(normalized.predict()["synergy"], expected, atol=0.01)
    assert normalized.fitted_.reader.profile == "normalized"
    again = normalized.predict(None, other).merge(
        normalized.predict(None, lines, profile="counts"), on=["drug_a", "drug_b", "cell_line"]
    )
    assert np.allclose(again["synergy_x"], again["synergy_y"], atol=0.01)
    other.layers["counts"] = lines.X
    layer = made().fit(synergy, other, smiles, layer="counts")
    assert layer.predict().equals(model.predict())


def test_names_of_one_molecule_are_one_drug(synergy, lines, smiles):
    double = pd.concat([smiles, pd.Series({"other 1": smiles["drug 1"]})])
    renamed = synergy.drop(columns="fold")
    renamed.loc[renamed.index % 3 == 0, "drug_b"] = renamed["drug_b"].replace("drug 1", "other 1")
    model = made().fit(renamed, lines, double)
    assert len(model.fitted_.drugs) == 8


def test_names_of_one_molecule_are_one_drug_in_a_table_that_was_read(synergy, lines, smiles):
    """As in the DataFrame, so that folds cannot have one molecule on both sides."""
    double = pd.concat([smiles, pd.Series({"other 1": smiles["drug 1"]})])
    renamed = synergy.copy()
    renamed.loc[renamed.index % 3 == 0, "drug_b"] = renamed["drug_b"].replace("drug 1", "other 1")
    table = read_synergy(renamed)
    assert "other 1" in table.drugs
    expected = made().fit(renamed, lines, double)
    model = made().fit(table, lines, double)
    assert model.fitted_.drugs.tolist() == expected.fitted_.drugs.tolist()
    assert "other 1" not in model.fitted_.drugs
    assert model.predict().equals(expected.predict())
    scores = [made().evaluate(t, lines, double, methods=["scmomer"]) for t in (table, renamed)]
    assert scores[0].equals(scores[1])


def test_a_drug_with_itself_by_another_name(model, smiles, refuses, caplog):
    with refuses(ValueError, "two names of one drug", "'drug 1' and 'DRUG-1'", "Drop these"):
        model.predict([("drug 0", "drug 2", "line 0"), ("drug 1", "DRUG-1", "line 0")])
    for other in ("mine", "drug 0"):
        drugs = {"mine": smiles["drug 0"], other: smiles["drug 0"], "x": "CCCCCCN"}
        with refuses(ValueError, "1 rows of two names of one drug", "'drug 0' and 'mine'"):
            model.predict([("drug 0", "mine", "line 0")], drugs=drugs)
    new = {"one": "CCCCCCN", "two": "NCCCCCC", "three": "CCCCCCS"}
    with refuses(ValueError, "6 rows of two names of one drug", "'one' and 'two'"):
        model.predict([("one", "two")], drugs=new)
    with caplog.at_level("INFO", logger="scmomer"), pytest.warns(UserWarning, match="new drugs"):
        found = model.predict(drugs=new)
    assert "6 rows of two names of one drug ('one' and 'two') are left out" in caplog.text
    assert len(found) == 2 * 6 and (found["drug_b"] == "three").all()
    assert found.index.equals(pd.RangeIndex(12))


def test_noise_is_left_to_the_naive_prediction(synergy, lines, smiles, caplog, monkeypatch):
    """Where networks are worse on held-out rows, predictions are the naive ones, and say so."""
    from scmomer.tasks.drugs.synergy import _fit as _synergy_fit

    monkeypatch.setattr(_synergy_fit, "best_weight", lambda *_: 0.0)
    with caplog.at_level("INFO", logger="scmomer"):
        model = made().fit(synergy, lines, smiles)
    assert "Networks are no better than the naive prediction on held-out pairs" in caplog.text
    found = model.predict()
    table = read_synergy(synergy)
    at = [table.drugs.get_indexer(found[c]) for c in ("drug_a", "drug_b")]
    rows = np.stack([*at, table.lines.get_indexer(found["cell_line"])], axis=1)
    assert np.allclose(found["synergy"], model.fitted_.naive.predict(rows))


def test_weight_is_that_of_least_squares():
    from scmomer.tasks.drugs.synergy._fit import best_weight

    rng = np.random.default_rng(0)
    naive, networks = rng.normal(size=(2, 50))
    assert best_weight(0.7 * naive + 0.3 * networks, naive, networks) == pytest.approx(0.3)
    assert best_weight(2 * naive - networks, naive, networks) == 0
    assert best_weight(2 * networks - naive, naive, networks) == 1
    assert best_weight(naive, naive, naive) == 0


def test_validation_table(model):
    found = model.validation_
    assert list(found.index) == ["naive", "networks", "mixed"]
    assert found.loc["mixed", "rmse"] <= found["rmse"].min() + 1e-9
    assert 0 <= model.weight_ <= 1


# -- evaluation


@pytest.fixture(scope="module")
def world() -> tuple[pd.DataFrame, AnnData, pd.Series]:
    """Pairs of 6 drugs in 40 lines, z-scored; synergy is that of a gene, and stronger in some pairs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    a, b = np.triu_indices(6, 1)
    strength = rng.uniform(10, 30, len(a))
    pair, line = np.divmod(np.arange(len(a) * 40), 40)
    table = pd.DataFrame(
        {
            "drug_a": [f"drug {i}" for i in a[pair]],
            "drug_b": [f"drug {i}" for i in b[pair]],
            "cell_line": [f"line {i}" for i in line],
            "synergy": strength[pair] * x[line, 0] + rng.normal(size=len(pair)),
        }
    )
    lines = AnnData(x, obs=pd.DataFrame(index=[f"line {i}" for i in range(40)]))
    drugs = ["CCO", "c1ccccc1", "CCN", "CC(=O)O", "c1ccncc1", "CCCCl"]
    return table, lines, pd.Series(drugs, index=[f"drug {i}" for i in range(6)])


def test_permuted_features_lose(world):
    """Profiles tell about new lines; exchanged ones do not, and the naive prediction cannot."""
    options = {"max_epochs": 15, "batch_size": 64, "lr": 0.01, "dropout": 0.0, "input_dropout": 0.0}
    found = made(**options, n_members=1).evaluate(
        *world, split="lines", n_folds=2, profile="zscore"
    )
    assert set(found["method"]) == {
        *("mean", "additive", "pairs", "interactions", "networks", "scmomer"),
        *("permuted cells", "permuted drugs"),
    }
    r = found.groupby("method")["pearson"].mean()
    assert r["scmomer"] > 0.7 and r["permuted cells"] < 0.4 and r["interactions"] < 0.4
    assert found.groupby("method").size().eq(2).all()
    ours = found[found["method"] == "scmomer"]
    assert ours["coverage"].between(0, 1).all() and ours["weight"].gt(0.5).all()


def test_test_rows_do_not_influence_the_fit(synergy, lines, smiles):
    """Other values of the rows of fold 0 change the scores of fold 0, and no prediction for it."""
    table = synergy.copy()
    table.loc[table["fold"] == 0, "synergy"] *= -1
    options = {"split": "given", "methods": ["scmomer"]}
    one, other = (made().evaluate(t, lines, smiles, **options) for t in (synergy, table))
    for method in ("scmomer", "networks", "interactions", "additive"):
        x, y = (t[(t["method"] == method) & (t["fold"] == 0)].iloc[0] for t in (one, other))
        assert x["weight"] == y["weight"]
        # r of -y is -r.
        assert x["pearson"] == pytest.approx(-y["pearson"], abs=1e-6)


def test_evaluation_is_tidy(synergy, lines, smiles):
    model = made(n_members=1, max_epochs=1)
    found = model.evaluate(synergy, lines, smiles, seeds=(0, 1), methods=["scmomer"])
    assert len(found) == 6 * 5 * 2
    assert not found.duplicated(["split", "method", "fold", "seed"]).any()
    with pytest.raises(RuntimeError, match="not fitted"):
        model.predict()
    drugs = model.evaluate(synergy, lines, smiles, split="drugs", n_folds=4, methods=["scmomer"])
    assert (drugs["split"] == "drugs").all() and len(drugs) == 4 * 6


# -- embedding


def test_embedding_of_a_model(synergy, smiles, trained_rna, trained, mdata, tmp_path, refuses):
    cells = mdata["rna"][:6].copy()
    cells.obs_names = [f"line {i}" for i in range(6)]
    model = made(embedding_model=trained_rna).fit(synergy, cells, smiles)
    sizes = {name: len(s.mean) for name, s in model.fitted_.ensemble.inputs.standardizers.items()}
    assert sizes == {"expression": cells.n_vars, "embedding": 8}
    assert np.allclose(model.predict(cells=cells)["synergy"], model.predict()["synergy"], atol=1e-4)
    with pytest.warns(UserWarning, match="standardized within these cells"):
        within = model.predict(cells=cells, standardize="query")
    # These cells are the training lines, whose mean and spread are those of training.
    assert np.allclose(within["synergy"], model.predict()["synergy"], atol=1e-3)
    alone = made(embedding_model=trained_rna, cell_inputs="embedding").fit(synergy, cells, smiles)
    assert [*alone.fitted_.ensemble.inputs.standardizers] == ["embedding"]
    assert not np.allclose(alone.predict()["synergy"], model.predict()["synergy"])
    model.save(tmp_path / "m")
    again = scmomer.DrugSynergyModel.load(tmp_path / "m", trained_rna)
    assert again.predict().equals(model.predict())
    assert again.predict(cells=cells).equals(model.predict(cells=cells))
    with refuses(ValueError, trained_rna.id, trained.id, "Load that one"):
        scmomer.DrugSynergyModel.load(tmp_path / "m", trained)
    with refuses(ValueError, trained_rna.id, "found none", "Pass embedding_model="):
        scmomer.DrugSynergyModel.load(tmp_path / "m")


# -- files


@pytest.mark.parametrize("inputs", ["fingerprint", "graph", "none"])
def test_files(synergy, lines, smiles, tmp_path, inputs):
    if inputs == "graph":
        pytest.importorskip("torch_geometric")
    model = made(drug_inputs=inputs).fit(synergy, lines, smiles, new="lines")
    model.save(tmp_path / "m")
    again = scmomer.DrugSynergyModel.load(tmp_path / "m")
    assert again.predict().equals(model.predict())
    cell = AnnData(
        lines.X[:2] + np.eye(2, 30) * 9, obs=pd.DataFrame(index=["a", "b"]), var=lines.var
    )
    assert again.predict(None, cell).equals(model.predict(None, cell))
    assert again.validation_.equals(model.validation_)
    assert again.config == model.config
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", overwrite=True)


def test_damaged_files(model, tmp_path, refuses):
    path = tmp_path / "m"
    model.save(path)
    meta = json.loads((path / "drug_synergy.json").read_text())
    del meta["drugs"]
    (path / "drug_synergy.json").write_text(json.dumps(meta))
    with refuses(ValueError, "drug_synergy.json", "damage", "Save the drug_synergy again"):
        scmomer.DrugSynergyModel.load(path)
    with pytest.raises(FileNotFoundError):
        scmomer.DrugSynergyModel.load(tmp_path / "nothing")


# -- bad input


def test_options(refuses, trained_rna):
    with refuses(ValueError, "cell_inputs='both' or 'embedding'", "found 'expression'"):
        scmomer.DrugSynergyModel(trained_rna, cell_inputs="expression")
    with refuses(ValueError, "n_members", "0"):
        scmomer.DrugSynergyModel(n_members=0)
    with refuses(ValueError, "Expected options among", "['n_member']"):
        scmomer.DrugSynergyModel(n_member=2)
    with refuses(ValueError, "cell_inputs= one of", "'all'"):
        scmomer.DrugSynergyModel(cell_inputs="all")
    with refuses(ValueError, "drug_inputs= one of", "'smiles'"):
        scmomer.DrugSynergyModel(drug_inputs="smiles")
    with refuses(ValueError, "an embedding_model for cell_inputs='both'", "found none"):
        scmomer.DrugSynergyModel(cell_inputs="both")


def test_unfitted(tmp_path):
    with pytest.raises(RuntimeError, match="not fitted"):
        made().predict()
    with pytest.raises(RuntimeError, match="not fitted"):
        made().save(tmp_path / "m")


def test_smiles_that_cannot_be_read(synergy, lines, smiles, refuses):
    bad = smiles.copy()
    bad["drug 2"], bad["drug 3"] = "C1CC", "None"
    with refuses(ValueError, "2 of 8 drugs", "'drug 2' ('C1CC')", "'drug 3' (missing)"):
        made().fit(synergy, lines, bad)
    with pytest.warns(UserWarning, match="2 of 8 drugs"):
        model = made().fit(synergy, lines, bad, on_invalid="skip")
    assert len(model.fitted_.drugs) == 8

    with refuses(ValueError, "1 of 2 drugs", "on_invalid='skip'"):
        model.predict([("drug 0", "x")], drugs={"x": "CCCCCN", "bad": "C1CC"})
    with pytest.warns(UserWarning, match="1 of 2 drugs"):
        found = model.predict(
            [("drug 0", "x")], drugs={"x": "CCCCCN", "bad": "C1CC"}, on_invalid="skip"
        )
    assert (found["new"] == "drugs").all()


def test_names_that_do_not_match(synergy, lines, smiles, refuses):
    with refuses(ValueError, "Expected SMILES of the drugs of synergy", "'x'"):
        made().fit(synergy, lines, {"x": "CCO"})
    other = lines.copy()
    other.obs_names = [f"ACH-00000{i}" for i in range(5)]
    with refuses(ValueError, "DepMap ids"):
        made().fit(synergy, other, smiles)


def test_profiles_that_cannot_be_read(synergy, lines, smiles, refuses):
    with refuses(TypeError, "Expected cells as an AnnData", "DataFrame"):
        made().fit(synergy, lines.to_df(), smiles)
    with refuses(ValueError, "profile='normalized'"):
        made().fit(synergy, AnnData(lines.X + 0.3, obs=lines.obs, var=lines.var), smiles)
    missing = lines.copy()
    missing.X[1, 3] = np.nan
    with refuses(ValueError, "cells"):
        made().fit(synergy, missing, smiles)
    twice = lines.copy()
    twice.obs_names = ["line 0", "line 0", "line 1", "line 2", "line 3"]
    with refuses(ValueError, "unique names in cells.obs_names", "line 0"):
        made().fit(synergy, twice, smiles)
    with pytest.raises(KeyError, match="raw"):
        made().fit(synergy, lines, smiles, layer="raw")
    constant = AnnData(np.ones((5, 3)), obs=lines.obs)
    with refuses(ValueError, "expression that differs", "3 constant features"):
        made().fit(synergy, constant, smiles)


def test_missing_synergies_are_left_out(synergy, lines, smiles, caplog):
    table = synergy.copy()
    table.loc[:9, "synergy"] = np.nan
    with caplog.at_level("INFO", logger="scmomer"):
        made().fit(table, lines, smiles)
    assert "10 of 168 rows of synergy are left out: 10 with no value" in caplog.text


def test_pairs_that_cannot_be_predicted(model, refuses, lines):
    with refuses(ValueError, "two different drugs", "1 rows", "'drug 1'"):
        model.predict([("drug 1", "drug 1", "line 0")])
    with refuses(ValueError, "Expected drugs of training", "1 others: 'new'", "drugs="):
        model.predict([("drug 1", "new")])
    with refuses(ValueError, "Expected cell lines of training", "1 others: 'new'", "cells="):
        model.predict([("drug 1", "drug 2", "new")])
    with refuses(TypeError, "list of tuples", "'drug 1'"):
        model.predict(["drug 1"])
    with refuses(KeyError, "drug_b", "drug_a"):
        model.predict(pd.DataFrame({"drug_a": ["drug 1"]}))
    with refuses(ValueError, "names in all 1 rows", "1 without"):
        model.predict([("drug 1", None)])
    with refuses(ValueError, "SMILES of training for the drug 'drug 1'", "CCCCC"):
        model.predict([("drug 0", "drug 1")], drugs={"drug 1": "CCCCC"})
    other = AnnData(np.ones((2, 3)), obs=lines.obs[:2])
    with refuses(ValueError, "Expected at least half of the 30 genes", "found 0"):
        model.predict(None, other)


def test_columns_of_other_names(synergy, lines, smiles, model, refuses):
    other = synergy.rename(columns={"drug_a": "d1x"})
    with refuses(KeyError, "Pass its name as drug_a_key=", "tasks.drugs.read_synergy"):
        made().fit(other, lines, smiles)
    with refuses(KeyError, "tasks.drugs.read_synergy"):
        made().evaluate(other, lines, smiles)
    table = scmomer.tasks.drugs.read_synergy(other, drug_a_key="d1x")
    assert made().fit(table, lines, smiles).predict().equals(model.predict())
    pairs = pd.DataFrame({"x": ["drug 1"], "y": ["drug 2"]})
    with refuses(KeyError, "'drug_a' and 'drug_b' in pairs", "['x', 'y']", "pairs.rename(columns="):
        model.predict(pairs)
    assert len(model.predict(pairs.rename(columns={"x": "drug_a", "y": "drug_b"}))) == 6
    with refuses(ValueError, "one column for drug_a in pairs", "Drop all but one"):
        model.predict(pairs.assign(drug_a="drug 1", **{"Drug A": "drug 3"}))


@pytest.mark.parametrize("threshold", ["30", np.nan, None, True])
def test_thresholds_that_are_no_numbers(model, synergy, lines, smiles, refuses, threshold):
    with refuses(ValueError, "threshold to be a finite number", repr(threshold)):
        model.predict(threshold=threshold)
    with refuses(ValueError, "threshold to be a finite number", repr(threshold)):
        model.evaluate(synergy, lines, smiles, threshold=threshold)


def test_options_of_an_evaluation(synergy, lines, smiles, refuses):
    def evaluate(**options):
        made().evaluate(synergy, lines, smiles, **options)

    with refuses(ValueError, "split= one of ['given', 'pairs', 'drugs', 'lines']", "'foo'"):
        evaluate(split="foo")
    with refuses(TypeError, "seeds as a list", "3"):
        evaluate(seeds=3)
    with refuses(ValueError, "0 or more, whole numbers", "['a']"):
        evaluate(seeds=["a"])
    with refuses(ValueError, "methods as a list", "'scmomer'", "methods=['scmomer']"):
        evaluate(methods="scmomer")
    model = made(n_members=1, max_epochs=1)
    found = model.evaluate(synergy, lines, smiles, seeds=np.arange(1), methods=())
    assert set(found["method"]) == {"mean", "additive", "pairs", "interactions"}


def test_methods_that_are_not_there(synergy, lines, smiles, refuses):
    with refuses(ValueError, "methods among ['scmomer'", "['mean']"):
        made().evaluate(synergy, lines, smiles, methods=["mean"])


def test_folds_that_are_not_there(synergy, lines, smiles, refuses):
    with refuses(ValueError, "Expected folds in the table", "split='pairs'"):
        made().evaluate(synergy.drop(columns="fold"), lines, smiles)


def test_a_pair_in_two_folds_is_refused(synergy, lines, smiles, refuses):
    """Else test pairs would occur in training, in the other order."""
    first = synergy.iloc[:1].rename(columns={"drug_a": "drug_b", "drug_b": "drug_a"})
    table = pd.concat([synergy, first.assign(fold=(first["fold"] + 1) % 5)])
    with refuses(ValueError, "in one fold", "1 in several"):
        made().evaluate(table, lines, smiles)


def test_rdkit_is_absent(synergy, lines, smiles, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scmomer\[drug\]'"):
        made().fit(synergy, lines, smiles)


def test_torch_geometric_is_absent(synergy, lines, smiles, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scmomer\[drug\]'"):
        made(drug_inputs="graph").fit(synergy, lines, smiles)
    made().fit(synergy, lines, smiles)
