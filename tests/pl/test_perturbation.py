"""pl.perturbation: bars of predicted changes."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scmomer


@pytest.fixture
def predicted():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"perturbation": ["G1", "G2+B"], "status": ["seen", "combo_seen1"]}, index=["G1", "G2+B"]
    )
    change = rng.normal(size=(2, 30)).astype(np.float32)
    change[0, 1] = 9  # the perturbed gene itself
    found = AnnData(change, obs, pd.DataFrame(index=[f"G{i}" for i in range(30)]))
    found.layers["change"] = change
    found.layers["std"] = np.full_like(change, 0.3)
    return found


def test_bars_are_the_largest_changes(predicted):
    axes = scmomer.pl.perturbation(predicted, n_genes=5, show=False)
    assert len(axes) == 2
    widths = [bar.get_width() for bar in axes[0].patches]
    change = np.delete(predicted.layers["change"][0], 1)
    wanted = np.sort(change[np.argsort(-np.abs(change))[:5]])
    np.testing.assert_allclose(widths, wanted, rtol=1e-6)
    assert "measured" in axes[0].get_title()
    assert "one part seen" in axes[1].get_title()


def test_the_target_can_be_kept(predicted):
    axes = scmomer.pl.perturbation(predicted, n_genes=5, exclude_target=False, show=False)
    assert max(bar.get_width() for bar in axes[0].patches) == 9


def test_observed_changes(predicted, tmp_path):
    axes = scmomer.pl.perturbation(
        predicted, predicted, perturbations=["G2+B"], save=tmp_path / "p.png"
    )
    assert "r = 1.00" in axes[0].get_title()
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_errors(predicted):
    with pytest.raises(KeyError, match=r"Expected rows \['X'\] in predicted"):
        scmomer.pl.perturbation(predicted, perturbations=["X"])
    with pytest.raises(KeyError, match="scmomer.tl.perturb"):
        scmomer.pl.perturbation(AnnData(np.zeros((1, 2))))
    with pytest.raises(ValueError, match="Expected n_genes"):
        scmomer.pl.perturbation(predicted, n_genes=0)
    other = predicted[:, ::-1].copy()
    with pytest.raises(ValueError, match="Expected the same genes"):
        scmomer.pl.perturbation(predicted, other)


def test_other_names_of_the_target_are_left_out(predicted):
    predicted.var_names = ["MARCHF8", *predicted.var_names[1:]]
    predicted.obs["perturbation"] = ["MARCH8", "marchf8+B"]
    for row in predicted.obs_names:
        (ax,) = scmomer.pl.perturbation(
            predicted, perturbations=[row], n_genes=predicted.n_vars, show=False
        )
        assert "MARCHF8" not in {t.get_text() for t in ax.get_yticklabels()}


def test_odd_input(predicted, refuses):
    import scipy.sparse as sp

    (wanted, _) = scmomer.pl.perturbation(predicted, show=False)
    other = predicted.copy()
    other.layers["change"] = sp.csr_matrix(other.layers["change"])
    (ax, _) = scmomer.pl.perturbation(other, show=False)
    assert [b.get_width() for b in ax.patches] == [b.get_width() for b in wanted.patches]
    with refuses(TypeError, "predicted as an AnnData of scmomer.tl.perturb", "DataFrame"):
        scmomer.pl.perturbation(predicted.to_df())
    for empty in ({"perturbations": []}, {}):
        with refuses(ValueError, "rows of predicted to show, found none"):
            scmomer.pl.perturbation(predicted[: 2 * len(empty)].copy(), **empty)
    other.obs_names = ["x", "y"]
    with refuses(KeyError, "rows of observed among", "['x', 'y']"):
        scmomer.pl.perturbation(predicted, other)
    other.obs_names = ["x", "x"]
    with refuses(ValueError, "unique names in predicted.obs_names"):
        scmomer.pl.perturbation(other)


def test_probabilities_and_counts_are_no_logs(predicted):
    other = predicted.copy()
    other.layers["std"] = np.abs(other.layers["change"])
    other.layers["control"] = other.X - other.layers["change"]
    (ax, _) = scmomer.pl.perturbation(other, show=False)
    assert ax.get_xlabel() == "predicted change" and ax.collections  # error bars
