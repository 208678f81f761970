"""``SCMOMER.get_gene_embeddings``: what the RNA encoder makes of each gene."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from scmomer._constants import RNA
from scmomer.data import Layers, as_groups, as_text, examples, obs_column
from scmomer.inference import Inference, gene_tokens

if TYPE_CHECKING:
    from scmomer.data import Cells, ModelSpec
    from scmomer.module import SCMOMERModule

logger = logging.getLogger(__name__)

GeneSource = Literal["contextual", "table"]
_MOST_NUMBERS = 100  # different values of a column of groups that are numbers
GROUPS = "groups"
"""Key in ``obsm`` of the embeddings of each group, and in ``uns`` of their names."""


class GeneEmbeddingsMixin:
    """Embeddings of genes."""

    module: SCMOMERModule
    spec: ModelSpec
    adata: AnnData | MuData | None
    id: str

    if TYPE_CHECKING:

        def _read_cells(
            self, data: AnnData | MuData | None, layers: Mapping[str, Any] = ...
        ) -> Cells: ...

        def _check_trained(self) -> None: ...

    def get_gene_embeddings(
        self,
        adata: AnnData | MuData | None = None,
        *,
        groupby: str | pd.Series | None = None,
        source: GeneSource = "contextual",
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        enable_progress_bar: bool = False,
        **layers: Unpack[Layers],
    ) -> AnnData:
        """Return the embedding of each of the model's genes.

        Parameters
        ----------
        adata
            MuData or AnnData with raw counts of RNA; None for the registered data.
        groupby
            Column of obs, or a Series of labels with the names of cells as its index: embeddings of
            each group of cells besides those of all. Cells without a label are left out of both.
        source
            ``"contextual"``: the RNA encoder's output token of the gene, averaged over the cells
            that express it. ``"table"``: the vector with which every token of the gene begins,
            whatever the cell; of an MLP encoder the input weights. `adata` has no influence on it.
        indices
            Cells to use; None for all.
        batch_size
            Cells at a time, default :attr:`scvi.settings.batch_size`. Does not change results.
        enable_progress_bar
            Show a progress bar over cells.
        layers
            As in :meth:`get_latent_representation`.

        Returns
        -------
        AnnData
            Genes x dimensions, for example for :func:`scanpy.pp.neighbors`:

            ``X``
                Embeddings, ``(n_genes, dim)``, float32; NaN for genes that no cell expresses.
            ``obs``
                For ``"contextual"``: ``n_cells`` that express the gene, ``detection`` (their share)
                and ``mean`` (of log-normalized expression, over all cells).
            ``obsm["groups"]``, ``obsm["n_cells"]``, ``obsm["variance"]``
                With `groupby`: the embedding in each group, ``(n_genes, dim, n_groups)``, the cells
                that it is the mean of, ``(n_genes, n_groups)``, and the variance over these cells,
                summed over dimensions. The names of groups are in ``uns["groups"]``.
            ``uns["model_id"]``, ``uns["source"]``
                The model, and `source`.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has no RNA or its RNA encoder no such embeddings; if `groupby` comes with
            ``source="table"``.
        """
        self._check_trained()
        self._check_gene_source(source, groupby)
        genes = pd.DataFrame(index=self.spec.features[RNA].astype(str))
        uns = {"model_id": self.id, "source": source}
        if source == "table":
            table = torch.as_tensor(self.module.rna.encoder.feature_table())
            return AnnData(table.detach().float().cpu().numpy().copy(), obs=genes, uns=uns)
        cells = self._read_cells(adata, layers)
        if RNA not in cells.counts:
            msg = f"Expected cells with RNA, found {list(cells.counts)}. Pass data with genes."
            raise ValueError(msg)
        data = self.adata if adata is None else adata
        run = Inference(self.module, cells, indices, batch_size)
        codes, names = np.zeros(len(run.indices), np.int64), ["all"]
        if groupby is not None:
            labels = _labels(data, groupby)[run.indices]
            codes, names = labels.codes.astype(np.int64), list(labels.categories)
        found = gene_tokens(run, codes, len(names), enable_progress_bar)
        n_cells = found.n_cells.sum(1)  # (n_genes,)
        weight = found.n_cells / np.maximum(n_cells, 1)[:, None]  # (n_genes, n_groups)
        mean = np.einsum("gdk,gk->gd", np.nan_to_num(found.mean), weight).astype(np.float32)
        mean[n_cells == 0] = np.nan
        n_used = int(((codes >= 0) & cells.measured[RNA][run.indices]).sum())
        genes["n_cells"] = n_cells
        genes["detection"] = n_cells / n_used
        genes["mean"] = found.expression
        if unseen := int((n_cells == 0).sum()):
            logger.info(
                "%d of %d genes are in no cell; their embedding is NaN.", unseen, len(genes)
            )
        out = AnnData(mean, obs=genes, uns=uns)
        if groupby is not None:
            out.obsm[GROUPS] = found.mean
            out.obsm["n_cells"], out.obsm["variance"] = found.n_cells, found.variance
            out.uns[GROUPS] = np.array(names, object)
        return out

    def _check_gene_source(self, source: str, groupby: object) -> None:
        """Raise if the model does not have such embeddings."""
        if source not in get_args(GeneSource):
            msg = (
                f"Expected source among {list(get_args(GeneSource))}, found {source!r}. Pass one "
                "of them."
            )
            raise ValueError(msg)
        if RNA not in self.spec.features:
            msg = (
                f"Expected a model of RNA, found one of {list(self.spec.modalities)}. Train one on "
                "data with genes."
            )
            raise ValueError(msg)
        encoder, kind = self.module.rna.encoder, self.module.rna.config.encoder
        if source == "table" and groupby is not None:
            msg = (
                "Expected groupby=None with source='table', whose embeddings are the same in all "
                f"cells, found {groupby!r}. Leave it out, or use source='contextual'."
            )
            raise ValueError(msg)
        if source == "table" and encoder.feature_table() is None:
            msg = f"Expected an encoder with a vector for each gene, found rna_encoder={kind!r}."
            raise ValueError(msg)
        if source == "contextual" and not encoder.has_gene_tokens:
            msg = (
                f"Expected an encoder with tokens of genes, found rna_encoder={kind!r}, the default for "
                "RNA alone in cells with many genes. Train a model with rna_encoder='performer', or use "
                "source='table'."
            )
            raise ValueError(msg)


def _labels(data: AnnData | MuData | None, groupby: str | pd.Series) -> pd.Categorical:
    """Return the group of each cell, as text, in the order of categories, without empty ones."""
    if data is None:
        msg = "Expected data with groupby=, found None. Pass the cells."
        raise ValueError(msg)
    if isinstance(groupby, pd.Series):
        if not groupby.index.isin(data.obs_names).any():
            msg = (
                "Expected a Series with names of cells as its index in groupby=, found "
                f"{examples(groupby.index.astype(str))}. Pass "
                "`groupby.set_axis(adata.obs_names)` if it is in the order of cells."
            )
            raise ValueError(msg)
        if not (groupby.index.is_unique or groupby.index.equals(data.obs_names)):
            n = int(groupby.index.duplicated().sum())
            msg = (
                f"Expected one label for each cell in groupby=, found {n} repeated names in its "
                "index. Drop them: `groupby[~groupby.index.duplicated()]`."
            )
            raise ValueError(msg)
        column = groupby.reindex(data.obs_names)
    elif not isinstance(groupby, str):
        msg = (
            "Expected a column of obs or a Series of labels in groupby=, found "
            f"{type(groupby).__name__}. Labels in the order of cells become one by "
            "`pandas.Series(labels, index=adata.obs_names)`."
        )
        raise TypeError(msg)
    else:
        column = obs_column(data, groupby, "groupby=")
    n_values = column.nunique()
    if pd.api.types.is_float_dtype(column) and n_values > _MOST_NUMBERS:
        msg = (
            f"Expected groups of cells in groupby=, found {n_values} different numbers. Pass a "
            "column of labels, or cut numbers into groups: pandas.cut(adata.obs[...], 5)."
        )
        raise ValueError(msg)
    groups = as_groups(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        empty = [c for c in column.cat.categories if as_text(c) not in groups.categories]
        if empty:
            logger.info("Groups without cells are left out: %s.", empty)
    if not len(groups.categories):
        name = groupby if isinstance(groupby, str) else "the Series"
        msg = (
            f"Expected groups of cells in {name!r}, found missing values only. Use another column."
        )
        raise ValueError(msg)
    return groups
