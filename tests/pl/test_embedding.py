"""``pl.embedding``."""

from __future__ import annotations

import logging

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from scmomer import pl

N = 40


def make(seed: int = 0, shift: float = 0.0) -> AnnData:
    """Two types, far from each other in every embedding."""
    rng = np.random.default_rng(seed)
    kind = np.arange(N) % 2
    adata = AnnData(np.zeros((N, 2), np.float32))
    adata.obs_names = [f"{seed}-{i}" for i in range(N)]
    adata.obs["cell_type"] = np.array(["a", "b"])[kind]
    adata.obs["score"] = np.linspace(0, 1, N)
    for key in ("X_scmomer", "X_scmomer_atac", "X_scmomer_rna"):
        adata.obsm[key] = rng.normal(size=(N, 4)) + 20 * kind[:, None] + shift
    adata.obsm["X_umap"] = rng.normal(size=(N, 2)) + 5 * kind[:, None]
    return adata


@pytest.fixture(params=["AnnData", "MuData"])
def data(request):
    cells = make()
    if request.param == "AnnData":
        return cells
    mdata = MuData({"rna": cells})
    for key in cells.obsm:
        mdata.obsm[key] = cells.obsm[key]
    return mdata


def titles(axes: list[Axes]) -> list[str]:
    return [ax.get_title() for ax in axes]


def dots(ax: Axes) -> np.ndarray:
    """Positions of all dots of a panel, without those of the legend."""
    return np.concatenate([d.get_offsets().data for d in ax.collections if len(d.get_offsets())])


def names(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [t.get_text() for t in legend.get_texts()]


def test_one_umap_for_each_modality_and_the_fused_one(data):
    keys, uns = set(data.obsm), dict(data.uns)
    axes = pl.embedding(data, color="cell_type")
    assert titles(axes) == ["X_scmomer_rna", "X_scmomer_atac", "X_scmomer"]
    assert [names(ax) for ax in axes] == [[], [], ["a", "b"]]
    assert all(len(dots(ax)) == N for ax in axes)
    assert set(data.obsm) == keys and dict(data.uns) == uns


def test_types_that_differ_are_apart():
    (ax,) = pl.embedding(make(), "scmomer", "cell_type")
    colored = ax.collections[1]
    face, xy = colored.get_facecolors(), colored.get_offsets().data
    same = (face[:, None] == face).all(2)
    distance = np.linalg.norm(xy[:, None] - xy, axis=2)
    nearest = np.where(np.eye(N, dtype=bool), np.inf, distance).argmin(1)
    assert same[np.arange(N), nearest].all() and not same.all()


def test_two_columns_are_shown_as_they_are(data):
    (ax,) = pl.embedding(data, "umap")
    assert np.array_equal(dots(ax), np.asarray(data.obsm["X_umap"], np.float32))
    assert ax.get_xlabel() == "umap1" and names(ax) == []


def test_rows_are_colors_and_columns_are_umaps():
    axes = pl.embedding(make(), ["X_scmomer_rna", "X_scmomer"], ["cell_type", "score"])
    assert titles(axes) == ["X_scmomer_rna", "X_scmomer"] * 2
    assert [ax.get_ylabel().split("\n")[0] for ax in axes[::2]] == ["cell_type", "score"]
    assert np.array_equal(axes[2].collections[0].get_array(), np.linspace(0, 1, N))


def test_all_bases_in_one_umap():
    basis = ["X_scmomer_rna", "X_scmomer_atac"]
    axes = pl.embedding(make(), basis, ["basis", "cell_type"], joint=True)
    assert titles(axes) == ["basis", "cell_type"]
    assert [set(names(ax)) for ax in axes] == [set(basis), {"a", "b"}]
    assert all(len(dots(ax)) == 2 * N for ax in axes)
    assert titles(pl.embedding(make(), basis, joint=True)) == ["basis"]


def test_data_sets_share_a_umap():
    measured, translated = make(), make(1, shift=200)
    del translated.obs["score"]
    both = {"measured": measured, "translated": translated}
    axes = pl.embedding(both, "X_scmomer_atac", ["data", "cell_type", "score"])
    assert titles(axes) == ["data", "cell_type", "score"]
    assert set(names(axes[0])) == set(both)
    assert len(dots(axes[0])) == len(dots(axes[2])) == 2 * N
    assert len(axes[2].collections[0].get_offsets()) == N  # pale: without a score
    assert titles(pl.embedding(both, "X_umap")) == ["data"]


def test_cells_without_an_embedding_are_counted(caplog):
    adata = make()
    adata.obsm["X_scmomer_atac"][:5] = np.nan
    with caplog.at_level(logging.INFO, logger="scmomer"):
        (ax,) = pl.embedding(adata, "X_scmomer_atac", "cell_type")
    assert "5 of 40 cells have no 'X_scmomer_atac'" in caplog.text
    assert len(dots(ax)) == N - 5


def test_colors_of_scanpy_are_kept():
    adata = make()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    adata.uns["cell_type_colors"] = ["#ff0000", "#0000ff"]
    (ax,) = pl.embedding(adata, "umap", "cell_type")
    shown = dict(zip(map(tuple, dots(ax)), ax.collections[1].get_facecolors(), strict=True))
    for xy, name in zip(
        adata.obsm["X_umap"].astype(np.float32), adata.obs["cell_type"], strict=True
    ):
        assert tuple(shown[tuple(xy)][:3]) == ((1, 0, 0) if name == "a" else (0, 0, 1))


def test_embedding_says_what_it_cannot_show(refuses):
    adata = make()
    with refuses(KeyError, "'nope'", "X_umap", "tl.embed"):
        pl.embedding(adata, "nope")
    with refuses(KeyError, "'nope'", "cell_type"):
        pl.embedding(adata, "umap", "nope")
    with refuses(ValueError, "'X_scmomer': 4", "'X_umap': 2", "joint=False"):
        pl.embedding(adata, ["X_scmomer", "X_umap"], joint=True)
    with refuses(ValueError, "none", "dict"):
        pl.embedding({})
    with refuses(ValueError, "one basis", "X_umap"):
        pl.embedding(adata, [])
    adata.obsm["X_scmomer"][:] = np.nan
    with refuses(ValueError, "found 0", "basis="):
        pl.embedding(adata, "X_scmomer")
    with refuses(KeyError, "X_scmomer", "tl.embed"):
        pl.embedding(AnnData(np.zeros((3, 2), np.float32)))


def test_axes_figures_and_files(tmp_path):
    own = list(plt.subplots(1, 2)[1])
    assert pl.embedding(make(), "umap", ["cell_type", "score"], ax=own) == own
    assert isinstance(pl.embedding(make(), "umap", return_fig=True), Figure)
    pl.embedding(make(), "umap", "cell_type", save=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
