"""Features of cell lines and cells: standardized expression, and the embedding of a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from sklearn.utils.sparsefuncs import mean_variance_axis

from scmomer.data import Profile, check_unique, get_expression, match_genes, read_values, warn
from scmomer.nn import log_normalize_csr
from scmomer.tasks.drugs._checks import check_cells
from scmomer.tasks.drugs.response._line_kernel import Standardizer

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

logger = logging.getLogger(__name__)

CellInputs = Literal["both", "expression", "embedding"]
_TARGET_SUM: Final = 1e4
_MIN_SHARE: Final = 0.5  # of the genes
_FEW_CELLS: Final = 30  # to standardize with
_CONSTANT: Final = 1e-6  # standard deviation of a feature that is one value


@dataclass(frozen=True)
class CellProfiles:
    """What was read of cells. Expression stays sparse: :meth:`blocks` makes some rows dense."""

    expression: sp.csr_matrix | None
    """``(n_cells, n_genes)``"""
    has: np.ndarray
    """Which genes are there, bool ``(n_genes,)``."""
    embedding: np.ndarray | None
    """``(n_cells, n_latent)``"""
    moments: list[tuple[np.ndarray, np.ndarray, Standardizer]] = field(default_factory=list)
    """Of each block mean and standard deviation in these cells, and what replaces them."""

    def __len__(self) -> int:
        return next(x.shape[0] for x in (self.expression, self.embedding) if x is not None)

    def blocks(self, rows: slice = slice(None)) -> list[np.ndarray]:
        """Return a block of expression and one of embeddings, as far as they were asked for.

        Genes that are not there are NaN. Shapes ``(n_rows, n_genes)`` and ``(n_rows, n_latent)``.
        """
        found = []
        if self.expression is not None:
            dense = self.expression[rows].toarray().astype(np.float64)
            dense[:, ~self.has] = np.nan
            found.append(dense)
        if self.embedding is not None:
            found.append(self.embedding[rows])
        if not self.moments:
            return found
        return [
            like.mean
            + like.scale * np.divide(x - mean, std, out=np.zeros(x.shape), where=std > _CONSTANT)
            for x, (mean, std, like) in zip(found, self.moments, strict=True)
        ]

    def averaged(self, groups: pd.Categorical) -> CellProfiles:
        """Return the mean profile of each group; cells of no group do not count."""
        used = np.flatnonzero(groups.codes >= 0)
        codes = groups.codes[used]
        n = np.bincount(codes, minlength=len(groups.categories))
        share = sp.csr_matrix((1 / n[codes], (codes, used)), shape=(len(n), len(groups)))
        return replace(
            self,
            expression=None if self.expression is None else sp.csr_matrix(share @ self.expression),
            embedding=None if self.embedding is None else share @ self.embedding,
        )

    def standardized(self, like: list[Standardizer]) -> CellProfiles:
        """Return features in standard deviations of these cells, in units of the training lines.

        Parameters
        ----------
        like
            Standardizers of the training lines.

        Raises
        ------
        ValueError
            If there is one cell.
        """
        n = len(self)
        if n < 2:
            msg = (
                "Expected at least 2 cells to standardize within, found 1. Pass it together with "
                "the other cells of its sample."
            )
            raise ValueError(msg)
        if n < _FEW_CELLS:
            warn(
                f"{n} cells are few to measure mean and spread of each gene with: predictions are "
                "relative to these cells."
            )
        measured = []
        if self.expression is not None:
            measured.append(_moments(self.expression))
        if self.embedding is not None:
            measured.append((self.embedding.mean(0), self.embedding.std(0)))
        return replace(
            self,
            moments=[(*found, scale) for found, scale in zip(measured, like, strict=True)],
        )


def _moments(matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of columns, each ``(n_columns,)``."""
    mean, variance = mean_variance_axis(matrix.astype(np.float64), axis=0)
    return mean, np.sqrt(variance)


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
        """Return the :meth:`~CellProfiles.blocks` of cells."""
        return self.read_profiles(cells, profile, layer).blocks()

    def read_profiles(self, cells: AnnData, profile: Profile, layer: str | None) -> CellProfiles:
        """Read cells: ``log2(1 + x)`` of counts per 10,000, or z-scores as given; embeddings."""
        expression, embedding, has = None, None, np.ones(len(self.genes), bool)
        if self.inputs != "embedding":
            expression, has = self._expression(cells, profile, layer)
        if self.embedding_model is not None and self.inputs != "expression":
            found = self.embedding_model.get_latent_representation(
                cells, layer=layer, profile=profile
            )
            embedding = np.asarray(found, np.float64)
        return CellProfiles(expression, has, embedding)

    def _expression(
        self, cells: AnnData, profile: Profile, layer: str | None
    ) -> tuple[sp.csr_matrix, np.ndarray]:
        matrix = match_genes(cells.var_names.astype(str), self.genes).matrix
        n = np.asarray(matrix.sum(0)).ravel()
        has = n > 0
        if has.mean() < _MIN_SHARE:
            msg = (
                f"Expected at least half of the {len(self.genes)} genes of the training lines, "
                f"found {int(has.sum())} among {cells.n_vars}. Check that names are of the same "
                "kind (symbols or Ensembl ids) and species; scmomer.pp.align_genes translates them."
            )
            raise ValueError(msg)
        if not has.all():
            logger.info(
                "%d of %d genes are not in these cells: lines are compared by the others.",
                int((~has).sum()),
                len(has),
            )
        to_genes = matrix.astype(np.float32)
        if profile == "zscore":  # the mean of genes of one name, which are summed as counts
            values = read_values(cells, layer, "cells", profile)[0]
            return sp.csr_matrix(values @ to_genes @ sp.diags(1 / np.maximum(n, 1))), has
        counts = get_expression(
            cells, layer, "cells", "layer", profile, known=np.asarray(matrix.sum(1)).ravel() > 0
        )
        # Per 10,000 of the training lines' genes, whatever other genes these cells have.
        return log_normalize_csr(sp.csr_matrix(counts.counts @ to_genes), _TARGET_SUM), has


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
    check_cells(cells)
    check_unique(cells.var_names, "cells.var_names")
    return ProfileReader(inputs, cells.var_names.astype(str), profile, model)


def within_query(
    trained: Profile, profile: Profile, standardize: Literal["training", "query"] | None
) -> bool:
    """Return whether features are standardized within the query.

    Raises
    ------
    ValueError
        If `standardize` is unknown, or z-scores are compared with values that are none.
    """
    if standardize not in (None, "training", "query"):
        msg = (
            f"Expected standardize of 'training', 'query' or None, found {standardize!r}. Choose "
            "one."
        )
        raise ValueError(msg)
    differ = (profile == "zscore") != (trained == "zscore")
    if differ and standardize == "training":
        msg = (
            f"Expected profile={trained!r}, as in training, with standardize='training', found "
            f"{profile!r}: z-scores have other units. Pass standardize='query'."
        )
        raise ValueError(msg)
    return differ or standardize == "query"
