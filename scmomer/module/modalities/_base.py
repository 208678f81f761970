"""What a modality is: from counts to an embedding and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from torch import Tensor, nn

from scmomer._constants import ATAC
from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities.atac._patches import PatchLayout
from scmomer.nn import SparseRows, drop_entries, row_sums

Features = int | PatchLayout
"""Number of features, or where peaks lie in the genome."""


class Network(Protocol):
    """What a modality reads of the network that it is part of."""

    config: ModuleConfig
    sizes: dict[str, int]
    target_sum: Tensor
    gene_weight: Tensor

    def depth(self, counts: SparseRows, modality: str = ATAC) -> Tensor:
        """Return the standardised log depth of cells."""
        ...


class ModalityKind(ABC):
    """One kind of measurement: from counts to an embedding and back."""

    name: ClassVar[str]
    depth_row: ClassVar[int | None] = None
    """Row of the module's ``size_stats`` that describes the depth decoders see; None: no depth."""

    @abstractmethod
    def encoder(self, features: Features, config: ModuleConfig) -> nn.Module:
        """Return an untrained encoder."""

    @abstractmethod
    def decoder(self, config: ModuleConfig, n_features: int, n_batches: int) -> Decoder:
        """Return an untrained decoder."""

    @abstractmethod
    def bridge_input(self, config: ModuleConfig) -> BridgeInput:
        """Return what bridges from this modality read."""

    @abstractmethod
    def normalize(self, network: Network, counts: SparseRows) -> SparseRows:
        """Return what encoders and bridges read."""

    @abstractmethod
    def error(
        self,
        network: Network,
        decoder: Decoder,
        z: Tensor,
        counts: SparseRows,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the weighted error of decoding `counts` from ``(n, n_latent)``."""

    @abstractmethod
    def derivatives(
        self, network: Network, decoder: Decoder, values: Tensor, counts: SparseRows
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


def n_features(features: Features) -> int:
    """Return the number of features."""
    return features.n_peaks if isinstance(features, PatchLayout) else features
