"""What a cell type classifier reads of cells: shared genes and embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from scmomer._constants import RNA
from scmomer.data import assigned
from scmomer.inference import Inference
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._module import ClassifierConfig

if TYPE_CHECKING:
    from scmomer.data import Cells
    from scmomer.model import SCMOMER
    from scmomer.module import SCMOMERModule
    from scmomer.nn import SparseRows

Inputs = Literal["all", "embedding"]
Mode = Literal["frozen", "finetune"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a classifier reads, and how it is trained."""

    inputs: Inputs
    mode: Mode
    modalities: tuple[str, ...]
    """Modalities to read."""
    genes: pd.Index | None
    """Genes to read; None for all."""
    config: ClassifierConfig


@dataclass(frozen=True)
class CellInputs:
    """Inputs of the heads for some cells."""

    values: np.ndarray
    """Shape ``(n_cells, n_inputs)``, float32; NaN for what a cell lacks."""
    n_always_present: int
    """Number of inputs, from the first, that every cell has."""
    z: np.ndarray
    """Fused embedding, ``(n_cells, n_latent)``."""


def shared_genes(genes: Mapping[str, pd.Index], spec_genes: pd.Index) -> pd.Index | None:
    """Return the model's genes that all data have; None if that is all of the model's genes.

    The keys of `genes` name the data in messages.

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
            "Reference and query share no gene of the model: they have genes such as "
            f"{' and '.join(map(str, examples))}. Name genes alike: {' and '.join(lines)} match by "
            "more than names."
        )
        raise ValueError(msg)
    return None if len(common) == len(spec_genes) else common


def restrict_genes(cells: Cells, genes: pd.Index, keep: pd.Index | None) -> Cells:
    """Set the counts of all genes except `keep` to zero."""
    if keep is None or RNA not in cells.counts:
        return cells
    shown = sp.diags(genes.isin(keep).astype(np.float32))
    counts = (cells.counts[RNA] @ shown).tocsr()
    counts.eliminate_zeros()
    counts.sort_indices()
    cells.counts[RNA] = counts
    return cells


def select_cells(cells: Cells, kept: np.ndarray) -> Cells:
    """Return the `kept` cells, ``(n_cells,)`` bool."""
    if kept.all():
        return cells
    counts = {m: x[kept] for m, x in cells.counts.items()}
    return replace(cells, counts=counts, measured={m: x[kept] for m, x in cells.measured.items()})


def cell_inputs(
    model: SCMOMER,
    cells: Cells,
    settings: Settings,
    batch_size: int | None,
    pcs: ExpressionPCs | None = None,
) -> CellInputs:
    """Embed cells, each independently of the others.

    The inputs are the fused embedding and, with ``inputs="all"``, the RNA embedding, those of the
    translation heads, and components of expression. The last two are NaN for cells without RNA.
    """
    model._require_stages_for(cells)
    target = next((m for m in model.module.modalities if m != RNA), None)  # of translation heads
    use = settings.modalities
    found = Inference(model.module, cells, None, batch_size).embed(use, target)
    if settings.inputs == "embedding":
        return CellInputs(found.latent, found.latent.shape[1], found.latent)
    z_rna, heads = (
        None if values is None else torch.from_numpy(values)
        for values in (found.single.get(RNA), found.heads.get(RNA))
    )
    joined, n_always_present = _join(model.module, torch.from_numpy(found.latent), z_rna, heads)
    values = joined.numpy()
    if pcs is not None:
        values = np.hstack([values, pcs.transform(cells, use)])
    return CellInputs(values, n_always_present, found.latent)


def batch_inputs(module: SCMOMERModule, counts: dict[str, SparseRows], inputs: Inputs) -> Tensor:
    """Return :func:`cell_inputs` of a minibatch without components, with gradients."""
    n_heads = len(module.heads_from(RNA)) if RNA in module.modalities else 0
    found = module.embed(counts, heads_of=[RNA] if n_heads and inputs == "all" else [])
    z, heads = found.z @ module.basis, found.heads.get(RNA)
    if inputs == "embedding":
        return z
    if n_heads and heads is None:
        heads = z.new_full((len(z), n_heads, z.shape[1]), torch.nan)
    return _join(module, z, found.single.get(RNA), heads)[0]


def _join(
    module: SCMOMERModule, z: Tensor, z_rna: Tensor | None, heads: Tensor | None
) -> tuple[Tensor, int]:
    """Join the fused embedding, the RNA embedding and those of the translation heads.

    Returns
    -------
    Shape ``(n, n_inputs)``; and the number of inputs, from the first, that every cell has.
    """
    blocks = [z] if z_rna is None or not module.fused else [z, z_rna]
    n_always_present = sum(block.shape[1] for block in blocks)
    if heads is not None:
        blocks.append(heads.flatten(1))
    return torch.cat(blocks, -1), n_always_present
