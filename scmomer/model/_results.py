"""``SCMOMER.get_*``: embeddings and translations as arrays."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import pandas as pd
import psutil
from anndata import AnnData
from mudata import MuData

from scmomer._checks import optional_share
from scmomer._constants import RNA, Modality
from scmomer.data import (
    Layers,
    as_text,
    check_container,
    examples,
    given_profile,
    layers_by_modality,
    read_cells,
)
from scmomer.inference import Depth, Embeddings, Inference
from scmomer.module import MODALITY_TYPES
from scmomer.train import possible_stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scmomer.data import Cells, ModelSpec
    from scmomer.module import SCMOMERModule

logger = logging.getLogger(__name__)
_UNTRAINED = (
    "This model was never trained. Call model.train(), or load a trained one with "
    "scmomer.load(path)."
)
_WITH_DATA = (
    "Save the model if it was trained since (`model.save(path)`), and load it with its training "
    "data, `model = scmomer.load(path, mdata)`. "
)


class ResultsMixin:
    """Results of a trained model as arrays, in the order of the cells."""

    module: SCMOMERModule
    spec: ModelSpec
    stages_: tuple[str, ...]

    if TYPE_CHECKING:

        def _training_cells(self) -> Cells: ...

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        modality: Literal["joint"] | Modality = "joint",
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        **layers: Unpack[Layers],
    ) -> np.ndarray:
        """Return the embedding of each cell.

        Parameters
        ----------
        adata
            MuData or AnnData with raw counts; None for the registered data. Needs no set-up:
            features are matched by name. Bridges predict missing modalities. An AnnData of several
            modalities is split by ``var["feature_types"]`` or by names.
        modality
            ``"joint"`` for the multi-omics embedding, ``"rna"``, ``"atac"`` or ``"protein"`` for
            that of one modality. It is predicted for cells in which it was not measured, and NaN
            where no training cell had it together with a measured modality of the cell.
        indices
            Cells to embed; None for all.
        batch_size
            Cells at a time, default :attr:`scvi.settings.batch_size`, on a CUDA device up to 1,024
            as memory allows. Does not change results.
        layers
            ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData):
            layers with raw counts; by default those of the training data if present, else ``X``.
            ``profile=``: what the values of RNA are, ``"counts"``, ``"normalized"`` or ``"zscore"``
            (Notes of :func:`scmomer.pp.setup_mudata`); by default what they were in training.

        Returns
        -------
        numpy.ndarray
            Shape ``(n_cells, n_latent)``, float32. Independent of batch size, order and the other
            cells.

        Raises
        ------
        RuntimeError
            If the model, or a stage needed here, is not trained.
        """
        embeddings = self._embed(adata, indices, batch_size, layers)
        if modality == "joint":
            return embeddings.latent
        if modality not in MODALITY_TYPES:
            msg = f"Expected modality among {['joint', *MODALITY_TYPES]}, found {modality!r}."
            raise ValueError(msg)
        found = embeddings.single.get(modality)
        if found is None:
            msg = f"Expected a model with {modality!r}, found one of {list(self.spec.modalities)}."
            raise ValueError(msg)
        return found

    def get_translated(
        self,
        adata: AnnData | MuData | None = None,
        to: Modality = "atac",
        *,
        features: Sequence[str] | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        depth: Depth = "predicted",
        depth_share: float | None = None,
        batch: str | None = None,
        batch_size: int | None = None,
        uncertainty: bool = False,
        **layers: Unpack[Layers],
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict one modality from the others.

        Measured values of `to` are ignored, except in cells that have no other modality.

        Parameters
        ----------
        adata
            MuData or AnnData with raw counts; None for the registered data.
        to
            ``"atac"``: probability that a peak is open, in ``[0, 1]``. ``"rna"``: expression as
            ``log2(1 + counts / total * target)``, at least 0, with ``model.target_sum`` as
            target. ``"protein"``: typical counts, whose ``log1p`` is the expected one.
        features
            Names of the features to predict; None for all of the model's, in its order.
        indices
            Cells to use; None for all.
        depth
            Sequencing depth of predicted accessibility or protein: ``"predicted"`` from the cell's
            RNA, ``"mean"`` of the training cells, or a number of open peaks or protein counts. Use
            ``"mean"`` to cluster or compare cells, which otherwise differ most in depth. Heads
            without a depth term are averaged in at predicted depth only. RNA that is not counts may
            have no depth to predict from: ``"predicted"`` is ``"mean"`` then.
        depth_share
            With ``depth="predicted"``: share of the predicted deviation from the mean depth, from 0
            to 1. None: 1 for proteins; for accessibility, whose depth RNA predicts roughly, the
            model's ``atac_depth_share``, 1 in deep cells and 0.35 in shallow ones.
        batch
            Name of a training batch, or of one added by :meth:`load_query_data`, to predict for;
            None averages over the training batches.
        batch_size
            Cells at a time, default :attr:`scvi.settings.batch_size`. Does not change results.
        uncertainty
            Also return the standard deviation of the model's heads.
        layers
            As in :meth:`get_latent_representation`.

        Returns
        -------
        numpy.ndarray | tuple
            Shape ``(n_cells, n_features)``, float32, dense. With `uncertainty`, a pair of values
            and the standard deviation of the heads around them: the uncertainty of a probability,
            not of whether the peak is open in one cell. Zero in a model without heads.

        Raises
        ------
        MemoryError
            If the result would not fit into memory.
        RuntimeError
            If the model, or a stage needed here, is not trained.
        """
        translation = self._translation(
            adata, to, features, indices, depth, batch, batch_size, layers, depth_share
        )
        _check_fits(translation.shape, 1 + uncertainty, to)
        out = np.empty(translation.shape, np.float32)
        apart = np.empty(translation.shape, np.float32) if uncertainty else None
        for rows, values, deviation in translation.chunks(uncertainty):
            out[rows] = values
            if apart is not None:
                apart[rows] = deviation
        return out if apart is None else (out, apart)

    def _embed(
        self,
        data: AnnData | MuData | None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        layers: Mapping[str, Any] = MappingProxyType({}),
    ) -> Embeddings:
        cells = self._read_cells(data, layers)
        self._require_stages_for(cells)
        return Inference(self.module, cells, indices, batch_size).embed()

    def _translation(
        self,
        data: AnnData | MuData | None,
        to: str,
        features: Sequence[str] | None,
        indices: Sequence[int] | np.ndarray | None,
        depth: Depth,
        batch: str | None,
        batch_size: int | None,
        layers: Mapping[str, Any] = MappingProxyType({}),
        depth_share: float | None = None,
    ) -> Translation:
        self._check_can_translate(to)
        _check_depth(depth)
        optional_share("depth_share", depth_share)
        columns = self._columns(to, features)
        code = self._batch_code(batch)
        cells = self._read_cells(data, layers)
        self._require_stages_for(cells, translate=True)
        run = Inference(self.module, cells, indices, batch_size)
        source = tuple(m for m in cells.counts if m != to) or None
        found = run.embed(source, to)
        if depth == "predicted" and not cells.has_depth:
            logger.info("RNA has no library sizes: depth='mean' is used for depth='predicted'.")
            depth = "mean"
        log_depth = run.depths(found, depth, to, depth_share)
        # Heads without a depth term know some of a cell's depth: not for a depth that is asked for.
        free, n = depth == "predicted", len(self.spec.features[to])
        return Translation(run, found, to, columns, log_depth, free, code, n)

    def _check_can_translate(self, to: str) -> None:
        self._check_trained()
        if to in self.spec.features:
            return
        msg = (
            "Expected a modality of the model to translate into, one of "
            f"{list(self.spec.modalities)}, found {to!r}. "
        )
        if to in MODALITY_TYPES:
            msg += (
                f"To predict {MODALITY_TYPES[to].feature_name}, train a model on a MuData "
                "that has them "
                "(scmomer.pp.setup_mudata), or load such a model."
            )
        raise ValueError(msg)

    def _read_cells(
        self, data: AnnData | MuData | None, layers: Mapping[str, Any] = MappingProxyType({})
    ) -> Cells:
        self._check_trained()
        if data is None:
            if given := [name for name, value in layers.items() if value is not None]:
                msg = (
                    f"Expected data with {given[0]}=, found None. Leave out {given[0]}=: "
                    "registered data are read as they were set up."
                )
                raise TypeError(msg)
            return self._training_cells()
        check_container(data)
        chosen, profile = layers_by_modality(data, layers), given_profile(layers)
        levels = self.module.rna.gene_levels() if RNA in self.spec.features else None
        return read_cells(data, self.spec, chosen, profile=profile, levels=levels)

    def _check_trained(self) -> None:
        if not self.stages_:
            raise RuntimeError(_UNTRAINED)

    def _require_stages_for(self, cells: Cells, translate: bool = False) -> None:
        if not self.module.paired:
            return
        needed = {*cells.counts, "fusion"}
        if translate or not cells.paired.all() or len(cells.counts) < len(self.spec.modalities):
            needed |= {"bridge"}
        missing = [s for s in possible_stages(self.module) if s in needed - {*self.stages_}]
        if missing:
            load = "" if getattr(self, "adata", None) is not None else _WITH_DATA
            msg = (
                f"Expected stages {sorted(needed)} to be trained for these data, found "
                f"{list(self.stages_)}. {load}Run model.train(resume=True) to train {missing}."
            )
            raise RuntimeError(msg)

    def _columns(self, to: str, features: Sequence[str] | None) -> np.ndarray | None:
        if features is None:
            return None
        names = feature_index(features)
        columns = self.spec.features[to].get_indexer(names)
        if (columns < 0).any():
            unknown = names[columns < 0]
            msg = (
                f"Expected features of the model's {to} (such as {examples(self.spec.features[to])}"
                f"), found {len(unknown)} that it does not have, such as "
                f"{unknown[:3].tolist()}. Pass names in model.spec.features[{to!r}]."
            )
            raise KeyError(msg)
        return columns

    def _batch_code(self, batch: str | None) -> int | None:
        if batch is None:
            return None
        name = as_text(batch)
        if name not in self.spec.all_batches:
            msg = (
                f"Expected batch among {self.spec.all_batches}, found {batch!r}. None "
                "averages over "
                "the training batches; model.load_query_data adds batches of a query."
            )
            raise KeyError(msg)
        return self.spec.all_batches.index(name)


