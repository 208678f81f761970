"""PerturbationModel: what it predicts, says and stores."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

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


def test_what_is_asked_for_is_read_or_refused(fitted_screen, refuses):
    for text in ("P00,P01", "P00_P01", "P00|P01", "P00; P01", "P00 P01"):
        with refuses(ValueError, f"found {text!r}", "'P00+P01' for all at once", "['P00', 'P01']"):
            fitted_screen.predict([text])
    with refuses(ValueError, "Expected a perturbation, found None"):
        fitted_screen.predict([None])
    with refuses(ValueError, "Expected method among", "found 'best'"):
        fitted_screen.predict("P04", method="best")
    with refuses(ValueError, "groups to predict, found none"):
        fitted_screen.predict("P04", groups=[])
    with pytest.warns(UserWarning, match="such as '5'"):
        assert fitted_screen.predict(5).obs["perturbation"].tolist() == ["5"]


def test_a_group_may_be_named_alone(typed_screen):
    model = PerturbationModel(network=False)
    model.fit(typed_screen.cells, perturbation_key="gene", groupby="type")
    assert model.predict("P00", groups="A").obs["group"].tolist() == ["A"]


def test_the_control_of_training_is_no_perturbation(family_screen, tmp_path, refuses):
    cells = family_screen.cells.copy()
    cells.obs["gene"] = cells.obs["gene"].astype(str).replace({"ctrl": "AAVS1"})
    model = PerturbationModel(network=False)
    model.fit(cells, perturbation_key="gene", control="AAVS1").save(tmp_path / "m")
    for one in (model, PerturbationModel.load(tmp_path / "m")):
        with refuses(ValueError, "Expected a perturbation, found 'AAVS1'"):
            one.predict(["P00", "AAVS1"])
        assert one.predict("AAVS1+P00").obs["status"].tolist() == ["seen"]


def test_control_cells_with_other_genes(family_screen, fitted_screen, refuses):
    cells = family_screen.cells
    controls = cells[cells.obs["gene"] == "ctrl"].copy()
    wanted = fitted_screen.predict("P00", control_cells=controls)
    more = ad.concat([controls, AnnData(100 * controls.X, controls.obs)], axis=1)
    more.var_names = [*controls.var_names, *(f"other{i}" for i in range(controls.n_vars))]
    found = fitted_screen.predict("P00", control_cells=more)
    np.testing.assert_allclose(found.X, wanted.X, atol=1e-5)
    with pytest.warns(UserWarning, match="10 of 40 training genes are absent"):
        fewer = fitted_screen.predict("P00", control_cells=controls[:, :30].copy())
    # Cells are scaled to the share of counts that these genes have in training.
    np.testing.assert_allclose(fewer.X[:, :30], wanted.X[:, :30], atol=0.1)
    with refuses(TypeError, "control_cells", "found DataFrame"):
        fitted_screen.predict("P00", control_cells=controls.to_df())
    with refuses(ValueError, "shape (0, 40)"):
        fitted_screen.predict("P00", control_cells=controls[:0].copy())
    with refuses(ValueError, "found 'zscore'"):
        fitted_screen.predict("P00", control_cells=controls, profile="zscore")
    controls.X = 0 * controls.X
    with refuses(ValueError, "counts above 0 in control_cells"):
        fitted_screen.predict("P00", control_cells=controls)
    controls.var_names = ["G0", *controls.var_names[:-1]]
    with refuses(ValueError, "unique names in control_cells.var_names"):
        fitted_screen.predict("P00", control_cells=controls)


def test_gene_sets_and_embeddings_of_other_genes_are_said(family_screen):
    sets = {"a": [f"X{i}" for i in range(6)]}
    with pytest.warns(UserWarning, match="perturbed genes .* is in gene_sets .*'X0'"):
        PerturbationModel(gene_sets=sets, network=False).fit(
            family_screen.cells, perturbation_key="gene"
        )
    table = family_screen.embeddings.rename(lambda gene: f"X{gene}")
    with pytest.warns(UserWarning, match="is in gene_embeddings"):
        PerturbationModel(gene_embeddings=table, network=False).fit(
            family_screen.cells, perturbation_key="gene"
        )
