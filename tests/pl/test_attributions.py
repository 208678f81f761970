"""``pl.attributions``: which bars are drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer.pl import attributions


@pytest.fixture
def adata() -> AnnData:
    """Attributions of 12 genes, two targets and three groups, the last without cells."""
    adata = AnnData(np.zeros((5, 12), np.float32))
    adata.var_names = [f"Gene{i}" for i in range(12)]
    table = np.random.default_rng(0).normal(size=(12, 3, 2)).astype(np.float32)
    table[:, 2] = np.nan
    table[3, 0, 0], table[5, 0, 0], table[7] = -9, 8, 0
    adata.varm["attributions"] = table
    adata.uns["attributions"] = {
        "params": {"target": "atac"},
        "groups": np.array(["L2/3", "L6", "gone"], object),
        "targets": np.array(["chr1:1-2", "chr1:5-6"], object),
        "n_cells": np.array([3, 2, 0]),
    }
    return adata


def bars(ax) -> dict[str, float]:
    names = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(names, [bar.get_width() for bar in ax.patches], strict=True))


def test_largest_features_of_each_group_come_first(adata):
    first, second = attributions(adata, n_features=4)
    found = bars(first)
    assert list(found)[:2] == ["Gene3", "Gene5"] and len(found) == 4
    assert found["Gene3"] == -9 and found["Gene5"] == 8
    assert first.patches[0].get_facecolor() != first.patches[1].get_facecolor()
    assert first.yaxis_inverted() and first.get_xlim() == second.get_xlim()
    assert "L2/3 (3 cells)" in first.get_title() and "logit" in first.get_xlabel()
    assert first.get_xlabel().endswith("chr1:1-2")
    expected = np.abs(adata.varm["attributions"][:, 1, 0]).max()
    assert abs(next(iter(bars(second).values()))) == pytest.approx(expected)


def test_other_targets_groups_and_single_ones(adata):
    (ax,) = attributions(adata, target="chr1:5-6", groups=["L6"], n_features=20)
    assert len(bars(ax)) == 11, "a gene without attribution has no bar"
    expected = adata.varm["attributions"][2, 1, 1]
    assert bars(ax)["Gene2"] == pytest.approx(expected)
    adata.varm["attributions"] = adata.varm["attributions"][..., 0]
    adata.uns["attributions"]["targets"] = np.array(["chr1:1-2"], object)
    assert len(attributions(adata)) == 2


def test_it_finds_them_in_a_mudata_and_saves(adata, tmp_path):
    with keep_obs():
        mdata = MuData({"rna": adata, "atac": AnnData(np.zeros((5, 2), np.float32))})
    attributions(mdata, save=tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 1000
    _, own = plt.subplots(1, 2)
    assert attributions(mdata, ax=own) == list(own)


def test_it_says_what_is_wrong(adata, refuses):
    with refuses(KeyError, "uns['other']", "['attributions']", "key="):
        attributions(adata, key="other")
    with refuses(ValueError, "['chr1:1-2', 'chr1:5-6']", "'chr2'"):
        attributions(adata, target="chr2")
    for bad in ("L6", ["L9"], []):
        with refuses(ValueError, "L2/3", repr(bad)):
            attributions(adata, groups=bad)
    with keep_obs():
        both = MuData({"rna": adata, "atac": adata.copy()})
    with refuses(ValueError, "one modality", "mdata['atac']"):
        attributions(both)
    with refuses(ValueError, "n_features of at least 1", "found -1"):
        attributions(adata, n_features=-1)