class Translation:
    """A translation, computed chunk by chunk on demand."""

    def __init__(
        self,
        run: Inference,
        embeddings: Embeddings,
        to: str,
        columns: np.ndarray | None,
        depth: np.ndarray | None,
        use_depth_free: bool,
        batch: int | None,
        n_features: int,
    ):
        self.run, self.embeddings, self.to, self.columns = run, embeddings, to, columns
        self.depth, self.use_depth_free, self.batch = depth, use_depth_free, batch
        n = len(embeddings.z)
        self.shape = (n, n_features if columns is None else len(columns))

    def chunks(self, spread: bool = False) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        """Yield slices of cells, values and, with `spread`, deviations, ``(n, n_features)``."""
        for start in range(0, self.shape[0], self.run.batch_size):
            rows = slice(start, start + self.run.batch_size)
            values, deviation = self.run.decode(
                self.to,
                self.embeddings,
                rows,
                self.depth,
                self.batch,
                self.columns,
                spread,
                self.use_depth_free,
            )
            yield rows, values, deviation


def feature_index(features: Iterable[str]) -> pd.Index:
    """Return names of features from a list, an Index or a generator.

    Raises
    ------
    TypeError
        If it is not a sequence of names.
    """
    if isinstance(features, str | AnnData | MuData | pd.DataFrame):
        remedy = {str: f"Write [{features!r}]", pd.DataFrame: "Pass one column of it"}
        msg = (
            f"Expected features= as a sequence of names, found a {type(features).__name__}. "
            f"{remedy.get(type(features), 'Pass its var_names')}."
        )
        raise TypeError(msg)
    names = np.asarray(features if isinstance(features, pd.Index) else list(features), object)
    if names.ndim != 1:
        msg = f"Expected features= in one dimension, found shape {names.shape}. Pass names.ravel()."
        raise TypeError(msg)
    return pd.Index(names)


def _check_depth(depth: Depth) -> None:
    if isinstance(depth, str) and depth in ("predicted", "mean"):
        return
    one = np.ndim(depth) == 0 and np.asarray(depth).dtype.kind in "iuf"
    if not one or not np.isfinite(depth) or depth < 0:  # type: ignore[operator, arg-type]
        msg = (
            "Expected depth 'predicted', 'mean' or a number of counts for all cells, found "
            f"{depth!r}."
        )
        raise ValueError(msg)


def _check_fits(shape: tuple[int, int], n_results: int, to: str) -> None:
    needed, free = n_results * 4 * shape[0] * shape[1], psutil.virtual_memory().available
    if needed > free:
        msg = (
            f"Expected {needed / 1e9:.1f} GB of free memory for a dense result of {shape[0]} "
            f"cells x {shape[1]} features, found {free / 1e9:.1f} GB. Pass fewer features "
            "(features=) or fewer cells, or write to disk from an AnnData of another modality: "
            f"`out = scmomer.tl.translate_{to}(adata, model, path='out.h5ad')`."
        )
        raise MemoryError(msg)
