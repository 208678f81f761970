"""Features of cell lines and cells: standardized expression, and the embedding of a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data import Profile, check_unique, get_expression, match_genes, read_values, warn
from scmomer.nn import log_normalize_csr

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

logger = logging.getLogger(__name__)

CellInputs = Literal["both", "expression", "embedding"]
_TARGET_SUM: Final = 1e4
_MIN_SHARE: Final = 0.5  # of the genes
_FEW_CELLS: Final = 30  # to standardize with


@dataclass(frozen=True)
class ProfileReader:
    """Reads what a model of drugs knows of cells."""

    inputs: CellInputs
    genes: pd.Index
    """Genes of the training lines."""
    profile: Profile
    """Of the training lines."""
    embedding_model: SCMOMER | None

    def read(self, cells: AnnData, profile: Profile, layer: str | None) -> list[np.ndarray]:
        """Return a block of expression and one of embeddings, as far as asked for.

        Expression is ``log(1 + x)`` of counts per 10,000, or z-scores as given; genes that are not
        there are NaN. Shapes ``(n_cells, n_genes)`` and ``(n_cells, n_latent)``.
        """
        blocks = []
        if self.inputs != "embedding":
            blocks.append(self._expression(cells, profile, layer))
        if self.embedding_model is not None and self.inputs != "expression":
            found = self.embedding_model.get_latent_representation(
                cells, layer=layer, profile=profile
            )
            blocks.append(np.asarray(found, np.float64))
        return blocks

    def _expression(self, cells: AnnData, profile: Profile, layer: str | None) -> np.ndarray:
        matrix = match_genes(cells.var_names, self.genes).matrix
        has = np.asarray(matrix.sum(0)).ravel() > 0
        if has.mean() < _MIN_SHARE:
            msg = (
                f"Expected at least half of the {len(self.genes)} genes of the training lines, "
                f"found {int(has.sum())} among {cells.n_vars}. Check that names are of the same "
                "kind (symbols or Ensembl ids) and species; scmomer.pp.align_genes translates them."
            )
            raise ValueError(msg)
        if not has.all():
            logger.info(
                "%d of %d genes are not in these cells: the mean of the training lines is used.",
                int((~has).sum()),
                len(has),
            )
        found = (read_expression(cells, profile, layer) @ matrix.astype(np.float32)).toarray()
        found = found.astype(np.float64)
        found[:, ~has] = np.nan
        return found


def read_expression(cells: AnnData, profile: Profile, layer: str | None) -> sp.csr_matrix:
    """Return expression as models of drugs read it, ``(n_cells, n_genes)``."""
    if profile == "zscore":
        return read_values(cells, layer, "cells", profile)[0]
    counts = get_expression(cells, layer, "cells", "layer", profile).counts
    return log_normalize_csr(counts, _TARGET_SUM)


def training_reader(
    cells: AnnData, inputs: CellInputs, profile: Profile, model: SCMOMER | None
) -> ProfileReader:
    """Return the reader for the genes of the training lines.

    Raises
    ------
    TypeError
        If `cells` is no AnnData.
    ValueError
        If names repeat.
    """
    if not isinstance(cells, AnnData):
        msg = (
            "Expected cells as an AnnData with a row for each cell line, found "
            f"{type(cells).__name__}. For a table of lines x genes: `anndata.AnnData(table)`."
        )
        raise TypeError(msg)
    check_unique(cells.var_names, "cells.var_names")
    return ProfileReader(inputs, cells.var_names.astype(str), profile, model)


def standardize_by_query(blocks: list[np.ndarray], like: list[Any]) -> list[np.ndarray]:
    """Return features in standard deviations of the query, moved to the training lines' units.

    Parameters
    ----------
    blocks
        Features, each ``(n, n_features)``.
    like
        Standardizers of the training lines.
    """
    found = []
    for x, scale in zip(blocks, like, strict=True):
        if len(x) < _FEW_CELLS:
            warn(
                f"{len(x)} cells are few to measure mean and spread of each gene with: "
                "predictions are relative to these cells."
            )
        z = (x - np.nanmean(x, 0)) / (np.nanstd(x, 0) + 1e-6)
        found.append(scale.mean + scale.scale * z)
    return found
