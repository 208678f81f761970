"""PerturbationModel: what it predicts, says and stores."""

import json

import numpy as np
import pandas as pd
import pytest

import scmomer
from scmomer import PerturbationModel


def _r(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def test_a_new_gene_does_as_its_family(fitted_screen, family_screen):
    found = fitted_screen.predict(["P04", "P00", "P04+P14", "P00+P11", "unknown"])
    change = found.to_df("change")
    truth = family_screen.effects
    assert _r(change.loc["P04"], truth.loc["P04"]) > 0.7
    assert _r(change.loc["P00+P11"], truth.loc["P00"] + truth.loc["P11"]) > 0.8
    assert found.obs["status"].tolist() == [
        "unseen_single",
        "seen",
        "combo_seen1",
        "combo_seen2",
        "out_of_graph",
    ]
    assert found.obs.loc["P00", "method"] == "observed"
    assert found.obs.loc["P04", "method"] == fitted_screen.methods_["single"]
    control = found.X - found.layers["change"]
    np.testing.assert_allclose(control, np.tile(control[0], (5, 1)), atol=1e-6)
    assert (found.layers["std"] > 0).all()


def test_unknown_parts_warn(fitted_screen):
    with pytest.warns(
        UserWarning, match=r"1 perturbations have parts that are in no gene set.*nope"
    ):
        fitted_screen.predict(["nope"])


def test_validation_says_what_was_chosen(fitted_screen):
    table = fitted_screen.validation_
    assert set(table["kind"]) == {"single", "combination"}
    chosen = table[table["chosen"]].set_index("kind")["method"].to_dict()
    assert chosen == fitted_screen.methods_
    by = table[table["kind"] == "single"].set_index("method")
    assert by.loc["kernel", "correlation"] > by.loc["mean", "correlation"] + 0.2
    assert by.loc["kernel", "error"] < by.loc["mean", "error"]


def test_standard_deviations_cover(family_screen):
    screen = family_screen
    hits = []
    for gene in ("P00", "P11", "P22"):
        kept = ~screen.cells.obs["gene"].str.contains(gene)
        model = PerturbationModel(gene_sets=screen.gene_sets, network=False)
        found = model.fit(screen.cells[kept].copy(), perturbation_key="gene").predict(gene)
        whole = PerturbationModel(network=False).fit(screen.cells, perturbation_key="gene")
        truth = whole.predict(gene).layers["change"]
        hits.append(np.abs(found.layers["change"] - truth) < 1.645 * found.layers["std"])
    assert 0.75 < np.mean(hits) < 0.99


def test_order_and_spelling_of_parts(fitted_screen):
    one, other = (fitted_screen.predict([p]) for p in ("P01+P10", ("P10", "P01")))
    assert one.obs_names.tolist() == other.obs_names.tolist() == ["P01+P10"]
    np.testing.assert_array_equal(one.X, other.X)


def test_new_types_follow_similar_ones(typed_screen):
    screen = typed_screen
    kept = screen.cells[screen.cells.obs["type"] != "B"].copy()
    model = PerturbationModel(network=False).fit(kept, perturbation_key="gene", groupby="type")
    new = screen.cells[(screen.cells.obs["type"] == "B") & (screen.cells.obs["gene"] == "ctrl")]
    found = model.predict(["P00"], control_cells=new, groupby="type")
    assert found.obs.loc["P00 in B", ["status", "group_seen", "method"]].tolist() == [
        "seen",
        False,
        "other groups",
    ]
    assert _r(found.layers["change"], screen.effects.loc["P00"]) > 0.7
    every = model.predict(["P00"])
    assert every.obs["group"].tolist() == ["A", "C"]
    with pytest.raises(ValueError, match=r"Expected groups among \['A', 'C'\], found \['B'\]"):
        model.predict(["P00"], groups=["B"])


@pytest.mark.parametrize("method", ["kernel", "mean", "additive", "network"])
def test_methods(family_screen, method):
    screen = family_screen
    model = PerturbationModel(gene_sets=screen.gene_sets, method=method, epochs=2)
    model.fit(screen.cells, perturbation_key="gene", batch_key="rep")
    found = model.predict(["P00+P11", "new"])
    assert found.obs["method"].tolist() == [method, method]
    assert np.isfinite(found.X).all()


def test_auto_tries_the_network_and_repeats(family_screen):
    screen = family_screen
    options = {"gene_embeddings": screen.embeddings, "epochs": 2}
    models = [PerturbationModel(**options).fit(screen.cells, perturbation_key="gene") for _ in "ab"]
    pd.testing.assert_frame_equal(models[0].validation_, models[1].validation_)
    assert "network" in set(models[0].validation_["method"])


def test_save_and_load(fitted_screen, tmp_path):
    path = tmp_path / "screen.perturbation"
    fitted_screen.save(path)
    again = PerturbationModel.load(path)
    wanted = ["P04", "P00+P11"]
    np.testing.assert_array_equal(again.predict(wanted).X, fitted_screen.predict(wanted).X)
    pd.testing.assert_frame_equal(again.validation_, fitted_screen.validation_)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        fitted_screen.save(path)
    file = path / "perturbation.json"
    meta = json.loads(file.read_text())
    meta["genes"] = meta["genes"][:-1]
    file.write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="does not have the length"):
        PerturbationModel.load(path)


