"""The modalities: what each needs of encoder, decoder, normalisation and likelihood.

A further one is a class here, a line in :data:`KINDS`, and its start values in ``train``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from scmomer.module._atac import atac_encoder, binarize
from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._heads import Decoder
from scmomer.module._losses import linear_bce, negative_binomial, sparse_mse
from scmomer.module._patches import PatchLayout
from scmomer.module._protein import ProteinDecoder, ProteinEncoder, centred_log_ratio
from scmomer.module._rna import rna_encoder
from scmomer.module._rows import SparseRows, drop_entries, log_normalize, row_sums, to_dense

if TYPE_CHECKING:
    from scmomer.module._module import SCMOMERModule

Features = int | PatchLayout
"""Number of features, or where peaks lie in the genome."""


class ModalityKind(ABC):
    """One kind of measurement: from counts to an embedding and back."""

    name: ClassVar[str]
    depth_row: ClassVar[int | None] = None
    """Row of the module's ``size_stats`` that describes the depth decoders see; None: no depth."""

    @abstractmethod
    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return an untrained encoder."""

    @abstractmethod
    def decoder(
        self, config: ModuleConfig, n_features: int, n_batches: int, *, hidden: int = 0
    ) -> Decoder:
        """Return an untrained decoder."""

    @abstractmethod
    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from this modality read."""

    @abstractmethod
    def normalize(self, module: SCMOMERModule, counts: SparseRows) -> SparseRows:
        """Return what encoders and bridges read."""

    @abstractmethod
    def error(
        self,
        module: SCMOMERModule,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the weighted error of decoding `counts` from ``(n, n_latent)``."""

    @abstractmethod
    def derivatives(
        self, module: SCMOMERModule, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return first and second derivative of each value's error, ``(n, n_features)``."""

    @abstractmethod
    def finish(self, values: Tensor) -> Tensor:
        """Turn what decoders say into what users read."""

    def sizes(self, counts: SparseRows) -> Tensor:
        """Return the depth of each cell, ``(n,)``."""
        return row_sums(counts)

    def hide(self, counts: SparseRows, fraction: float) -> SparseRows:
        """Return counts with some hidden from the encoder."""
        return drop_entries(counts, fraction)


class RNAKind(ModalityKind):
    """Expression: log of normalised counts, squared error in units of each gene's spread."""

    name = "rna"

    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return a Performer over genes, or a perceptron."""
        return rna_encoder(n_features(features), config)

    def decoder(
        self, config: ModuleConfig, n_features: int, n_batches: int, *, hidden: int = 0
    ) -> Decoder:
        """Return a decoder to log2 expression."""
        c = config
        return Decoder(
            c.n_latent, n_features, n_batches, False, hidden, c.decoder_dropout, c.scale_genes
        )

    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from RNA read."""
        return config.bridge_input

    def normalize(self, module: SCMOMERModule, counts: SparseRows) -> SparseRows:
        """Return log2 of counts on a common total."""
        return log_normalize(counts, module.target_sum)

    def error(
        self,
        module: SCMOMERModule,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the squared error of log expression."""
        config, target = module.config, self.normalize(module, counts)
        if config.scale_genes:  # one count of a rare gene would outweigh a whole cell
            limit = config.clip_genes * module.gene_weight.rsqrt()  # (n_genes,)
            values = torch.minimum(target.values, limit[target.indices])
            target = target._replace(values=values)
        return config.rna_weight * sparse_mse(decoder(z, batch), target, module.gene_weight)

    def derivatives(
        self, module: SCMOMERModule, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of half the squared error."""
        target = to_dense(self.normalize(module, counts), values.shape[1])
        if module.config.scale_genes:
            target = torch.minimum(target, module.config.clip_genes * module.gene_weight.rsqrt())
        weight = module.gene_weight.expand_as(values)
        return weight * (values - target), weight

    def finish(self, values: Tensor) -> Tensor:
        """Return log2 expression, which is not below zero."""
        return values.clamp_min(0)


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

    def decoder(
        self, config: ModuleConfig, n_features: int, n_batches: int, *, hidden: int = 0
    ) -> Decoder:
        """Return a decoder to logits."""
        c = config
        return Decoder(c.n_latent, n_features, n_batches, c.depth_term, hidden, c.decoder_dropout)

    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from ATAC read."""
        return config.bridge_input_atac

    def normalize(self, module: SCMOMERModule, counts: SparseRows) -> SparseRows:
        """Return 1 for every open peak."""
        return binarize(counts)

    def error(
        self,
        module: SCMOMERModule,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the cross-entropy of open peaks."""
        config = module.config
        augmented = decoder.augment(z, batch, module.depth(counts))
        error = linear_bce(augmented, decoder.weights(), counts, config.atac_pos_weight)
        return config.atac_weight * error

    def derivatives(
        self, module: SCMOMERModule, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of the cross-entropy."""
        target = to_dense(binarize(counts), values.shape[1])
        weight = torch.where(target > 0, module.config.atac_pos_weight, 1.0)
        probability = values.sigmoid()
        return weight * (probability - target), weight * probability * (1 - probability)

    def finish(self, values: Tensor) -> Tensor:
        """Return probabilities."""
        return values.sigmoid()

    def sizes(self, counts: SparseRows) -> Tensor:
        """Return the number of open peaks of each cell, ``(n,)``."""
        return counts.lengths


class ProteinKind(ModalityKind):
    """Surface protein: negative binomial counts at the cell's depth."""

    name = "protein"
    depth_row = 3

    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return a perceptron on centred log ratios."""
        return ProteinEncoder(n_features(features), config)

    def decoder(
        self, config: ModuleConfig, n_features: int, n_batches: int, *, hidden: int = 0
    ) -> Decoder:
        """Return a decoder to log expected counts."""
        c = config
        return ProteinDecoder(c.n_latent, n_features, n_batches, hidden, c.decoder_dropout)

    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from protein read."""
        return config.bridge_input_protein

    def normalize(self, module: SCMOMERModule, counts: SparseRows) -> SparseRows:
        """Return centred log ratios."""
        return centred_log_ratio(counts, module.sizes["protein"])

    def error(
        self,
        module: SCMOMERModule,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the negative log likelihood of the counts."""
        log_mean = decoder(z, batch, module.depth(counts, "protein"))  # (n, n_proteins)
        error = negative_binomial(log_mean, _of_proteins(decoder).log_dispersion, counts)
        return module.config.protein_weight * error

    def derivatives(
        self, module: SCMOMERModule, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of the negative log likelihood."""
        table, mean = to_dense(counts, values.shape[1]), values.exp()
        theta = _of_proteins(decoder).log_dispersion.exp()  # (n_proteins,)
        slope = theta * (mean - table) / (theta + mean)
        return slope, (table + theta) * theta * mean / (theta + mean).square()

    def finish(self, values: Tensor) -> Tensor:
        """Return expected counts."""
        return values.exp()

    def hide(self, counts: SparseRows, fraction: float) -> SparseRows:
        """Return the counts as they are: a missing protein would shift all others."""
        return counts


def _of_proteins(decoder: Decoder) -> ProteinDecoder:
    if not isinstance(decoder, ProteinDecoder):
        msg = f"Expected a decoder of proteins, found {type(decoder).__name__}."
        raise TypeError(msg)
    return decoder


def n_features(features: Features) -> int:
    """Return the number of features."""
    return features.n_peaks if isinstance(features, PatchLayout) else features


KINDS: dict[str, ModalityKind] = {k.name: k for k in (RNAKind(), ATACKind(), ProteinKind())}
"""All modalities by name, in the order of :data:`scmomer._constants.MODALITIES`."""
