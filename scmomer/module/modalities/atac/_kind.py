"""ATAC as a modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities._base import Features, ModalityKind, Network
from scmomer.module.modalities.atac._encoder import atac_encoder, binarize
from scmomer.module.modalities.atac._patches import PatchLayout
from scmomer.nn import SparseRows, linear_bce, to_dense


class ATACKind(ModalityKind):
    """Accessibility: open or not, cross-entropy at the cell's depth."""

    name = "atac"
    depth_row = 0

    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return a ViT over genomic patches, or a perceptron."""
        if not isinstance(features, PatchLayout):
            msg = f"Expected the genomic layout of the peaks, found {features!r}."
            raise TypeError(msg)
        return atac_encoder(features, config)

    def decoder(self, config: ModuleConfig, n_features: int, n_batches: int) -> Decoder:
        """Return a decoder to logits."""
        return Decoder(config.n_latent, n_features, n_batches, config.depth_term)

    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from ATAC read."""
        return config.bridge_input_atac

    def normalize(self, network: Network, counts: SparseRows) -> SparseRows:
        """Return 1 for every open peak."""
        return binarize(counts)

    def error(
        self,
        network: Network,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the cross-entropy of open peaks."""
        config = network.config
        augmented = decoder.augment(z, batch, network.depth(counts))
        return linear_bce(augmented, decoder.weights(), counts, config.atac_pos_weight)

    def derivatives(
        self, network: Network, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of the cross-entropy."""
        target = to_dense(binarize(counts), values.shape[1])
        weight = torch.where(target > 0, network.config.atac_pos_weight, 1.0)
        probability = values.sigmoid()
        return weight * (probability - target), weight * probability * (1 - probability)

    def finish(self, values: Tensor) -> Tensor:
        """Return probabilities."""
        return values.sigmoid()

    def sizes(self, counts: SparseRows) -> Tensor:
        """Return the number of open peaks of each cell, ``(n,)``."""
        return counts.lengths
