"""``pl.pseudobulk``: measured against translated profiles."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer import metrics
from scmomer.pl import _pseudobulk, pseudobulk


def dots(ax) -> np.ndarray:
    """Points of a panel, ``(n_peaks, 2)``."""
    return np.asarray(ax.collections[0].get_offsets())


def r_of(ax) -> float:
    return float(ax.get_title().split("r = ")[1])


@pytest.mark.parametrize("centered", [True, False])
def test_titles_average_to_the_metric(truth, translated, centered):
    axes = pseudobulk(truth, translated, "cell_type", centered=centered, show=False)
    assert [ax.get_title().split(",")[0] for ax in axes] == ["Astro", "L4", "Oligo"]
    expected = metrics.pseudobulk_pearson(
        truth.X > 0, translated.X, truth.obs["cell_type"], centered=centered
    )
    assert np.mean([r_of(ax) for ax in axes]) == pytest.approx(expected, abs=0.01)


def test_each_dot_is_a_peak(truth, translated):
    (raw,) = pseudobulk(truth, translated, "cell_type", groups=["L4"], centered=False, show=False)
    (centered,) = pseudobulk(truth, translated, "cell_type", groups=["L4"], show=False)
    cells = (truth.obs["cell_type"] == "L4").to_numpy()
    profiles = [truth.X.toarray() > 0, translated.X]
    expected = np.stack([p[cells].mean(axis=0) for p in profiles], axis=1)
    np.testing.assert_allclose(dots(raw), expected, rtol=0, atol=1e-6)
    overall = np.stack([p.mean(axis=0) for p in profiles], axis=1)
    np.testing.assert_allclose(dots(centered), expected - overall, rtol=0, atol=1e-6)
    with pytest.warns(FutureWarning, match="centred= is now called centered="):
        (former,) = pseudobulk(
            truth, translated, "cell_type", groups=["L4"], centred=False, show=False
        )
    assert np.array_equal(dots(former), dots(raw))
    assert raw.get_xlabel() == "measured" and "minus all" in centered.get_ylabel()


def test_a_translation_that_is_the_same_for_all_cells_has_no_correlation(truth, translated):
    translated.layers["scmomer"] = np.tile(translated.X[:1], (240, 1))
    axes = pseudobulk(truth, translated, "cell_type", show=False)
    assert all(abs(r_of(ax)) < 0.4 for ax in axes)
    translated.layers["scmomer"] = np.full(truth.shape, 0.25)
    axes = pseudobulk(truth, translated, "cell_type", show=False)
    assert [r_of(ax) for ax in axes] == [0, 0, 0]


def test_many_peaks_are_drawn_as_hexagons(truth, translated, monkeypatch):
    monkeypatch.setattr(_pseudobulk, "_MAX_DOTS", 50)
    (ax,) = pseudobulk(truth, translated, "cell_type", groups=["L4"], show=False)
    counts = ax.collections[0].get_array()
    assert counts.sum() == 90 and counts.size < 90


def test_unknown_groups_are_refused(truth, translated, refuses):
    for groups in (["L4", "nope"], "L4", []):
        with refuses(ValueError, "['Astro', 'L4', 'Oligo']", repr(groups)):
            pseudobulk(truth, translated, "cell_type", groups=groups)
