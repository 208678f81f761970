"""``pl.knockout``: points for one group, colors for several."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.pl import knockout
from scmomer.tasks.perturbation.knockout import Knockout


def made(groups: tuple[str, ...]) -> Knockout:
    rng = np.random.default_rng(0)
    genes = [f"Gene{i}" for i in range(30)]
    rows = [
        {"gene": gene, "group": group, "outside": gene == "Gene3", "embedding": float(i)}
        | {"embedding_z": float(rng.normal() + (i > 26) * 5), "towards": float(rng.normal())}
        for i, gene in enumerate(genes)
        for group in groups
    ]
    table = pd.DataFrame(rows)
    table.loc[0, "embedding_z"] = np.nan
    zero = np.zeros((30, len(groups), 2))
    return Knockout(
        table, pd.DataFrame(), pd.Index(genes), pd.Index(groups), zero, {"mode": "zero"}, zero, ()
    )


def test_points_are_the_highest_genes_from_the_top():
    result = made(("all",))
    ax = knockout(result, n_genes=10, show=False)
    best = result.rank("embedding_z").head(10)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(best["gene"])
    points = np.concatenate([c.get_offsets() for c in ax.collections[1:]])
    assert sorted(points[:, 0]) == pytest.approx(sorted(best["embedding_z"]))
    assert ax.get_ylim()[0] > ax.get_ylim()[1] and "random genes" in ax.get_xlabel()


def test_genes_beyond_their_background_are_open():
    ax = knockout(made(("all",)), genes=["Gene3", "Gene4"], show=False)
    (text,) = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "more or less" in text


def test_groups_are_columns_of_colors():
    result = made(("b", "a", "c"))
    ax = knockout(result, by="towards", genes=["Gene5", "Gene3"], groups=["c", "a"], show=False)
    (image,) = ax.images
    wide = result.table.pivot(index="gene", columns="group", values="towards")
    np.testing.assert_allclose(image.get_array(), wide.loc[["Gene5", "Gene3"], ["c", "a"]])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "a"]
    low, high = image.get_clim()
    assert low == -high
    assert len(ax.collections[0].get_offsets()) == 2  # Gene3 is marked in both groups


def test_missing_scores_stay_empty():
    ax = knockout(made(("a", "b")), genes=["Gene0", "Gene1"], show=False)
    assert ax.images[0].get_array().mask.tolist() == [[True, False], [False, False]]


def test_own_axes_and_files(tmp_path):
    import matplotlib.pyplot as plt

    _, mine = plt.subplots()
    assert knockout(made(("all",)), ax=mine, show=False) is mine
    knockout(made(("a", "b")), save=tmp_path / "k.png")
    assert (tmp_path / "k.png").stat().st_size > 5000


def test_what_is_no_result_is_refused(refuses):
    result = made(("a", "b"))
    with refuses(TypeError, "scmomer.tl.knockout", "DataFrame"):
        knockout(result.table)
    with refuses(KeyError, "'embedding_z'", "'nothing'"):
        knockout(result, by="nothing")
    with refuses(KeyError, "genes of the result", "['GATA1']"):
        knockout(result, genes="GATA1")
    with refuses(KeyError, "groups of the result", "['z']"):
        knockout(result, groups=["z"])
    result.table["embedding_z"] = np.nan
    with refuses(ValueError, "genes with a score", "min_cells="):
        knockout(result)


def test_odd_options(refuses):
    for bad in (0, -2, 2.5, "a"):
        with refuses(ValueError, "n_genes of at least 1"):
            knockout(made(("all",)), n_genes=bad)
    ax = knockout(made(("x", "y")), groups="x", show=False)
    assert ax.get_xlabel().startswith("shift of the embedding")


def test_the_smallest_shares_of_random_genes_come_first():
    result = made(("all",))
    result.table["embedding_p"] = np.linspace(1, 0.01, len(result.table))
    ax = knockout(result, by="embedding_p", n_genes=3, show=False)
    best = result.table.nsmallest(3, "embedding_p")["gene"]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(best)
