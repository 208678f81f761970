"""``pl.peak_gene_links``: arcs of a gene's links."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb

from scmomer.pl import peak_gene_links


@pytest.fixture
def links() -> pd.DataFrame:
    """Three links of gene A and one of gene B, in two groups."""
    one = pd.DataFrame(
        {
            "peak": ["p1", "p2", "p3", "p3"],
            "gene": ["A", "A", "A", "B"],
            "chrom": "chr1",
            "start": [1000, 5000, 9000, 9000],
            "end": [1500, 5500, 9500, 9500],
            "tss": [4000, 4000, 4000, 8000],
            "strand": ["+", "+", "+", "-"],
            "score": [0.8, -0.4, 0.2, 0.1],
            "padj": [0.01, 0.2, 0.04, 0.5],
        }
    )
    return pd.concat([one.assign(group="L2/3"), one.assign(group="b", score=one["score"] / 2)])


def parts(ax, kind):
    return [c for c in ax.collections if isinstance(c, kind)][0]


def test_arcs_lead_from_peaks_to_the_transcription_start(links):
    axes = peak_gene_links(links, "A", show=False)
    assert [ax.get_title(loc="left") for ax in axes] == ["L2/3", "b"]
    arcs = parts(axes[0], LineCollection)
    lines = {int(line[0, 0]): line for line in map(np.asarray, arcs.get_segments())}
    assert sorted(lines) == [1250, 5250, 9250]  # middles of peaks
    for start, line in lines.items():
        assert line[-1, 0] == pytest.approx(4000) and line[[0, -1], 1] == pytest.approx(0, abs=1e-9)
        top = line[np.abs(line[:, 1]).argmax(), 1]
        assert top < 0 if start == 5250 else top > 0, "negative links are below the line"
    assert axes[0].get_xlabel() == "chr1 (Mb)"


def test_strong_links_are_wide_and_significant_ones_opaque(links):
    first, second = peak_gene_links(links, "A", max_padj=0.05, show=False)
    arcs = parts(first, LineCollection)
    start = [int(np.asarray(s)[0, 0]) for s in arcs.get_segments()]
    width = dict(zip(start, arcs.get_linewidths(), strict=True))
    assert width[1250] > width[5250] > width[9250]
    assert start[0] == 5250, "those that are not significant are at the back"
    alpha = dict(zip(start, arcs.get_alpha(), strict=True))
    assert alpha[1250] == alpha[9250] > alpha[5250]
    color = dict(zip(start, (c[:3] for c in arcs.get_colors()), strict=True))
    assert tuple(color[1250]) == to_rgb("#b2182b") and tuple(color[5250]) == to_rgb("#2166ac")
    assert max(parts(second, LineCollection).get_linewidths()) < max(arcs.get_linewidths())
    boxes = parts(first, PolyCollection)
    assert len(boxes.get_paths()) == 3
    assert (boxes.get_facecolors()[1][:3] == 0.65).all(), "gray without a significant link"


def test_groups_and_genes_are_chosen(links, tmp_path):
    axes = peak_gene_links(links, ["A", "B"], groups=["b"], show=False)
    assert len(axes) == 2
    assert [t.get_text() for t in axes[1].texts if t.get_text()] == ["B"]
    peak_gene_links(links[links["group"] == "b"], "B", save=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_data_hold_the_table(links):
    adata = AnnData(np.ones((2, 1)), uns={"scmomer_links": links, "other": links.assign(gene="C")})
    assert len(peak_gene_links(adata, "A", show=False)) == 2
    assert len(peak_gene_links(adata, "C", key="other", show=False)) == 2


def test_what_is_absent_is_refused(links, refuses):
    with refuses(KeyError, "uns['scmomer_links']", "scmomer.tl.peak_gene_links", "key="):
        peak_gene_links(AnnData(np.ones((2, 1))), "A")
    with refuses(KeyError, "without ['tss']"):
        peak_gene_links(links.drop(columns="tss"), "A")
    with refuses(KeyError, "such as 'A', 'B'", "'nope'"):
        peak_gene_links(links, "nope")
    for groups in (["nope"], "b"):
        with refuses(KeyError, "['L2/3', 'b']", repr(groups)):
            peak_gene_links(links, "A", groups=groups)
    with refuses(ValueError, "2 Axes"):
        import matplotlib.pyplot as plt

        peak_gene_links(links, "A", ax=plt.figure().add_subplot())
    for wrong in ({"gene": []}, {"gene": None}, {"gene": "A", "groups": []}):
        with refuses(ValueError, "genes and groups to show", "at least one"):
            peak_gene_links(links, **wrong)
    with refuses(TypeError, "AnnData or a MuData", "str"):
        peak_gene_links("links", "A")
