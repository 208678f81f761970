"""ATAC encoder: a vision transformer over patches of neighboring peaks."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module.modalities._encoders import Encoded, Encoder, LatentNorm, last_third
from scmomer.module.modalities.atac._config import ATACConfig
from scmomer.module.modalities.atac._patches import PatchLayout
from scmomer.module.modalities.atac._vit import ViT
from scmomer.nn import SparseRows, keep_entries, row_sums, send, sparse_linear, waits_for


def binarize(counts: SparseRows) -> SparseRows:
    """Return 1 for every open peak."""
    return counts._replace(values=(counts.values > 0).to(counts.values.dtype))


def normalize_depth(
    open_peaks: SparseRows, prior: Tensor | float = 0.0, n_open: Tensor | None = None
) -> SparseRows:
    """Return rows that sum to ``n / (n + prior)`` for a cell with ``n`` open peaks.

    A cell's depth does not set its scale, and a `prior` keeps cells with few peaks, which are
    mostly noise, near zero.
    """
    n_open = open_peaks.lengths if n_open is None else n_open
    share = 1.0 / (n_open + prior).clamp_min(1)
    return open_peaks._replace(values=open_peaks.values * share[open_peaks.row_ids])


def keep_peaks(open_peaks: SparseRows, shown: Tensor) -> tuple[SparseRows, Tensor]:
    """Return the peaks that are `shown` (``(nnz,)``, bool) and their number, ``(n,)``.

    On a GPU the others remain as zeros: these weigh as much, and how many there are need not be
    known.
    """
    if not waits_for(open_peaks.values):
        kept = keep_entries(open_peaks, shown)
        return kept, kept.lengths
    kept = open_peaks._replace(values=open_peaks.values * shown)
    return kept, row_sums(kept)


class PatchEmbedding(nn.Module):
    """Sum of the embeddings of a patch's open peaks: a sparse product, never a dense batch.

    With ``"shared"`` weights this equals the published linear map of dense patches.
    """

    slot: Tensor
    patch: Tensor

    def __init__(self, layout: PatchLayout, dim: int, per_peak: bool):
        super().__init__()
        self.n_patches = layout.n_patches
        self.feature_axes = {"weight": 0} if per_peak else {}
        self.input_tables = tuple(self.feature_axes)
        slot = layout.peak_index if per_peak else layout.slot
        n_slots = layout.n_peaks if per_peak else layout.patch_size
        self.register_buffer("slot", slot, persistent=False)
        self.register_buffer("patch", layout.patch, persistent=False)
        self.weight = nn.Parameter(torch.randn(n_slots, dim) * 0.2)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, open_peaks: SparseRows) -> Tensor:
        """Return patch tokens, shape ``(n, n_patches, dim)``."""
        peaks = open_peaks.indices
        flat = open_peaks.row_ids * self.n_patches + self.patch[peaks]
        out = self.weight.new_zeros(open_peaks.n_rows * self.n_patches, self.weight.shape[1])
        out = out.index_add(0, flat, F.embedding(self.slot[peaks], self.weight))
        return out.view(open_peaks.n_rows, self.n_patches, -1) + self.bias


class ViTEncoder(Encoder):
    """Patches -> ViT -> trained pooler -> projection -> L2 norm -> layer norm."""

    feature_axes: ClassVar[dict[str, int]] = {"peak_skip": 0}
    input_tables = ("peak_skip",)
    order_tables = ("decoder_pred.weight", "decoder_pred.bias")  # by place in a patch

    median_n_open: Tensor
    slot: Tensor
    sizes: Tensor

    def __init__(
        self,
        layout: PatchLayout,
        config: ATACConfig,
        n_latent: int,
        latent_norm: Literal["none", "layer"],
    ):
        super().__init__()
        self.layout = layout
        self.patch_embedding = PatchEmbedding(
            layout, config.dim, config.patch_weights == "per_peak"
        )
        self.mask_token = nn.Parameter(torch.randn(config.dim) * 0.02)
        self.vit = ViT(layout.n_patches, config)
        self.pooler = nn.Linear(config.dim, config.dim)
        self.projection = nn.Linear(config.dim, n_latent, bias=False)
        self.decoder_pred = nn.Linear(config.dim, layout.patch_size)
        self.register_buffer("median_n_open", torch.tensor(0.0))
        self.register_buffer("slot", layout.slot, persistent=False)
        self.register_buffer("sizes", layout.sizes, persistent=False)
        self.peak_skip: nn.Parameter | None = None
        if config.peak_skip:
            self.peak_skip = nn.Parameter(torch.randn(layout.n_peaks, n_latent) * 0.1)
        self.norm = LatentNorm(n_latent, latent_norm)

    def _encode(self, open_peaks: SparseRows, masked: Tensor | None = None) -> Encoded:
        n_open = open_peaks.lengths
        if masked is not None:
            shown = ~masked[open_peaks.row_ids, self.patch_embedding.patch[open_peaks.indices]]
            open_peaks, n_open = keep_peaks(open_peaks, shown)
        tokens = self.patch_embedding(open_peaks)  # (n, n_patches, dim)
        if masked is not None:
            tokens = torch.where(masked[..., None], self.mask_token, tokens)
        hidden = self.vit(tokens)  # (n, 1 + n_patches, dim)
        cell = self.projection(torch.tanh(self.pooler(hidden[:, 0])))  # (n, n_latent)
        if self.peak_skip is not None:
            cell = cell + sparse_linear(
                normalize_depth(open_peaks, self.median_n_open, n_open), self.peak_skip
            )
        return Encoded(self.norm(cell), hidden[:, 1:])

    @torch.no_grad()
    def init_linear(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Start at a linear map from the mean of open peaks, ``(n_peaks, k)``; without a bias."""
        if self.peak_skip is not None:
            self.peak_skip.mul_(0.01)
            self.peak_skip[:, : weights.shape[1]] = weights
            self.projection.weight.mul_(0.1)

    def forward(self, open_peaks: SparseRows) -> Encoded:
        """Encode open peaks."""
        return self._encode(open_peaks)

    def masked(self, open_peaks: SparseRows, fraction: float) -> tuple[Encoded, Tensor]:
        """Encode with patches hidden; the loss is the BCE of their peaks.

        The host draws what is hidden, and so knows how much that is: nothing waits for the device.
        """
        n, layout, device = open_peaks.n_rows, self.layout, open_peaks.values.device
        drawn = torch.rand(n, layout.n_patches) < fraction
        number = torch.cumsum(drawn.flatten(), 0).view_as(drawn) - 1  # of each hidden patch
        cells, patches = drawn.nonzero(as_tuple=True)
        number = number.masked_fill(~drawn, len(cells))  # one more, for what is shown
        hidden, number, places = (
            send(t, device) for t in (drawn, number, cells * layout.n_patches + patches)
        )
        encoded = self._encode(open_peaks, hidden)
        tokens = torch.as_tensor(encoded.tokens).flatten(0, 1)  # (n * n_patches, dim)
        logits = self.decoder_pred(tokens[places])  # (n_hidden, patch_size)
        peaks, size = open_peaks.indices, self.sizes[places % layout.n_patches]
        row = number[open_peaks.row_ids, self.patch_embedding.patch[peaks]]  # (nnz,)
        target = logits.new_zeros(len(cells) + 1, logits.shape[1])
        target[row, self.slot[peaks]] = 1.0
        real = torch.arange(logits.shape[1], device=device) < size[:, None]
        loss = F.binary_cross_entropy_with_logits(logits, target[:-1], reduction="none")
        return encoded, (loss * real).sum() / real.sum().clamp_min(1)

    def slow_parameters(self) -> list[nn.Parameter]:
        """Return the linear map of open peaks."""
        return [] if self.peak_skip is None else [self.peak_skip]

    def last_layers(self) -> list[nn.Module]:
        """Return the last blocks and what reads them; published without the pooler."""
        return [
            *last_third(self.vit.layer),
            self.vit.layernorm,
            self.pooler,
            self.projection,
            self.norm,
        ]

    def trainable_layers(self) -> list[nn.Module]:
        """Return the last block, what reads its class token, and the final norms."""
        return [self.vit.layer[-1], self.vit.layernorm, self.pooler, self.projection, self.norm]
