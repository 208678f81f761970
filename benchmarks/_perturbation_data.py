"""Screens of ``perturbation.py``: cells, what is held out, and where scores are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import pandas as pd
from _counts import are_counts, recover_counts
from _sources import DATA
from anndata import AnnData

from scmomer.tasks.perturbation import (
    ScreenCells,
    ScreenSplit,
    combinations_out,
    groups_out,
    leave_one_out,
    one_combination_out,
    read_screen_cells,
    simulation_split,
)

STRONG = ("JAK2", "STAT1", "IFNGR2", "IFNGR1", "SMAD4", "IRF1", "STAT2", "BRD4")
Parts = Sequence[tuple[str, ...]]
Splitter = Callable[[Parts, Sequence[str], int], Iterator[ScreenSplit]]
_FIRST_NAMES = ("gene_name", "gene_symbol", "gene_symbols")


@dataclass(frozen=True)
class ScreenPart:
    """One way to hold out perturbations of a screen."""

    name: str
    cells: ScreenCells
    splits: Splitter
    adata: AnnData
    """Their counts, for models that read cells."""
    groupby: str | None = None
    """Column of `adata` with groups."""
    disjoint: bool = True
    """Whether training has one half of the control cells and the test the other. Needless where
    training has no cell of the groups of the test."""
    strata: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Named sets of perturbations, for means over these alone."""
    genes_perturbed: bool = True
    """Whether parts are names of genes."""


def papalexi(folder: Path = DATA) -> Iterator[ScreenPart]:
    """ECCITE-seq of THP-1 cells, at ``log1p`` of 1,000 counts.

    Each of 25 genes out in turn, and each replicate out: what is possible for genes that were seen.
    """
    adata = ad.read_h5ad(folder / "perturbation" / "papalexi_eccite.h5ad")
    cells = read_screen_cells(adata, perturbation_key="target", target_sum=1000)
    weak = sorted(set(cells.parts) - set(STRONG))
    strata = {"strong 8": STRONG, "other 17": weak}
    yield ScreenPart("papalexi", cells, lambda p, g, s: leave_one_out(p), adata, strata=strata)
    replicates = read_screen_cells(
        adata, perturbation_key="target", groupby="bio_rep", target_sum=1000, min_cells=20
    )
    yield ScreenPart(
        "papalexi, replicate out",
        replicates,
        lambda p, g, s: groups_out(g),
        adata,
        groupby="bio_rep",
        disjoint=False,
        strata=strata,
    )


def norman(folder: Path = DATA) -> Iterator[ScreenPart]:
    """CRISPRa of K562: single genes out in turn, all combinations out, one combination out."""
    adata = ad.read_h5ad(folder / "perturbation" / "norman_k562_subset.h5ad")
    # Of 13,500 counts of a cell the 500 genes here have 126: their own total is noise.
    cells = read_screen_cells(
        adata, perturbation_key="perturbation", target_sum=1e4, library_size_key="ncounts"
    )
    yield ScreenPart("norman, one single out", cells, lambda p, g, s: leave_one_out(p), adata)
    yield ScreenPart("norman, all doubles out", cells, lambda p, g, s: combinations_out(p), adata)
    yield ScreenPart("norman, one double out", cells, lambda p, g, s: one_combination_out(p), adata)


def kang(folder: Path = DATA) -> Iterator[ScreenPart]:
    """Interferon on blood cells: one cell type out in turn."""
    counts = recover_counts(ad.read_h5ad(folder / "rna" / "kang_pbmc_lognorm.h5ad"))
    cells = read_screen_cells(counts, perturbation_key="condition", groupby="cell_type")
    yield ScreenPart(
        "kang, cell type out",
        cells,
        lambda p, g, s: groups_out(g),
        counts,
        groupby="cell_type",
        disjoint=False,
        genes_perturbed=False,
    )


def any_file(path: Path, key: str | None = None, min_cells: int = 1) -> Iterator[ScreenPart]:
    """Read a file of GEARS or scPerturb: its simulation split, one draw for each seed."""
    adata = ad.read_h5ad(path)
    adata.obs_names_make_unique()
    adata = _with_symbols(adata)
    names = ("condition", "perturbation", "gene_target", "target", "gene")
    keys = [name for name in ((key,) if key else names) if name in adata.obs]
    if not keys:
        raise SystemExit(f"Expected a column {key or names} in obs of {path}. Pass --key.")
    layer = "counts" if "counts" in adata.layers else None
    matrix = adata.X if layer is None else adata.layers[layer]
    cells = read_screen_cells(
        adata,
        perturbation_key=keys[0],
        layer=layer,
        profile="counts" if are_counts(matrix) else "normalized",
        target_sum=1e4,
        min_cells=min_cells,
    )
    yield ScreenPart(
        f"{path.stem}, simulation",
        cells,
        lambda p, g, s: iter([simulation_split(p, random_state=s)]),
        adata,
    )


def _with_symbols(adata: AnnData) -> AnnData:
    """Return cells whose genes are named by symbols, as perturbations are."""
    found = [name for name in _FIRST_NAMES if name in adata.var]
    if found and adata.var_names.str.match("ENS").mean() > 0.5:
        symbols = pd.Index(adata.var[found[0]].astype(str))
        adata = adata[:, ~symbols.duplicated()].copy()
        adata.var_names = symbols[~symbols.duplicated()]
    return adata


SCREENS: dict[str, Callable[[Path], Iterator[ScreenPart]]] = {
    "papalexi": papalexi,
    "norman": norman,
    "kang": kang,
}
