"""What the model's decoder and its heads predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from scmomer.module import SCMOMERModule
from scmomer.nn import SparseRows


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
