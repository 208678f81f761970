"""Surface protein as a modality."""

from __future__ import annotations

from torch import Tensor, nn

from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities._base import Features, ModalityKind, Network, n_features
from scmomer.module.modalities.protein._encoder import (
    ProteinDecoder,
    ProteinEncoder,
    centred_log_ratio,
)
from scmomer.nn import SparseRows, negative_binomial, to_dense


class ProteinKind(ModalityKind):
    """Surface protein: negative binomial counts at the cell's depth."""

    name = "protein"
    depth_row = 3

    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return a perceptron on centred log ratios."""
        return ProteinEncoder(n_features(features), config)

    def decoder(self, config: ModuleConfig, n_features: int, n_batches: int) -> Decoder:
        """Return a decoder to log expected counts."""
        return ProteinDecoder(config.n_latent, n_features, n_batches)

    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from protein read."""
        return "both"

    def normalize(self, network: Network, counts: SparseRows) -> SparseRows:
        """Return centred log ratios."""
        return centred_log_ratio(counts, network.sizes["protein"])

    def error(
        self,
        network: Network,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the negative log likelihood of the counts."""
        log_mean = decoder(z, batch, network.depth(counts, "protein"))  # (n, n_proteins)
        return negative_binomial(log_mean, _of_proteins(decoder).log_dispersion, counts)

    def derivatives(
        self, network: Network, decoder: Decoder, values: Tensor, counts: SparseRows
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
