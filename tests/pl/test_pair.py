"""Matched cells and peaks of two containers, and the axes of a figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from matplotlib.axes import Axes
from mudata import MuData

from scmomer import pl
from scmomer.pl._pair import match_data


def test_cells_and_peaks_are_matched_by_name(truth, translated):
    rng = np.random.default_rng(0)
    other = translated[rng.permutation(240)[:200], rng.permutation(90)[:80]].copy()
    pair = match_data(truth, other, "cell_type")
    cells = truth.obs_names[truth.obs_names.isin(other.obs_names)]
    assert pair.peaks.equals(truth.var_names[truth.var_names.isin(other.var_names)])
    assert np.array_equal(pair.translated, translated[cells, pair.peaks].X)
    assert np.array_equal(pair.truth.toarray(), truth[cells, pair.peaks].X.toarray())
    assert list(pair.labels) == truth[cells].obs["cell_type"].tolist()


def test_the_same_cells_and_peaks_are_not_copied(truth, translated):
    pair = match_data(truth, translated, "cell_type")
    assert np.shares_memory(pair.translated, translated.layers["scmomer"])
    assert np.shares_memory(pair.truth.data, truth.X.data)


def test_a_translation_may_be_a_layer_of_the_truth(truth, translated):
    expected = match_data(truth, translated, "cell_type")
    truth.layers["scmomer"] = translated.X
    mdata = MuData({"atac": truth})
    mdata.obs["cell_type"] = truth.obs["cell_type"]
    for data in (truth, mdata):
        pair = match_data(data, data, "cell_type")
        assert np.array_equal(pair.translated, expected.translated)
        assert np.array_equal(pair.truth.toarray(), expected.truth.toarray())


def test_peaks_that_are_not_translated_are_left_out(truth, translated):
    translated.layers["scmomer"] = translated.X.copy()
    translated.layers["scmomer"][:, [3, 80]] = np.nan
    pair = match_data(truth, translated, "cell_type")
    assert pair.peaks.equals(truth.var_names.delete([3, 80]))
    assert np.isfinite(pair.translated).all()


def test_counts_may_be_in_a_layer(truth, translated):
    expected = truth.X.toarray()
    truth.layers["counts"] = truth.X
    truth.X = sp.csr_matrix(truth.shape, dtype=np.float32)
    pair = match_data(truth, translated, "cell_type", "counts")
    assert np.array_equal(pair.truth.toarray(), expected)


def test_data_of_other_cells_or_peaks_are_refused(truth, translated, refuses):
    other = translated.copy()
    other.obs_names = [f"x{i}" for i in range(240)]
    with refuses(ValueError, "cells with the same names", "['0']", "['x0']"):
        match_data(truth, other, "cell_type")
    translated.var_names = [f"chr2:{i}00-{i}50" for i in range(90)]
    with refuses(ValueError, "peaks with the same names", "['chr1:000-050']", "['chr2:000-050']"):
        match_data(truth, translated, "cell_type")
    with refuses(KeyError, "'nope'", "'cell_type'"):
        match_data(truth, translated, "nope")


# -- axes


def test_axes_can_be_given(truth, translated):
    figure, axes = plt.subplots(1, 3)
    found = pl.pseudobulk(truth, translated, "cell_type", ax=axes)
    assert found == list(axes) and plt.get_fignums() == [figure.number]
    single = plt.subplots()[1]
    assert pl.pseudobulk(truth, translated, "cell_type", groups=["L4"], ax=single) == [single]
    assert pl.marker_recovery(truth, translated, "cell_type", ax=single) is single


def test_too_few_axes_are_refused(truth, translated, refuses):
    with refuses(ValueError, "3 Axes", "found 1"):
        pl.pseudobulk(truth, translated, "cell_type", ax=plt.subplots()[1])


def test_a_picture_is_saved_and_closed(truth, translated, tmp_path):
    axes = pl.pseudobulk(truth, translated, "cell_type", save=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert isinstance(axes[0], Axes) and not plt.get_fignums()
    pl.marker_recovery(truth, translated, "cell_type", save=str(tmp_path / "b.pdf"), ax=_axes())
    assert (tmp_path / "b.pdf").exists() and plt.get_fignums()


def _axes() -> Axes:
    return plt.subplots()[1]


@pytest.mark.parametrize(
    ("autoshow", "options", "expected"),
    [
        (True, {}, 1),
        (False, {}, 0),
        (True, {"show": False}, 0),
        (False, {"show": True}, 1),
        (True, {"ax": True}, 0),
        (True, {"save": "a.png"}, 0),
        (False, {"save": "a.png", "show": True}, 1),
    ],
)
def test_figures_follow_the_autoshow_of_scanpy(
    truth, translated, monkeypatch, tmp_path, autoshow, options, expected
):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    monkeypatch.chdir(tmp_path)
    options = {**options, **({"ax": _axes()} if "ax" in options else {})}
    before, sc.settings.autoshow = sc.settings.autoshow, autoshow
    try:
        pl.marker_recovery(truth, translated, "cell_type", **options)
    finally:
        sc.settings.autoshow = before
    assert len(shown) == expected


def test_inputs_are_left_as_they_were(truth, translated, unchanged):
    with unchanged(truth), unchanged(translated):
        pl.pseudobulk(truth, translated, "cell_type")
        pl.marker_peaks(truth, translated, "cell_type", truth.var_names[:2])
        pl.marker_recovery(truth, translated, "cell_type")
    assert not truth.uns and not translated.uns
