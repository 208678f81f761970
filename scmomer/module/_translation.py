"""Translation from several bridges: each with decoders of its own, averaged where they end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._heads import Bridge, Decoder
from scmomer.module._modalities import KINDS
from scmomer.module._rows import SparseRows

if TYPE_CHECKING:
    from scmomer.module._module import SCMOMERModule


def make_bridge(
    source: str, n_features: int, config: ModuleConfig, reads: BridgeInput, n_outputs: int = 1
) -> Bridge:
    """Return a bridge from a modality to so many embeddings."""
    return Bridge(
        n_features,
        config.n_latent,
        config.n_latent * n_outputs,
        config.bridge_hidden,
        config.bridge_dropout,
        config.bridge_input_dropout,
        reads,
        centred=source != "atac" and config.bridge_centred,
        norm=config.bridge_norm or source != "rna",
    )


class TranslationHead(nn.Module):
    """A bridge and decoders of its own: one more opinion on the missing modalities.

    A peak has few open cells, so the errors of its decoder's weights are what limits a
    translation most. Heads that share nothing make these errors independently of each other.
    Without ``sees_depth`` the decoder of peaks has no depth term: it speaks at the depth that the
    bridge makes of the cell, whatever that is.
    """

    def __init__(
        self,
        source: str,
        sizes: dict[str, int],
        n_batches: int,
        config: ModuleConfig,
        sees_depth: bool = True,
    ):
        super().__init__()
        c = config if sees_depth else replace(config, depth_term=False)
        reads: BridgeInput = c.bridge_input_atac if source == "atac" else "expression"
        self.bridge = make_bridge(source, sizes[source], c, reads)
        self.rates: Decoder | None = None
        if source == "rna" and c.bridge_rates:
            self.rates = Decoder(c.n_latent, sizes["rna"], 1, False)
        self.decoders = nn.ModuleDict(
            {
                m: KINDS[m].decoder(c, n, n_batches)
                for m, n in sizes.items()
                if m != source or (m == "rna" and c.bridge_rebuild)  # see the objective
            }
        )

    def decoder(self, modality: str) -> Decoder:
        """Return the decoder of a modality."""
        return cast(Decoder, self.decoders[modality])

    def forward(self, cell: Tensor, features: SparseRows) -> Tensor:
        """Map an embedding ``(n, n_latent)`` and normalised features to the head's own embedding.

        From RNA and protein it reads the features alone: encoders have fitted their cells already.
        """
        return self.bridge(cell, features)


def head_embeddings(module: SCMOMERModule, source: str, cell: Tensor, counts: SparseRows) -> Tensor:
    """Return what the heads of a modality make of it, ``(n, n_heads, n_latent)``."""
    features = module.normalize(source, counts)
    return torch.stack([head(cell, features) for head in module.heads_from(source)], 1)


def opinions(
    module: SCMOMERModule,
    to: str,
    z: Tensor,
    heads: Mapping[str, Tensor],
    batch: Tensor | None,
    depth: Tensor | None,
    columns: slice | Tensor,
    at_own_depth: bool = True,
) -> Iterator[Tensor]:
    """Yield what the model's decoder and each head say, logs or logits ``(n, n_columns)``.

    Parameters
    ----------
    module, to
        The network and the modality to translate into.
    z
        Fused embeddings, ``(n, n_latent)``.
    heads
        :func:`head_embeddings` of each modality, ``(n, n_heads, n_latent)``. Where a cell lacks the
        modality they are not a number, and so is what they say.
    batch, depth, columns
        As in :class:`~scmomer.module._heads.Decoder`.
    at_own_depth
        Whether heads that see no depth have a say. They cannot speak at a depth that is asked for.
    """
    own_decoder = module.decoder(to)
    yield own_decoder(z, batch, depth, columns)
    for source, own in heads.items():
        for k, head in enumerate(module.heads_from(source)):
            decoder = head.decoder(to)
            told = decoder.depth_slope is not None or own_decoder.depth_slope is None
            if told or at_own_depth:
                yield decoder(own[:, k], batch, depth, columns)
