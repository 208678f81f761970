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
