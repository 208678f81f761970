"""``SCMOMER.load_query_data``: decoder biases for the batches of a query."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from scmomer._deprecated import warn_renamed
from scmomer.data import Layers, called, codes, get_categories, obs_column, obs_columns, with_values
from scmomer.inference import Inference
from scmomer.model._current_model import set_current
from scmomer.model._results import ResultsMixin
from scmomer.module import Decoder, SCMOMERModule
from scmomer.train import fit_query_bias

if TYPE_CHECKING:
    import pandas as pd

    from scmomer.data import Cells


class LoadQueryMixin(ResultsMixin):
    """New batches for a trained model, without new training of anything else."""

    def load_query_data(
        self,
        query: AnnData | MuData,
        *,
        batch_key: str | None = None,
        batch_size: int | None = None,
        **layers: Unpack[Layers],
    ) -> Self:
        """Return a model with additional batches from a query.

        In the manner of scArches (Lotfollahi et al., Nature Biotechnology 2022;
        :meth:`scvi.model.base.ArchesMixin.load_query_data`): parameters of the
        new batch are fitted, everything else is frozen. Here these are one bias for each feature in
        the decoders. Encoders have no batch input, so **embeddings are the same before and
        after**, of query and of reference, and so is each translation into a training batch or
        their average. What changes is ``get_translated(data, batch="a new batch")``.

        Biases are fitted for the modalities of the query; decoders of other modalities use the mean
        training batch. A query of RNA alone changes expression, not accessibility.

        Parameters
        ----------
        query
            AnnData of one modality or MuData, with raw counts. Needs no set-up; is not changed.
        batch_key
            Column of obs with the batch of each cell; None for that of the training data. Cells of
            batches that the model has already are not used.
        batch_size
            Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
        layers
            Where values are, and of what kind, as in :meth:`get_latent_representation`.

        Returns
        -------
        SCMOMER
            A new model, with the new batches after those that there were. It has no registered
            data: pass data to its methods. It can be saved, and loaded with more queries.

        Raises
        ------
        KeyError
            If there is no such column.
        ValueError
            If no batch is new, a cell has none, or no feature is shared.
        RuntimeError
            If the model, or the stage that this needs, is not trained.

        Examples
        --------
        >>> adapted = model.load_query_data(query, batch_key="donor")
        >>> adapted.get_translated(query, "rna", batch="donor 7")
        """
        with called("query"):
            cells = self._read_cells(query, layers)
            self._require_stages_for(cells, translate=True)
            column = self._batch_column(query, batch_key)
        new = [name for name in get_categories(column) if name not in self.spec.all_batches]
        if not new:
            msg = (
                f"Expected a batch that the model does not have, found {get_categories(column)} in "
                f"{column.name!r}. Use the model as it is, or rename the batches of the query."
            )
            raise ValueError(msg)
        model = self._with_batches(new)
        _fit(model.module, cells, codes(column, new), len(self.spec.query_batches), batch_size)
        set_current(model)
        return model

    def load_query(self, query: AnnData | MuData, **kwargs: Any) -> Self:
        """Former name of :meth:`load_query_data`."""
        warn_renamed("load_query", "load_query_data", stacklevel=3)
        return self.load_query_data(query, **kwargs)

    def _batch_column(self, query: AnnData | MuData, batch_key: str | None) -> pd.Series:
        key = self.spec.batch_key if batch_key is None else batch_key
        if key is None:
            msg = (
                "Expected batch_key=, found None, and a model that was trained without one. Name "
                f"a column of obs, among {obs_columns(query)}."
            )
            raise ValueError(msg)
        column = obs_column(query, key, "batch_key=")
        if column.isna().any():
            msg = (
                f"Expected a value of {key!r} for every cell of the query, found "
                f"{int(column.isna().sum())} of {len(column)} missing. Drop these cells "
                f"(`{with_values(query, key)}`), or give them a batch of their own."
            )
            raise ValueError(msg)
        return column.rename(key)

    def _with_batches(self, names: list[str]) -> Self:
        """Return a copy without data, whose decoders have further batches."""
        this: Any = self  # the class that this is mixed into
        spec = replace(this.spec, query_batches=[*this.spec.query_batches, *names])
        model = type(this)._from_spec(spec, this.config, this.module.custom_encoders())
        model.module = deepcopy(this.module)
        model.module.add_query_batches(len(names))
        model.module.eval()
        model.stages_, model.is_trained_ = this.stages_, True
        model.origin_ = this.origin_
        model.history_ = {stage: table.copy() for stage, table in (this.history_ or {}).items()}
        return model


def _fit(
    module: SCMOMERModule, cells: Cells, batch: np.ndarray, n_before: int, batch_size: int | None
) -> None:
    """Fit the biases of new batches on their cells.

    `batch` is the number of the new batch of each cell, -1 for others, ``(n_cells,)``; `n_before`
    batches were added by earlier queries.
    """
    for to in cells.counts:
        rows = np.flatnonzero(cells.measured[to] & (batch >= 0))
        for decoder, z in _readers(module, cells, to, rows, batch_size):
            known = np.isfinite(z).all(1)  # a head cannot read a cell that lacks its modality
            some = rows[known]
            embedded = torch.from_numpy(z[known]).to(module.device)
            fit_query_bias(module, to, decoder, embedded, cells, some, n_before + batch[some])


def _readers(
    module: SCMOMERModule, cells: Cells, to: str, rows: np.ndarray, batch_size: int | None
) -> list[tuple[Decoder, np.ndarray]]:
    """Return the decoders into a modality and what each reads, ``(n_rows, n_latent)``.

    As :meth:`get_translated`: from other modalities where they were measured.
    """
    source = tuple(m for m in cells.counts if m != to) or None
    found = Inference(module, cells, rows, batch_size).embed(source, to)
    readers = [(module.modality(to).decoder, found.z)]
    for other, read in found.heads.items():
        heads = enumerate(module.heads_from(other))
        readers += [(head.decoder(to), read[:, k]) for k, head in heads]
    return readers
