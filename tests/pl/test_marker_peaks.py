"""``pl.marker_peaks``: translated probabilities of single peaks."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.pl import marker_peaks


def line(ax, label: str):
    return next(artist for artist in (*ax.lines, *ax.collections) if artist.get_label() == label)


def test_each_panel_is_a_peak_with_a_violin_for_each_group(truth, translated):
    peaks = truth.var_names[[25, 3]].tolist()
    axes = marker_peaks(truth, translated, "cell_type", peaks, show=False)
    assert [ax.get_title() for ax in axes] == peaks
    for ax in axes:
        assert [text.get_text() for text in ax.get_xticklabels()] == ["Astro", "L4", "Oligo"]
        assert len(ax.collections) == 3 + 1  # violins and their means
    assert axes[0].get_legend() is not None and axes[1].get_legend() is None


def test_marks_are_open_shares_and_means(truth, translated):
    (ax,) = marker_peaks(truth, translated, "cell_type", truth.var_names[25], show=False)
    kind = truth.obs["cell_type"].to_numpy()
    opened, probability = truth.X.toarray()[:, 25] > 0, translated.X[:, 25]
    for values, marks in (
        (opened, line(ax, "measured open").get_ydata()),
        (probability, [s[0, 1] for s in line(ax, "mean translated").get_segments()]),
    ):
        expected = [values[kind == k].mean() for k in ("Astro", "L4", "Oligo")]
        np.testing.assert_allclose(marks, expected, rtol=1e-5)
    assert line(ax, "measured open").get_ydata().argmax() == 1


@pytest.mark.filterwarnings("error")
def test_groups_of_one_cell_and_constant_values_are_drawn(truth, translated):
    truth.obs["cell_type"] = ["alone", *truth.obs["cell_type"][1:]]
    translated.layers["scmomer"] = np.full(truth.shape, 0.25, np.float32)
    (ax,) = marker_peaks(truth, translated, "cell_type", [truth.var_names[0]], show=False)
    assert len(ax.get_xticklabels()) == 4


def test_unknown_peaks_are_refused(truth, translated, refuses):
    with refuses(KeyError, "among the 90", "['chr9:1-2']"):
        marker_peaks(truth, translated, "cell_type", [truth.var_names[0], "chr9:1-2"])
    with refuses(ValueError, "peaks= has no names of peaks"):
        marker_peaks(truth, translated, "cell_type", [])