def test_save_and_load_a_network(family_screen, tmp_path):
    screen = family_screen
    model = PerturbationModel(gene_embeddings=screen.embeddings, method="network", epochs=1)
    model.fit(screen.cells, perturbation_key="gene").save(tmp_path / "n")
    again = PerturbationModel.load(tmp_path / "n")
    np.testing.assert_array_equal(again.predict("P00+P11").X, model.predict("P00+P11").X)


def test_another_embedding_model_is_refused(family_screen, tmp_path, trained):
    screen = family_screen
    model = PerturbationModel(trained, gene_embeddings=None, network=False)
    model.fit(screen.cells, perturbation_key="gene").save(tmp_path / "m")
    with pytest.raises(ValueError, match=f"Expected {trained.id}.*found none. Pass it"):
        PerturbationModel.load(tmp_path / "m")
    assert PerturbationModel.load(tmp_path / "m", trained).fitted_.model_id == trained.id


def test_one_perturbation(family_screen):
    cells = family_screen.cells
    cells = cells[cells.obs["gene"].isin(["ctrl", "P00"])].copy()
    with pytest.warns(UserWarning, match="There is one perturbation, 'P00'"):
        model = PerturbationModel(network=False).fit(cells, perturbation_key="gene")
    with pytest.warns(UserWarning, match="in no gene set"):
        found = model.predict(["P00", "P01"])
    np.testing.assert_allclose(*found.layers["change"], rtol=1e-5)


def test_one_cell_of_each(family_screen):
    cells = family_screen.cells
    first = ~cells.obs["gene"].duplicated() | (cells.obs["gene"] == "ctrl")
    model = PerturbationModel(gene_sets=family_screen.gene_sets, network=False)
    found = model.fit(cells[first].copy(), perturbation_key="gene").predict("P00+P11")
    assert np.isfinite(found.layers["std"]).all()


def test_errors(family_screen, fitted_screen):
    cells = family_screen.cells
    with pytest.raises(RuntimeError, match="before fit"):
        PerturbationModel().predict("A")
    with pytest.raises(ValueError, match="Expected method among .*found 'best'"):
        PerturbationModel(method="best")
    with pytest.raises(ValueError, match="Expected gene_embeddings 'model', a table, or None"):
        PerturbationModel(gene_embeddings="gene2vec")
    with pytest.raises(ValueError, match="Expected perturbation_key="):
        PerturbationModel().fit(cells)
    with pytest.raises(ValueError, match="Expected perturbations, found none"):
        fitted_screen.predict([])
    with pytest.raises(ValueError, match="Expected a model with a network"):
        fitted_screen.predict("P04", method="network")
    other = cells[:5].copy()
    other.var_names = [f"X{i}" for i in range(other.n_vars)]
    with pytest.raises(ValueError, match=r"at least half of the 40 training genes.*found 0%"):
        fitted_screen.predict("P04", control_cells=other)


def test_exported():
    assert scmomer.PerturbationModel is PerturbationModel
