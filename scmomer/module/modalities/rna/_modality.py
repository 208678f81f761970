"""RNA as a modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

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
from scmomer.module.modalities._encoders import Encoder, MLPEncoder
from scmomer.module.modalities.rna._config import PRESETS, RNAConfig
from scmomer.module.modalities.rna._encoder import PerformerEncoder
from scmomer.module.modalities.rna._names import strip_versions
from scmomer.module.modalities.rna._start_values import gene_profiles, principal_components
from scmomer.nn import (
    SparseRows,
    linear_mse,
    log_normalize,
    log_normalize_csr,
    row_sums,
    to_dense,
)

# Least spread of genes in cells of at least, and of fewer, median counts: 0.4 is the spread of a
# gene with a count in one of five cells.
_DEEP, _DEEP_SPREAD, _SHALLOW_SPREAD = 500, 0.4, 0.05
_MIN_STD = 1e-3  # of log expression, also of genes that are the same in all cells
_MIN_LOG_STD = 1e-3  # of log library sizes
_CLIP = 10.0  # deviations of a scaled gene beyond which its error stops growing


class RNAModality(ModalityModule):
    """Expression: log of normalized counts, squared error in units of each gene's spread."""

    name = "rna"
    feature_name = "genes"
    usual_names = (
        "rna|gex|gene expression|genes?|expression|mrna|transcriptome|(sc|sn)rna( seq)?|rna seq"
    )
    registry_key = REGISTRY_KEYS.X_KEY
    config_type = RNAConfig
    presets = PRESETS
    feature_axes: ClassVar[dict[str, int]] = {"gene_weight": 0}

    config: RNAConfig
    target_sum: Tensor
    gene_weight: Tensor
    count_baseline: Tensor
    library_mean: Tensor
    library_std: Tensor

    def __init__(
        self,
        features: pd.Index,
        n_batches: int,
        config: ModuleConfig,
        encoder: Encoder | None = None,
    ):
        super().__init__(features, n_batches, config, encoder)
        # Counts per cell after normalization; the median of the training cells if not configured.
        self.register_buffer("target_sum", torch.tensor(float(self.config.target_sum or 1e4)))
        # One over the variance of each gene's log expression, or ones.
        self.register_buffer("gene_weight", torch.ones(self.n_features))
        # Multinomial loss of the mean shares of counts.
        self.register_buffer("count_baseline", torch.tensor(1.0))
        # Of log counts and log expressed genes of training cells.
        self.register_buffer("library_mean", torch.zeros(2))
        self.register_buffer("library_std", torch.ones(2))

    @classmethod
    def rows_in(cls, features: pd.Index, source: pd.Index) -> np.ndarray:
        """Match by name, then without versions of Ensembl ids."""
        rows = source.get_indexer(features)
        plain, theirs = strip_versions(features), strip_versions(source)
        if not theirs.is_unique:
            return rows
        return np.where(rows < 0, theirs.get_indexer(plain), rows)

    @classmethod
    def inherited(
        cls, config: RNAConfig, source: ModalityModule, names: pd.Index, rows: np.ndarray
    ) -> dict[str, Any]:
        """Keep the total to which counts are normalized, less what genes that are gone had."""
        rna = cast(RNAModality, source)
        known = rna.mean_expression()
        share = known[np.unique(rows[rows >= 0])].sum() / known.sum()
        encoder = {"encoder": rna.config.encoder} if config.encoder == "auto" else {}
        return encoder | {"target_sum": float(rna.target_sum * share)}

    def adapt(self, counts: sp.csr_matrix, rows: np.ndarray) -> None:
        """Let counts of new genes not take from the total of the others."""
        per_gene = np.asarray(counts.sum(0, dtype=np.float64)).ravel()
        known = per_gene[rows >= 0].sum()
        if known:
            self.target_sum.mul_(float(per_gene.sum() / known))

    @torch.no_grad()
    def mean_expression(self) -> Tensor:
        """Return about the mean normalized counts of each gene, ``(n_genes,)``, from the decoder."""
        decoder = self.decoder
        bias: Tensor = decoder.linear.bias
        if decoder.n_batches:
            bias = bias + decoder.batch_bias.mean(1)
        scale = 1.0 if decoder.scale is None else decoder.scale[:, 0]
        return torch.exp2((bias * scale).clamp_min(0)) - 1

    def gene_levels(self) -> np.ndarray | None:
        """Return :meth:`mean_expression` as an array; None if no cells were seen in training."""
        return self.mean_expression().cpu().numpy() if self.library_mean.any() else None

    def make_encoder(self, features: pd.Index, config: ModuleConfig) -> Encoder:
        """Return a Performer over genes, or a perceptron."""
        own, n = self.config, len(features)
        if own.encoder == "mlp":
            return MLPEncoder(
                n,
                config.n_latent,
                own.mlp_hidden,
                own.mlp_dropout,
                config.latent_norm,
                linear=own.value_skip,
            )
        return PerformerEncoder(n, own, config.n_latent, config.latent_norm)

    def make_decoder(self, sees_depth: bool = True) -> Decoder:
        """Return a decoder to log2 expression."""
        return Decoder(
            self.n_latent, self.n_features, self.n_batches, False, self.config.scale_genes
        )

    def normalize(self, counts: SparseRows) -> SparseRows:
        """Return log2 of counts on a common total."""
        return log_normalize(counts, self.target_sum)

    def loss_target(self, counts: SparseRows) -> Tensor:
        """Return log expression that is not far beyond the usual, ``(n, n_genes)``."""
        target = self.normalize(counts)
        if self.config.scale_genes:  # one count of a rare gene would outweigh a whole cell
            limit = _CLIP * self.gene_weight.rsqrt()  # (n_genes,)
            values = torch.minimum(target.values, limit[target.indices])
            target = target._replace(values=values)
        return to_dense(target, self.n_features)

    def _min_spread(self, totals: np.ndarray) -> float:
        """Return the least spread of a gene, as a multiple of what one count adds.

        What varies less is mostly rare genes, whose counts by chance would dominate otherwise.
        """
        depth = float(np.median(totals[totals > 0])) if totals.any() else 1.0
        one_count = float(np.log2(1 + float(self.target_sum) / depth))  # 1 at the median total
        spread = self.config.min_spread
        if spread is None:
            spread = _DEEP_SPREAD if depth >= _DEEP else _SHALLOW_SPREAD
        return max(spread * one_count, _MIN_STD)

    def error(self, decoder: Decoder, z: Tensor, target: Tensor, batch: Tensor | None) -> Tensor:
        """Return the squared error of log expression."""
        design = decoder.design_matrix(z, batch, None)
        return linear_mse(design, decoder.weights(), target, self.gene_weight)

    def derivatives(
        self, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of half the squared error."""
        weight = self.gene_weight.expand_as(values)
        return weight * (values - self.loss_target(counts)), weight

    def to_output(self, values: Tensor, columns: slice | Tensor = slice(None)) -> Tensor:
        """Return log2 expression, which is not below zero."""
        return values.clamp_min(0)

    def library_size(self, counts: SparseRows) -> Tensor:
        """Return standardized logs of a cell's counts and of its expressed genes, ``(n, 2)``."""
        sizes = torch.stack([row_sums(counts), counts.lengths.to(counts.values.dtype)], -1)
        return (torch.log1p(sizes) - self.library_mean) / self.library_std

    def init_from_data(
        self,
        counts: sp.csr_matrix,
        decoders: Sequence[Decoder],
        bridges: Sequence[Bridge],
        warm_start: bool,
    ) -> None:
        """Set statistics, decoders to the mean profile, the encoder to principal components."""
        totals = np.asarray(counts.sum(1)).ravel()
        if self.config.target_sum is None and totals.any():
            self.target_sum.fill_(float(np.median(totals[totals > 0])))
        expression = log_normalize_csr(counts, float(self.target_sum))
        mean = np.asarray(expression.mean(0, dtype=np.float64)).ravel()
        squares = np.asarray(expression.power(2).mean(0, dtype=np.float64)).ravel()
        variance = np.maximum(squares - mean**2, 0)
        std = np.maximum(np.sqrt(variance), self._min_spread(totals))
        if self.config.scale_genes:
            self.gene_weight.copy_(torch.from_numpy(1 / std**2))
        weight = self.gene_weight.cpu().numpy()
        self.baseline.fill_(max(float((variance * weight).sum()), MIN_BASELINE))
        shares = (np.asarray(counts.sum(0)).ravel() + 0.5) / (counts.sum() + 0.5 * counts.shape[1])
        self.count_baseline.fill_(max(float(-(counts @ np.log(shares)).mean()), MIN_BASELINE))
        logs = np.log1p(np.stack([totals, np.diff(counts.indptr)], 1), dtype=np.float64)  # (n, 2)
        self.library_mean.copy_(torch.from_numpy(logs.mean(0)))
        self.library_std.copy_(torch.from_numpy(np.maximum(logs.std(0), _MIN_LOG_STD)))
        for decoder in decoders:
            decoder.init_mean(torch.from_numpy(mean), torch.from_numpy(std))
        for bridge in bridges:
            if bridge.count_decoder is not None:
                bridge.count_decoder.init_mean(torch.from_numpy(np.log(shares)))
            if self.config.scale_genes:
                bridge.standardize(torch.from_numpy(mean), torch.from_numpy(std))
        if warm_start:
            weights, bias = principal_components(expression, mean, std, self.n_latent)
            self.encoder.init_linear(weights, bias)
            if isinstance(self.encoder, PerformerEncoder):
                components = expression @ weights.numpy()
                self.encoder.init_genes(gene_profiles(counts, components, self.config.dim))
