"""What a cell type classifier reads of cells: labels, shared genes, embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import RNA
from scmomer.data import as_text, assigned, examples, obs_column
from scmomer.inference import Inference
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs

if TYPE_CHECKING:
    from scmomer.data import Cells
    from scmomer.model import SCMOMER

Inputs = Literal["all", "embedding"]


@dataclass(frozen=True)
class CellInputs:
    """Inputs of the heads for some cells."""

    values: np.ndarray
    """Shape ``(n_cells, n_inputs)``, float32; not a number for what a cell lacks."""
    n_sure: int
    """Inputs, from the first, that every cell has."""
    z: np.ndarray
    """Fused embedding, ``(n_cells, n_latent)``."""


def read_labels(data: AnnData | MuData, labels_key: str) -> np.ndarray:
    """Return the label of each cell as text, ``(n_cells,)``.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    column = obs_column(data, labels_key)
    return column.astype(object).where(column.notna(), None).to_numpy()


def labels_by_cell(labels: pd.Series, cells: pd.Index) -> np.ndarray:
    """Return labels in the order of `cells`: by name if the series has these, else as they come.

    Raises
    ------
    ValueError
        If the series names other cells.
    """
    names = labels.index
    if isinstance(names, pd.RangeIndex) or names.equals(cells):
        return labels.to_numpy(object)
    if names.is_unique and cells.isin(names).all():
        return labels.astype(object).reindex(cells).to_numpy()
    lacking = cells[~cells.isin(names)]
    msg = (
        f"Expected labels of the cells of the reference, found none of {len(lacking)} cells, such "
        f"as {examples(lacking)} (the index has {examples(names)}). If labels are in the order of "
        "the cells, pass labels.to_numpy()."
    )
    raise ValueError(msg)


def check_labels(
    labels: Sequence[str] | np.ndarray, n_cells: int, drop: str | None = None
) -> np.ndarray:
    """Return labels as text, ``(n_cells,)``; `drop` is the line that drops cells without one.

    Raises
    ------
    ValueError
        If there is not one per cell, one is missing, there is one class only, or a class has one
        cell.
    """
    array = np.asarray(labels, dtype=object)
    if array.shape != (n_cells,):
        msg = f"Expected a label for each of {n_cells} cells, found shape {array.shape}."
        raise ValueError(msg)
    missing = int(pd.isna(array).sum())
    if missing:
        msg = (
            f"Expected a label for every cell of the reference, found {missing} of {n_cells} "
            f"missing (NaN). Drop these cells{f': `{drop}`' if drop else ' and their labels'}."
        )
        raise ValueError(msg)
    array = np.array([as_text(value) for value in array], dtype=str)
    names, counts = np.unique(array, return_counts=True)
    if len(names) < 2:
        msg = (
            f"Expected labels of at least two classes, found {names.tolist()}. "
            "A classifier has nothing to tell apart: pass a reference with more cell types."
        )
        raise ValueError(msg)
    if (counts < 2).any():
        alone = names[counts < 2].tolist()
        msg = (
            f"Expected at least two cells of each class, one to train and one to validate on, "
            f"found one of {alone[:5]}. Leave these cells out or merge them into another class."
        )
        raise ValueError(msg)
    return array


def check_threshold(value: object) -> float:
    """Return a probability below which cells are unknown.

    Raises
    ------
    ValueError
        If it is none.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 1:  # type: ignore[arg-type]
        msg = (
            f"Expected unknown_threshold None, 'auto' or a probability in [0, 1], found {value!r}."
        )
        raise ValueError(msg)
    return float(value)  # type: ignore[arg-type]


def shared_genes(genes: Mapping[str, pd.Index], spec_genes: pd.Index) -> pd.Index | None:
    """Return the model's genes that all data have; None if these are all genes of the model.

    `genes` are those of each, by how messages name it.

    Raises
    ------
    ValueError
        If the data share none.
    """
    common = spec_genes
    for names in genes.values():
        common = common[common.isin(names)]
    if common.empty:
        lines = [f"`{assigned(w)} = scmomer.pp.align_genes({w}, model)`" for w in genes]
        examples = [names[:3].tolist() for names in genes.values()]
        msg = (
            "Expected genes of the model that reference and query share, found none: they have "
            f"genes such as {' and '.join(map(str, examples))}. Name genes alike: "
            f"{' and '.join(lines)} match by more than names."
        )
        raise ValueError(msg)
    return None if len(common) == len(spec_genes) else common


def restrict(cells: Cells, genes: pd.Index, keep: pd.Index | None) -> Cells:
    """Return the cells with the counts of other genes than `keep` set to zero."""
    if keep is None or RNA not in cells.counts:
        return cells
    shown = sp.diags(genes.isin(keep).astype(np.float32))
    counts = (cells.counts[RNA] @ shown).tocsr()
    counts.eliminate_zeros()
    counts.sort_indices()
    cells.counts[RNA] = counts
    return cells


def cell_inputs(
    model: SCMOMER,
    cells: Cells,
    use: tuple[str, ...] | None,
    inputs: Inputs,
    batch_size: int | None,
    pcs: ExpressionPCs | None = None,
) -> CellInputs:
    """Embed cells; nothing of a cell depends on other cells.

    The fused embedding and, with ``inputs="all"``, that of RNA, those of the translation heads,
    which read RNA each in its own way, and components of expression. Not a number for cells
    without RNA.
    """
    model._require_stages_for(cells)
    run = Inference(model.module, cells, None, batch_size)
    other = next(
        (m for m in model.module.modalities if m != RNA), None
    )  # what heads translate into
    found = run.embed(use, other)
    if inputs == "embedding":
        return CellInputs(found.latent, found.latent.shape[1], found.latent)
    blocks = [found.latent]
    if model.module.fused and RNA in found.single:
        blocks.append(found.single[RNA])
    n_sure = sum(block.shape[1] for block in blocks)
    if RNA in found.heads:
        n_heads, width = found.heads[RNA].shape[1:]
        blocks.append(found.heads[RNA].reshape(len(found.latent), n_heads * width))
    if pcs is not None:
        blocks.append(components(pcs, cells, use))
    return CellInputs(np.hstack(blocks), n_sure, found.latent)


def components(pcs: ExpressionPCs, cells: Cells, use: tuple[str, ...] | None) -> np.ndarray:
    """Return components of expression, ``(n_cells, n_comps)``; not a number where RNA is not read."""
    n_comps = pcs.weights.shape[1]
    if RNA not in cells.counts or (use is not None and RNA not in use):
        return np.full((cells.n_cells, n_comps), np.nan, np.float32)
    return pcs(cells.counts[RNA], cells.measured[RNA])
