"""``tl.perturb_atac`` and ``tl.perturb_protein``."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.tl import perturb_atac, perturb_protein

KEYS = {"perturbation_key": "target", "control": "NT"}


@pytest.fixture
def screen(make_unseen):
    """Cells under controls and three perturbations, at random."""
    rna = make_unseen()["rna"].copy()
    labels = np.array(["NT", "A+NT", "B+A", "C"], object)
    rna.obs["target"] = labels[np.arange(rna.n_obs) % 4]
    return rna


def predicted(rna: AnnData, fold: float = 1.0) -> AnnData:
    """Pseudobulks of perturbations that multiply or divide the expression of some genes."""
    x = rna.X.toarray()
    mean = np.log1p(x / x.sum(1, keepdims=True) * 500).mean(0)
    after = np.log1p(np.expm1(mean) * np.where(np.arange(len(mean)) < 15, fold, 1.0))
    out = AnnData(np.stack([after, mean]), obs=pd.DataFrame({"perturbation": ["A", "D+C"]}))
    out.var_names = rna.var_names
    out.layers["change"] = out.X - mean
    return out


def test_real_cells_are_translated_and_controls_subtracted(trained, screen):
    found = perturb_atac(screen, trained, **KEYS)
    values = trained.get_translated(screen, "atac", depth="mean")
    target = screen.obs["target"].to_numpy()
    control = values[target == "NT"].mean(0)
    assert list(found.obs_names) == ["A", "A+B", "C"]
    assert list(found.var_names) == list(trained.spec.features["atac"])
    for name, label in {"A": "A+NT", "A+B": "B+A", "C": "C"}.items():
        mine = values[target == label]
        np.testing.assert_allclose(found[name].X[0], mine.mean(0), atol=1e-5)
        change = found[name].layers["change"][0]
        np.testing.assert_allclose(change, mine.mean(0) - control, atol=1e-5)
        error = mine.var(0, ddof=1) / len(mine) + values[target == "NT"].var(0, ddof=1) / 30
        np.testing.assert_allclose(found[name].layers["std"][0], np.sqrt(error), rtol=1e-3)
    assert (found.obs["status"] == "measured").all() and (found.obs["n_control"] == 30).all()
    assert found.uns["scmomer"]["perturb_atac"]["model_id"] == trained.id


def test_groups_and_batches_have_their_own_controls(trained, screen):
    found = perturb_atac(screen, trained, groupby="cell_type", batch_key="batch", **KEYS)
    table = found.obs
    assert table["group"].nunique() == 4 and "A | type1" in table.index
    values = trained.get_translated(screen, "atac", depth="mean")
    obs = screen.obs
    change, n = np.zeros(values.shape[1]), 0
    for batch in obs["batch"].unique():
        here = ((obs["cell_type"] == "type1") & (obs["batch"] == batch)).to_numpy()
        mine = here & (obs["target"] == "C").to_numpy()
        control = here & (obs["target"] == "NT").to_numpy()
        if mine.any() and control.any():
            change += mine.sum() * (values[mine].mean(0) - values[control].mean(0))
            n += mine.sum()
    np.testing.assert_allclose(found["C | type1"].layers["change"][0], change / n, atol=1e-5)
    assert table.loc["C | type1", "n_cells"] == n


def test_predicted_expression_is_applied_to_controls(trained, screen, unchanged):
    prediction = predicted(screen, 8.0)
    with unchanged(screen):
        found = perturb_atac(screen, trained, predicted=prediction, **KEYS)
    assert list(found.obs["perturbation"]) == ["A", "C+D"]
    assert (found.obs["status"] == "predicted").all() and (found.obs["n_cells"] == 0).all()
    assert (found.obs["n_control"] == 30).all()
    assert np.abs(found["A"].layers["change"]).max() > 1e-4
    assert not found["C+D"].layers["change"].any()  # expression as it was
    controls = screen[screen.obs["target"] == "NT"].copy()
    base = trained.get_translated(controls, "atac", depth="mean").mean(0)
    np.testing.assert_allclose(found.layers["control"][0], base, atol=1e-5)
    np.testing.assert_allclose(found.X, found.layers["control"] + found.layers["change"], atol=1e-6)
    alone = perturb_atac(controls, trained, predicted=prediction, **KEYS)  # nothing but controls
    np.testing.assert_array_equal(alone.X, found.X)


def test_an_opposite_change_moves_the_other_way(trained, screen):
    up, down = (
        perturb_atac(screen, trained, predicted=predicted(screen, fold), **KEYS)["A"].layers[
            "change"
        ][0]
        for fold in (6.0, 1 / 6)
    )
    assert np.corrcoef(up, down)[0, 1] < -0.3


def test_predicted_groups_find_their_controls(trained, screen, refuses):
    prediction = predicted(screen, 4.0)
    prediction.obs["perturbation"] = "A"
    prediction.obs["group"] = ["type2", "type1"]
    prediction.obs["status"] = ["seen", "out_of_graph"]
    found = perturb_atac(
        screen, trained, predicted=prediction, groupby="cell_type", n_control=5, **KEYS
    )
    assert list(found.obs_names) == ["A | type2", "A | type1"]
    assert list(found.obs["status"]) == ["seen", "out_of_graph"]
    assert (found.obs["n_control"] == 5).all()
    with refuses(ValueError, "groupby=", "['type1', 'type2']"):
        perturb_atac(screen, trained, predicted=prediction, **KEYS)
    prediction.obs["group"] = ["type9", "type1"]
    with refuses(ValueError, "control cells of group 'type9'"):
        perturb_atac(screen, trained, predicted=prediction, groupby="cell_type", **KEYS)


def test_genes_that_are_not_predicted_stay(trained, screen, caplog):
    import logging

    whole = predicted(screen, 8.0)
    with caplog.at_level(logging.INFO, logger="scmomer"):
        part = perturb_atac(screen, trained, predicted=whole[:, :20].copy(), **KEYS)
    assert "40 of 60 genes have no prediction" in caplog.text
    full = perturb_atac(screen, trained, predicted=whole, **KEYS)
    # The others did not change anyway, up to rounding and thus the draw.
    np.testing.assert_allclose(part.X, full.X, atol=1e-3)


def test_some_peaks_and_minibatches(trained, screen):
    peaks = list(trained.spec.features["atac"][[5, 2]])
    full = perturb_atac(screen, trained, **KEYS)
    some = perturb_atac(screen, trained, features=peaks, batch_size=7, **KEYS)
    np.testing.assert_allclose(some.X, full[:, peaks].X, atol=1e-6)
    few = perturb_atac(screen[:30].copy(), trained, min_cells=8, **KEYS)
    assert list(few.obs_names) == ["A"]


def test_proteins(trained_protein, mdata):
    rna = mdata["rna"].copy()
    rna.obs["target"] = np.array(["ctrl", "A"])[np.arange(rna.n_obs) % 2]
    found = perturb_protein(rna, trained_protein, perturbation_key="target")
    assert found.shape == (1, 10) and (found.X > 0).all()
    assert "perturb_protein" in found.uns["scmomer"]


def test_the_result_goes_to_disk(trained, screen, tmp_path):
    import anndata as ad

    found = perturb_atac(screen, trained, groupby="cell_type", **KEYS)
    found.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.layers["std"], found.layers["std"])


def test_bad_input_is_refused(trained, trained_rna, screen, refuses):
    with refuses(KeyError, "'nothing'"):
        perturb_atac(screen, trained, perturbation_key="nothing")
    with refuses(ValueError, "control cells ['DMSO']", "control='NT'"):
        perturb_atac(screen, trained, perturbation_key="target", control="DMSO")
    with refuses(ValueError, "control cells ['DMSO']", "control="):
        perturb_atac(
            screen,
            trained,
            perturbation_key="target",
            control="DMSO",
            predicted=predicted(screen),
        )
    with refuses(ValueError, "modality of the model", "'atac'"):
        perturb_atac(screen, trained_rna, **KEYS)
    with refuses(ValueError, "at least 50 cells", "found at most 30"):
        perturb_atac(screen, trained, min_cells=50, **KEYS)
    only = screen[screen.obs["target"] == "NT"].copy()
    with refuses(ValueError, "perturbed cells"):
        perturb_atac(only, trained, **KEYS)
    screen.obs.loc[screen.obs_names[3], "target"] = np.nan
    with refuses(ValueError, "missing (NaN)", ".notna()"):
        perturb_atac(screen, trained, **KEYS)


def test_predictions_without_what_is_needed_are_refused(trained, screen, refuses):
    prediction = predicted(screen)
    with refuses(TypeError, "scmomer.tl.perturb", "DataFrame"):
        perturb_atac(screen, trained, predicted=prediction.to_df(), **KEYS)
    bare = AnnData(prediction.X, var=prediction.var)
    with refuses(KeyError, "obs['perturbation'], layers['change']"):
        perturb_atac(screen, trained, predicted=bare, **KEYS)
    prediction.X[0, 0] = np.nan
    with refuses(ValueError, "finite values"):
        perturb_atac(screen, trained, predicted=prediction, **KEYS)
    prediction.var_names = "other" + prediction.var_names
    with refuses(ValueError, "genes of the model", "none of 60"):
        perturb_atac(screen, trained, predicted=prediction, **KEYS)
    screen.X = screen.X * 0.5
    with refuses(ValueError, "counts"):
        perturb_atac(screen, trained, predicted=predicted(screen), profile="normalized", **KEYS)


def test_a_single_cell_has_no_standard_error(trained, screen):
    target = screen.obs["target"]
    few = screen[(target == "NT") | ~target.duplicated()].copy()
    found = perturb_atac(few, trained, **KEYS)
    assert (found.obs["n_cells"] == 1).all() and np.isnan(found.layers["std"]).all()
    assert np.isfinite(found.layers["change"]).all()


def test_odd_options_are_refused(trained, screen, refuses):
    for bad in (0, 1.5, "3"):
        with refuses(ValueError, "min_cells of at least 1"):
            perturb_atac(screen, trained, min_cells=bad, **KEYS)
    prediction = predicted(screen)
    with refuses(ValueError, "pseudobulks of groups for groupby='cell_type'", "groupby=None"):
        perturb_atac(screen, trained, predicted=prediction, groupby="cell_type", **KEYS)
    with refuses(ValueError, "rows in predicted="):
        perturb_atac(screen, trained, predicted=prediction[:0].copy(), **KEYS)
    prediction.obs["group"] = "type1"
    with refuses(ValueError, "Expected groupby=", "['type1']"):
        perturb_atac(screen, trained, predicted=prediction, **KEYS)
    prediction.obs["perturbation"] = ["A", np.nan]
    with refuses(ValueError, "Expected a perturbation, found nan"):
        perturb_atac(screen, trained, predicted=prediction, groupby="cell_type", **KEYS)
