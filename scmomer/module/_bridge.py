"""From one modality to the embeddings of others."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from scmomer.module._config import BridgeConfig, Reads
from scmomer.module._decoder import Decoder
from scmomer.nn import SparseRows, drop_entries, drop_values, sparse_linear, to_dense


class Bridge(nn.Module):
    """Predicts embeddings of other modalities from a measured one.

    The paper reads the embedding of the measured modality, the published code its normalized
    features; `reads` chooses either or both. Features are scaled to unit variance. If `center`,
    their mean is subtracted too, so that input dropout hides which genes are absent as well as
    which are present, and a dropped gene counts as an average one.

    The first bridge of a modality predicts what fusion reads. With one more output it also refines
    the embedding that it starts from (not in the paper): input dropout and reconstruction
    regularize the refined embedding, which the encoder's linear start is not.

    Further bridges, called heads, have decoders of their own and skip fusion. A peak has few open
    cells, so errors of its decoder's weights limit a translation most; heads that share nothing
    make these errors independently of each other.

    Parameters
    ----------
    reads
        What it reads.
    n_features, n_latent
        Features of the modality, and width of its embedding.
    n_outputs
        Embeddings to predict.
    config
        Widths and dropouts.
    center
        Subtract the mean of the features.
    """

    feature_axes: ClassVar[dict[str, int]] = {"features": 0, "scale": 0, "shift": 0}
    """Tensors with one entry for each feature, and the axis."""
    input_tables: ClassVar[tuple[str, ...]] = ("features",)
    """Those of them that features are multiplied with."""

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        reads: Reads,
        n_features: int,
        n_latent: int,
        n_outputs: int,
        config: BridgeConfig,
        center: bool,
    ):
        super().__init__()
        hidden = config.hidden
        self.input_dropout, self.center = config.input_dropout, center
        self.embedding = nn.Linear(n_latent, hidden) if reads != "features" else None
        self.features: nn.Parameter | None = None
        if reads != "embedding":
            self.features = nn.Parameter(torch.randn(n_features, hidden) / (3 * n_features) ** 0.5)
            self.bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("shift", torch.zeros(n_features))
        self.rest = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, n_latent * n_outputs),
        )
        self.decoders = nn.ModuleDict()
        self.count_decoder: Decoder | None = None

    def decoder(self, modality: str) -> Decoder:
        """Return the own decoder into a modality."""
        return cast(Decoder, self.decoders[modality])

    @torch.no_grad()
    def standardize(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation of the features, each ``(n_features,)``."""
        self.scale.copy_(1 / std)
        if self.center:
            self.shift.copy_(mean / std)

    def forward(self, cell: Tensor, features: SparseRows) -> Tensor:
        """Map ``(n, n_latent)`` and normalized features to ``(n, n_outputs * n_latent)``."""
        hidden = cell.new_zeros(())
        if self.embedding is not None:
            hidden = hidden + self.embedding(cell)  # (n, hidden)
        if self.features is not None:
            values = features.values * self.scale[features.indices]
            hidden = hidden + self._project(features._replace(values=values)) + self.bias
        return self.rest(hidden)

    def _project(self, features: SparseRows) -> Tensor:
        """Multiply scaled features and weights, ``(n, hidden)``."""
        weights = torch.as_tensor(self.features)
        if not self.training or not self.input_dropout:
            return sparse_linear(features, weights) - self.shift @ weights
        if self.center:  # every gene takes part in the dropout, so the batch is dense here
            dense = to_dense(features, len(weights)).sub_(self.shift)  # (n, n_features)
            return drop_values(dense, self.input_dropout) @ weights
        features = drop_entries(features, self.input_dropout)
        values = features.values / (1 - self.input_dropout)
        return sparse_linear(features._replace(values=values), weights)
