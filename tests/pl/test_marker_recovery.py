"""``pl.marker_recovery``: precision of the top differential peaks."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer import tl
from scmomer.pl import marker_recovery


def curves(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata()) for line in ax.lines}


def test_precision_is_the_share_of_common_peaks(truth, translated):
    found = curves(marker_recovery(truth, translated, "cell_type", ks=(5, 20, 50), show=False))
    assert list(found) == ["Astro", "L4", "Oligo", "mean of groups", "chance"]
    tops = [tl.rank_peaks(a, "cell_type", copy=True).uns["rank_peaks"] for a in (truth, translated)]
    for group in ("Astro", "L4", "Oligo"):
        first, second = (top["names"][group] for top in tops)
        for k, value in zip((5, 20, 50), found[group], strict=True):
            ends = [top["scores"][group][k - 1 : k + 1] for top in tops]
            if all(last != after for last, after in ends):  # no tie for the last place
                assert value == pytest.approx(len(set(first[:k]) & set(second[:k])) / k)
    mean = np.mean([found[g] for g in ("Astro", "L4", "Oligo")], axis=0)
    np.testing.assert_allclose(found["mean of groups"], mean)
    np.testing.assert_allclose(found["chance"], np.array([5, 20, 50]) / 90)


def test_the_truth_recovers_itself(truth):
    found = curves(marker_recovery(truth, truth, "cell_type", ks=(5, 20), show=False))
    assert (found["mean of groups"] == 1).all()


def test_a_good_translation_is_above_chance_and_a_shuffled_one_is_not(truth, translated):
    good = curves(marker_recovery(truth, translated, "cell_type", ks=(20,), show=False))
    assert good["mean of groups"] > 0.9
    rng = np.random.default_rng(0)
    translated.layers["scmomer"] = translated.X[:, rng.permutation(90)]
    poor = curves(marker_recovery(truth, translated, "cell_type", ks=(20,), show=False))
    assert abs(poor["mean of groups"] - poor["chance"]) < 0.2


def test_ties_do_not_depend_on_the_order_of_peaks(truth, translated):
    """A constant translation has the precision of chance."""
    truth.obs["cell_type"] = ["few"] * 4 + ["many"] * 236  # many measured ties
    translated.layers["scmomer"] = np.full(truth.shape, 0.25)
    found = curves(marker_recovery(truth, translated, "cell_type", ks=(10, 50), show=False))
    for group in ("few", "many"):
        np.testing.assert_allclose(found[group], found["chance"])


def test_ks_above_the_number_of_peaks_are_left_out(truth, translated, refuses):
    ax = marker_recovery(truth, translated, "cell_type", show=False)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "50"]
    with refuses(ValueError, "number of peaks, 90", "[100, 0]"):
        marker_recovery(truth, translated, "cell_type", ks=(100, 0))


def test_groups_of_one_cell_are_named_and_can_be_left_out(truth, translated, refuses):
    truth.obs["cell_type"] = ["alone", *truth.obs["cell_type"][1:]]
    with refuses(ValueError, "{'alone': 1}", "groups="):
        marker_recovery(truth, translated, "cell_type")
    ax = marker_recovery(truth, translated, "cell_type", groups=["L4"], show=False)
    assert list(curves(ax)) == ["L4", "mean of groups", "chance"]
