"""tl.perturb: screens and trained models."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scmomer
from scmomer import PerturbationModel


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    names = [*"ABCDE", "A+B"]
    labels = np.repeat(["NT", *names], [60, *[20] * 6])
    rate = np.exp(rng.normal(1.5, 0.5, 30))
    effects = {name: np.exp(rng.normal(0, 0.5, 30)) for name in "ABCDE"}
    rates = [rate * np.prod([effects.get(p, 1.0) for p in x.split("+")], axis=0) for x in labels]
    obs = pd.DataFrame({"gene": labels}, index=[f"c{i}" for i in range(len(labels))])
    obs["type"] = np.where(np.arange(len(obs)) % 2, "x", "y")
    var = pd.DataFrame(index=[f"G{i}" for i in range(30)])
    return AnnData(rng.poisson(rates).astype(np.float32), obs, var)


@pytest.fixture(scope="module")
def fitted(cells):
    return PerturbationModel(network=False).fit(cells, perturbation_key="gene")


def test_trains_on_a_screen(cells, fitted):
    before = cells.copy()
    found = scmomer.tl.perturb(cells, ["A", "B+A"], perturbation_key="gene", network=False)
    assert found.obs_names.tolist() == ["A", "A+B"]
    assert found.var_names.equals(cells.var_names)
    assert set(found.layers) - {None} == {"change", "std"}  # None: X, from anndata 0.13 on
    assert found.obs["status"].tolist() == ["seen", "seen"]
    np.testing.assert_array_equal(found.X, fitted.predict(["A", "A+B"]).X)
    info = found.uns["scmomer_perturbation"]
    assert info["methods"] == fitted.methods_
    pd.testing.assert_frame_equal(info["validation"], fitted.validation_)
    np.testing.assert_array_equal(cells.X, before.X)
    assert cells.obs.equals(before.obs)
    assert not cells.uns


def test_all_training_perturbations_by_group(cells):
    found = scmomer.tl.perturb(cells, perturbation_key="gene", groupby="type", network=False)
    assert found.n_obs == 12
    assert set(found.obs["group"]) == {"x", "y"}


def test_result_can_be_written(cells, fitted, tmp_path):
    found = scmomer.tl.perturb(cells, ["A"], fitted, perturbation_key="gene")
    found.write_h5ad(tmp_path / "p.h5ad")


def test_a_trained_model_reads_control_cells(cells, fitted, tmp_path):
    fitted.save(tmp_path / "f")
    by_key = scmomer.tl.perturb(cells, ["A"], tmp_path / "f", perturbation_key="gene")
    controls = cells[cells.obs["gene"] == "NT"]
    all_cells = scmomer.tl.perturb(controls, ["A"], fitted)
    np.testing.assert_array_equal(by_key.X, all_cells.X)
    np.testing.assert_allclose(by_key.X, fitted.predict("A").X, atol=1e-5)
    with pytest.warns(UserWarning, match="no gene set"):
        new = scmomer.tl.perturb(controls, ["new"], fitted, method="mean")
    assert new.obs["method"].tolist() == ["mean"]


def test_options_that_a_trained_model_has(cells, fitted):
    with pytest.raises(ValueError, match="Expected no gene_sets= with a trained model"):
        scmomer.tl.perturb(cells, ["A"], fitted, gene_sets={"a": ["A"]})
    with pytest.raises(TypeError, match="Expected fitted as a PerturbationModel or its path"):
        scmomer.tl.perturb(cells, ["A"], {"a": 1})


def test_bad_columns(cells):
    with pytest.raises(ValueError, match="Expected perturbation_key="):
        scmomer.tl.perturb(cells, ["A"])
    broken = cells.copy()
    broken.obs["gene"] = broken.obs["gene"].where(np.arange(len(broken)) > 3)
    with pytest.raises(ValueError, match="NaN|missing"):
        scmomer.tl.perturb(broken, ["A"], perturbation_key="gene")
    with pytest.raises(ValueError, match="control"):
        scmomer.tl.perturb(cells[cells.obs["gene"] != "NT"].copy(), perturbation_key="gene")
    logs = cells.copy()
    logs.X = np.log1p(logs.X)
    with pytest.raises(ValueError, match="counts"):
        scmomer.tl.perturb(logs, perturbation_key="gene")


def test_control_cells_alone_are_enough(cells, fitted):
    controls = cells[cells.obs["gene"] == "NT"].copy()
    found = scmomer.tl.perturb(controls, ["A"], fitted, perturbation_key="gene")
    wanted = scmomer.tl.perturb(cells, ["A"], fitted, perturbation_key="gene")
    np.testing.assert_array_equal(found.X, wanted.X)
