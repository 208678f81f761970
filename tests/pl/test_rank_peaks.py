"""``pl.rank_peaks``: top differential peaks by group."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer import tl
from scmomer.pl import rank_peaks


@pytest.fixture
def ranked(truth):
    tl.rank_peaks(truth, "cell_type")
    return truth


def image(ax) -> np.ndarray:
    """Values of a panel, ``(n_groups, n_columns)``."""
    return np.asarray(ax.images[0].get_array())


def names(ax) -> list[str]:
    return [text.get_text() for text in ax.get_xticklabels()]


def test_columns_are_the_top_peaks_and_rows_the_groups(ranked):
    (ax,) = rank_peaks(ranked, n_peaks=4, show=False)
    top = ranked.uns["rank_peaks"]["names"]
    assert names(ax) == [peak for g in ("Astro", "L4", "Oligo") for peak in top[g][:4]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Astro", "L4", "Oligo"]
    assert image(ax).shape == (3, 12)
    assert (image(ax).argmax(axis=0) == np.repeat([0, 1, 2], 4)).all()
    np.testing.assert_allclose(image(ax).mean(axis=0), 0, atol=1e-12)


def test_rates_can_be_shown_as_they_are(ranked):
    (ax,) = rank_peaks(ranked, n_peaks=4, centered=False, show=False)
    opened = ranked[:, names(ax)].X.toarray() > 0
    kind = ranked.obs["cell_type"].to_numpy()
    expected = [opened[kind == k].mean(axis=0) for k in ("Astro", "L4", "Oligo")]
    np.testing.assert_allclose(image(ax), expected)
    with pytest.warns(FutureWarning, match="centred= is now called centered="):
        (former,) = rank_peaks(ranked, n_peaks=4, centred=False, show=False)
    assert np.array_equal(image(former), image(ax))


def test_measured_and_translated_stand_side_by_side(ranked, translated):
    axes = rank_peaks(ranked, translated, n_peaks=4, show=False)
    assert [ax.get_title() for ax in axes] == ["measured", "translated"]
    assert names(axes[0]) == names(axes[1])
    np.testing.assert_allclose(image(axes[0]), image(axes[1]), atol=0.03)


def test_a_ranking_of_the_translation_may_be_shown(truth, translated):
    truth.layers["scmomer"] = translated.X
    tl.rank_peaks(truth, "cell_type", layer="scmomer", key_added="t")
    alone = rank_peaks(truth, key="t", n_peaks=4, centered=False, show=False)
    both = rank_peaks(truth, truth, key="t", n_peaks=4, centered=False, show=False)
    assert np.array_equal(image(alone[0]), image(both[1]))  # the ranked layer
    assert not np.array_equal(image(both[0]), image(both[1]))


def test_peaks_of_some_groups_can_be_shown(ranked):
    (ax,) = rank_peaks(ranked, n_peaks=4, groups=["L4"], show=False)
    assert image(ax).shape == (3, 4)


def test_of_many_peaks_the_groups_are_named(ranked):
    (ax,) = rank_peaks(ranked, n_peaks=20, show=False)
    assert image(ax).shape == (3, 60) and names(ax) == ["Astro", "L4", "Oligo"]


def test_only_peaks_that_both_have_are_shown(ranked, translated):
    missing = ranked.uns["rank_peaks"]["names"]["L4"][0]
    fewer = translated[:, translated.var_names != missing].copy()
    axes = rank_peaks(ranked, fewer, n_peaks=4, show=False)
    assert missing not in names(axes[0]) and image(axes[0]).shape == (3, 12)


def test_peaks_that_are_less_accessible_are_left_out(ranked):
    (ax,) = rank_peaks(ranked, n_peaks=90, groups=["L4"], centered=False, show=False)
    assert image(ax).shape[1] == (ranked.uns["rank_peaks"]["scores"]["L4"] > 0).sum() < 90


def test_what_is_absent_is_refused(truth, ranked, refuses):
    with refuses(KeyError, "uns['nope']", "['rank_peaks']", "scmomer.tl.rank_peaks"):
        rank_peaks(ranked, key="nope")
    for groups in (["nope"], "L4"):
        with refuses(ValueError, "['Astro', 'L4', 'Oligo']", repr(groups)):
            rank_peaks(ranked, groups=groups)
    with refuses(ValueError, "more accessible"):
        rank_peaks(ranked, n_peaks=0)
