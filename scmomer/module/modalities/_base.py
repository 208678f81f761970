"""What a modality is: from counts to an embedding and back, with all of its own state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from scmomer.module._bridge import Bridge
from scmomer.module._config import ModuleConfig, Reads, StageConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities._encoders import Encoder
from scmomer.nn import SparseRows, drop_entries, row_sums

MIN_BASELINE: Final = 1e-6
_MIN_DEPTH_STD = 1e-3  # of log depth


def are_same(rows: np.ndarray, n_source: int) -> bool:
    """Return whether features are those of a source in the same order; see `rows_in`."""
    return len(rows) == n_source and bool((rows == np.arange(n_source)).all())


class ModalityModule(nn.Module, ABC):
    """One kind of measurement: encoder, decoder, normalization, loss and statistics.

    Parameters
    ----------
    features
        Names of the features, in the order of the counts' columns.
    n_batches
        Batches seen in training.
    config
        Of the whole network; this modality's own is in ``config.modalities``.
    encoder
        An encoder to use instead of the one that the configuration names.
    """

    name: ClassVar[str]
    """Key of the modality everywhere."""
    feature_name: ClassVar[str]
    """What messages call its features: ``"genes"``."""
    usual_names: ClassVar[str]
    """Regular expression of lower-case names under which a MuData may hold it."""
    registry_key: ClassVar[str]
    """Key under which scvi-tools registers its counts."""
    config_type: ClassVar[type]
    """Its configuration, a frozen dataclass with the field ``encoder``."""
    presets: ClassVar[Mapping[str, tuple[Any, StageConfig]]]
    """Its configuration and that of stage 1, by size; ``"small"`` for sizes that are not there."""
    has_depth: ClassVar[bool] = False
    """Whether decoders read the cell's depth."""
    bridge_reads: ClassVar[Reads] = "both"
    """What its bridge reads; further heads read ``head_reads``."""
    head_reads: ClassVar[Reads] = "features"
    published_reads: ClassVar[Reads] = "features"
    """What its bridge reads with ``bridge_reads="features"``, as in the published code."""
    feature_axes: ClassVar[dict[str, int]] = {}
    """Own tensors with one entry for each feature, and the axis."""
    centers_inputs: ClassVar[bool] = True
    """Whether bridges may subtract the mean of its features, which makes them dense."""

    baseline: Tensor
    depth_mean: Tensor
    depth_std: Tensor

    def __init__(
        self,
        features: pd.Index,
        n_batches: int,
        config: ModuleConfig,
        encoder: Encoder | None = None,
    ):
        super().__init__()
        self.n_features, self.n_batches = len(features), n_batches
        self.n_latent = config.n_latent
        self.config: Any = config.modalities[self.name]
        self.encoder = self.make_encoder(features, config) if encoder is None else encoder
        self.decoder = self.make_decoder()
        # Loss of the train mean, so that 1.0 means "no better than the mean" in each modality.
        self.register_buffer("baseline", torch.tensor(1.0))
        # Of the log depth of training cells.
        self.register_buffer("depth_mean", torch.tensor(0.0))
        self.register_buffer("depth_std", torch.tensor(1.0))

    @classmethod
    def preset(cls, size: str) -> tuple[Any, StageConfig]:
        """Return the configuration of a size, and that of stage 1."""
        return cls.presets.get(size, cls.presets["small"])

    @classmethod
    def check_names(cls, names: pd.Index, where: str, var: pd.DataFrame) -> None:
        """Raise if feature names cannot be of this modality; `where` names them in messages."""

    @classmethod
    def rows_in(cls, features: pd.Index, source: pd.Index) -> np.ndarray:
        """Return the position of each feature among those of another model, -1 if it is new.

        Parameters
        ----------
        features, source
            Names of the features of both.
        """
        return source.get_indexer(features)

    @classmethod
    def inherited(
        cls, config: Any, source: ModalityModule, names: pd.Index, rows: np.ndarray
    ) -> dict[str, Any]:
        """Return fields of the configuration that a trained model sets.

        Parameters
        ----------
        config
            Of a new model.
        source, names
            The trained modality, and its features.
        rows
            Position of each feature of the new model among them, -1 if it is new.

        Raises
        ------
        ValueError
            If what was learned cannot be used for these features.
        """
        return {}

    def adapt(self, counts: sp.csr_matrix, rows: np.ndarray) -> None:
        """Adapt statistics of a trained model to cells with features that are new to it, in place.

        Parameters
        ----------
        counts
            Of the cells, ``(n_cells, n_features)``.
        rows
            As in :meth:`inherited`.
        """

    @abstractmethod
    def make_encoder(self, features: pd.Index, config: ModuleConfig) -> Encoder:
        """Return an untrained encoder."""

    @property
    def depth_share(self) -> float:
        """Share of the predicted deviation from the mean depth at which it is translated."""
        return 1.0

    def make_decoder(self, sees_depth: bool = True) -> Decoder:
        """Return an untrained decoder; without `sees_depth` it has no depth term."""
        return Decoder(self.n_latent, self.n_features, self.n_batches, False)

    @abstractmethod
    def normalize(self, counts: SparseRows) -> SparseRows:
        """Return what encoders and bridges read."""

    def loss_target(self, counts: SparseRows) -> Any:
        """Return what :meth:`error` compares with, the same for all decoders; here the counts."""
        return counts

    @abstractmethod
    def error(self, decoder: Decoder, z: Tensor, target: Any, batch: Tensor | None) -> Tensor:
        """Return the error of decoding from ``(n, n_latent)``, a mean over cells.

        Parameters
        ----------
        decoder
            A decoder into the modality.
        z
            What it reads.
        target
            Of :meth:`loss_target`.
        batch
            Batch code of the cells, ``(n,)``, or None.
        """

    @abstractmethod
    def derivatives(
        self, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return first and second derivative of each value's error, ``(n, n_features)``."""

    def to_output(self, values: Tensor, columns: slice | Tensor = slice(None)) -> Tensor:
        """Turn decoded values of the features in `columns` into what users read."""
        return values

    def mask_inputs(self, counts: SparseRows, fraction: float) -> SparseRows:
        """Return counts with some hidden from the encoder."""
        return drop_entries(counts, fraction)

    @abstractmethod
    def init_from_data(
        self,
        counts: sp.csr_matrix,
        decoders: Sequence[Decoder],
        bridges: Sequence[Bridge],
        warm_start: bool,
    ) -> None:
        """Set statistics and start values from the counts of training cells, in place.

        Parameters
        ----------
        counts
            Of training cells that have the modality, ``(n_cells, n_features)``.
        decoders
            All decoders into the modality, its own first.
        bridges
            All bridges from it.
        warm_start
            Whether the encoder begins at a linear map that is computed here.
        """

    # -- depth

    def total(self, counts: SparseRows) -> Tensor:
        """Return the depth of each cell before the logarithm, ``(n,)``."""
        return row_sums(counts)

    def depth(self, counts: SparseRows) -> Tensor:
        """Return the standardized log depth of each cell, ``(n,)``."""
        logs = torch.log1p(self.total(counts).to(self.depth_mean.dtype))
        return (logs - self.depth_mean) / self.depth_std

    def set_depth(self, totals: Any) -> None:
        """Set mean and deviation of the log depth from totals of training cells, ``(n,)``."""
        logs = torch.as_tensor(totals, dtype=torch.float64).log1p()
        self.depth_mean.fill_(float(logs.mean()))
        self.depth_std.fill_(max(float(logs.std(correction=0)), _MIN_DEPTH_STD))

    def relative_error(
        self,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
        decoder: Decoder | None = None,
        target: Any = None,
    ) -> Tensor:
        """Return :meth:`error` relative to that of the train mean, by the own decoder if None.

        `target` is :meth:`loss_target` of the counts, if it is known.
        """
        decoder = self.decoder if decoder is None else decoder
        target = self.loss_target(counts) if target is None else target
        return self.error(decoder, z, target, batch) / self.baseline
