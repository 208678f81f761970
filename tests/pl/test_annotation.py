"""``pl.confusion`` and ``pl.annotation_umap``."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from scmomer import pl


@pytest.fixture
def cells() -> AnnData:
    """Six cells of a, three of b, one of c; two wrong labels, one unknown, one unlabeled cell."""
    adata = AnnData(np.zeros((11, 2), np.float32))
    adata.obs["true"] = [*"aaaaaabbbc", None]
    adata.obs["scmomer_label"] = pd.Categorical([*"aaaab", "unknown", *"bbaca"])
    adata.obs["score"] = np.linspace(0, 1, 11)
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(11, 2))
    return adata


@pytest.fixture(params=["AnnData", "MuData"])
def data(request, cells):
    if request.param == "AnnData":
        return cells
    mdata = MuData({"rna": cells})
    for key in ("true", "scmomer_label", "score"):
        mdata.obs[key] = cells.obs[key]
    mdata.obsm["X_umap"] = cells.obsm["X_umap"]
    return mdata


def values(ax: Axes) -> np.ndarray:
    return ax.images[0].get_array().data


def test_rows_are_shares_of_the_true_label(data):
    ax = pl.confusion(data, "true")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a (6)", "b (3)", "c (1)"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c", "unknown"]
    expected = [[4 / 6, 1 / 6, 0, 1 / 6], [1 / 3, 2 / 3, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_allclose(values(ax), expected)
    f1 = np.mean([2 * 4 / (6 + 5), 2 * 2 / (3 + 3), 1])
    assert ax.get_title() == f"accuracy 0.700, macro-F1 {f1:.3f}"
    assert [t.get_text() for t in ax.texts] == ["0.67", "0.17", "0.17", "0.33", "0.67", "1.00"]


def test_counts_and_order_can_be_asked_for(cells):
    order = ["c", "unknown", "b", "a"]
    ax = pl.confusion(cells, "true", normalize=False, order=order)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "b", "a", "unknown"]
    assert np.array_equal(values(ax), [[1, 0, 0, 0], [0, 2, 1, 0], [0, 1, 4, 1]])
    with pytest.warns(FutureWarning, match="normalise= is now called normalize="):
        former = pl.confusion(cells, "true", normalise=False, order=order)
    assert np.array_equal(values(former), values(ax))


def test_labels_that_were_never_predicted_keep_their_column(cells):
    cells.obs["scmomer_label"] = "a"
    ax = pl.confusion(cells, "true")
    assert values(ax).shape == (3, 3) and (values(ax)[:, 0] == 1).all()


def test_many_labels_have_no_numbers():
    adata = AnnData(np.zeros((40, 1), np.float32))
    adata.obs["true"] = adata.obs["scmomer_label"] = [f"t{i % 20}" for i in range(40)]
    ax = pl.confusion(adata, "true")
    assert not ax.texts and np.array_equal(values(ax), np.eye(20))


def test_confusion_refuses_what_it_cannot_show(cells, refuses):
    with refuses(KeyError, "'nope'", "true"):
        pl.confusion(cells, "nope")
    with refuses(ValueError, "order=", "['b'"):
        pl.confusion(cells, "true", order=["a", "c"])
    cells.obs["true"] = None
    with refuses(ValueError, "'true'", "No cell"):
        pl.confusion(cells, "true")


def test_axes_figures_and_files(cells, tmp_path):
    own = plt.subplots()[1]
    assert pl.confusion(cells, "true", ax=own) is own
    assert isinstance(pl.confusion(cells, "true", return_fig=True), Figure)
    pl.confusion(cells, "true", save=tmp_path / "a.png")
    both = list(plt.subplots(1, 2)[1])
    assert pl.annotation_umap(cells, "true", ax=both) == both
    assert isinstance(pl.annotation_umap(cells, "true", return_fig=True), Figure)
    pl.annotation_umap(cells, "true", save=tmp_path / "b.png")
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("a.png", "b.png"))


def colors(ax: Axes) -> dict[tuple[float, ...], tuple[float, ...]]:
    """Color of each dot by its position."""
    return {
        tuple(xy): tuple(c)
        for dots in ax.collections[:2]
        for xy, c in zip(dots.get_offsets().data, _each(dots), strict=True)
    }


def _each(dots) -> np.ndarray:
    face = dots.get_facecolors()
    return np.repeat(face, len(dots.get_offsets()), 0) if len(face) == 1 else face


def test_a_label_has_one_color_in_both_panels(data):
    true, predicted = pl.annotation_umap(data, "true")
    before, after = colors(true), colors(predicted)
    assert set(before) == set(after) == set(map(tuple, data.obsm["X_umap"]))
    labels = data.obs["true"].to_numpy(), data.obs["scmomer_label"].astype(str).to_numpy()
    for xy, old, new in zip(map(tuple, data.obsm["X_umap"]), *labels, strict=True):
        assert (before[xy] == after[xy]) == (old == new)
    names = [t.get_text() for t in predicted.get_legend().get_texts()]
    assert set(names) == {"a", "b", "c", "unknown"} and true.get_legend() is None


def test_panels_as_asked(cells):
    axes = pl.annotation_umap(cells, None, continuous=["score"])
    assert [ax.get_title() for ax in axes] == ["predicted (scmomer_label)", "score"]
    shown = axes[1].collections[0]
    assert np.array_equal(shown.get_array(), cells.obs["score"].sort_values())


def test_a_umap_is_computed_on_the_side():
    rng = np.random.default_rng(0)
    adata = AnnData(np.zeros((60, 1), np.float32), obsm={"X_scmomer": rng.normal(size=(60, 4))})
    adata.obs["scmomer_label"] = [*"ab"] * 30
    (ax,) = pl.annotation_umap(adata, None)
    assert sum(len(dots.get_offsets()) for dots in ax.collections[:2]) == 60
    assert set(adata.obsm) == {"X_scmomer"} and not adata.uns and not adata.obsp


def test_umap_refuses_what_it_cannot_show(cells, refuses):
    with refuses(KeyError, "'nope'", "score"):
        pl.annotation_umap(cells, "true", continuous=["nope"])
    with refuses(KeyError, "'nope'", "true"):
        pl.annotation_umap(cells, "nope")
    with refuses(KeyError, "X_pca", "tl.embed"):
        pl.annotation_umap(cells, "true", basis="X_pca")
