"""RNA as a modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities._base import Features, ModalityKind, Network, n_features
from scmomer.module.modalities.rna._encoder import rna_encoder
from scmomer.nn import SparseRows, log_normalize, sparse_mse, to_dense

_CLIP = 10.0  # deviations of a scaled gene beyond which its error stops growing


class RNAKind(ModalityKind):
    """Expression: log of normalised counts, squared error in units of each gene's spread."""

    name = "rna"

    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return a Performer over genes, or a perceptron."""
        return rna_encoder(n_features(features), config)

    def decoder(self, config: ModuleConfig, n_features: int, n_batches: int) -> Decoder:
        """Return a decoder to log2 expression."""
        return Decoder(config.n_latent, n_features, n_batches, False, config.scale_genes)

    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from RNA read."""
        return config.bridge_input

    def normalize(self, network: Network, counts: SparseRows) -> SparseRows:
        """Return log2 of counts on a common total."""
        return log_normalize(counts, network.target_sum)

    def error(
        self,
        network: Network,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the squared error of log expression."""
        config, target = network.config, self.normalize(network, counts)
        if config.scale_genes:  # one count of a rare gene would outweigh a whole cell
            limit = _CLIP * network.gene_weight.rsqrt()  # (n_genes,)
            values = torch.minimum(target.values, limit[target.indices])
            target = target._replace(values=values)
        return sparse_mse(decoder(z, batch), target, network.gene_weight)

    def derivatives(
        self, network: Network, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of half the squared error."""
        target = to_dense(self.normalize(network, counts), values.shape[1])
        if network.config.scale_genes:
            target = torch.minimum(target, _CLIP * network.gene_weight.rsqrt())
        weight = network.gene_weight.expand_as(values)
        return weight * (values - target), weight

    def finish(self, values: Tensor) -> Tensor:
        """Return log2 expression, which is not below zero."""
        return values.clamp_min(0)
