"""Surface protein as a modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor

from scmomer.module._bridge import Bridge
from scmomer.module._config import ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities._base import MIN_BASELINE, ModalityModule
from scmomer.module.modalities._encoders import Encoder
from scmomer.module.modalities.protein._config import PRESETS, ProteinConfig
from scmomer.module.modalities.protein._encoder import (
    ProteinDecoder,
    ProteinEncoder,
    centered_log_ratio,
    protein_decoder,
)
from scmomer.module.modalities.protein._start_values import dispersions, protein_components
from scmomer.nn import SparseRows, negative_binomial, to_dense, to_rows

_MIN_STD = 0.1  # of a protein's centered log ratio
_MAX_CELLS = 20_000  # enough for the leading components


class ProteinModality(ModalityModule):
    """Surface protein: negative binomial counts at the cell's depth."""

    name = "protein"
    feature_name = "proteins"
    usual_names = "proteins?|prot|adts?|antibody capture|antibody|antibodies|surface proteins?"
    registry_key = REGISTRY_KEYS.PROTEIN_EXP_KEY
    config_type = ProteinConfig
    presets = PRESETS
    # In antibody counts depth is mostly the cell's size, which RNA predicts well.
    has_depth = True
    published_reads = "both"  # the published code has no protein
    feature_axes: ClassVar[dict[str, int]] = {"log_shift": 0}

    log_shift: Tensor

    def __init__(
        self,
        features: pd.Index,
        n_batches: int,
        config: ModuleConfig,
        encoder: Encoder | None = None,
    ):
        super().__init__(features, n_batches, config, encoder)
        # From the log of expected counts to that of typical ones: fit_typical_counts.
        self.register_buffer("log_shift", torch.zeros(len(features)))

    def make_encoder(self, features: pd.Index, config: ModuleConfig) -> Encoder:
        """Return a perceptron on centered log ratios."""
        return ProteinEncoder(len(features), self.config, config.n_latent, config.latent_norm)

    def make_decoder(self, sees_depth: bool = True) -> Decoder:
        """Return a decoder to log expected counts."""
        return ProteinDecoder(self.n_latent, self.n_features, self.n_batches)

    def normalize(self, counts: SparseRows) -> SparseRows:
        """Return centered log ratios."""
        return centered_log_ratio(counts, self.n_features)

    def error(
        self, decoder: Decoder, z: Tensor, counts: SparseRows, batch: Tensor | None
    ) -> Tensor:
        """Return the negative log likelihood of the counts."""
        log_mean = decoder(z, batch, self.depth(counts))  # (n, n_proteins)
        return negative_binomial(log_mean, protein_decoder(decoder).log_dispersion, counts)

    def derivatives(
        self, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of the negative log likelihood."""
        table, mean = to_dense(counts, values.shape[1]), values.exp()
        theta = protein_decoder(decoder).log_dispersion.exp()  # (n_proteins,)
        slope = theta * (mean - table) / (theta + mean)
        return slope, (table + theta) * theta * mean / (theta + mean).square()

    def to_output(self, values: Tensor, columns: slice | Tensor = slice(None)) -> Tensor:
        """Return typical counts: their ``log1p`` is that of counts on average."""
        return (values + self.log_shift[columns]).exp()

    def mask_inputs(self, counts: SparseRows, fraction: float) -> SparseRows:
        """Return the counts as they are: a missing protein would shift all others."""
        return counts

    def init_from_data(
        self,
        counts: sp.csr_matrix,
        decoders: Sequence[Decoder],
        bridges: Sequence[Bridge],
        warm_start: bool,
    ) -> None:
        """Set statistics, mean counts, dispersions, the encoder to components of log ratios."""
        counts = counts[:: -(-counts.shape[0] // _MAX_CELLS)]
        table = counts.toarray()  # a hundred or so columns
        logs = np.log1p(table)
        ratios = logs - logs.mean(1, keepdims=True)  # (n, n_proteins)
        mean, std = ratios.mean(0), np.maximum(ratios.std(0), _MIN_STD)
        scale = torch.from_numpy(mean), torch.from_numpy(std)
        self.set_depth(table.sum(1))
        if isinstance(self.encoder, ProteinEncoder):
            self.encoder.standardize(*scale)
        if warm_start:
            self.encoder.init_linear(*protein_components(ratios, mean, std, self.n_latent))
        average = table.mean(0) + 0.5 / len(table)  # never zero
        log_mean = torch.from_numpy(np.log(average)).float()
        log_dispersion = torch.from_numpy(np.log(dispersions(table, average))).float()
        for decoder in decoders:
            decoder.init_mean(log_mean)
            # Twice as deep: twice the counts.
            torch.as_tensor(decoder.depth_slope).data.fill_(float(self.depth_std))
            protein_decoder(decoder).log_dispersion.data.copy_(log_dispersion)
        for bridge in bridges:
            bridge.standardize(*scale)
        loss = negative_binomial(log_mean.expand(len(table), -1), log_dispersion, to_rows(counts))
        self.baseline.fill_(max(float(loss), MIN_BASELINE))
