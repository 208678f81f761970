"""What is explained: a number for each cell, from embeddings of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scmomer.module import Decoder, SCMOMERModule


@dataclass(frozen=True)
class Readout:
    """Numbers for each cell, from the embeddings of one source."""

    heads: tuple[int, ...]
    """Embeddings that are read: 0 for the fused one, else the number of a head, from 1."""
    function: Callable[[Sequence[Tensor]], Tensor]
    """From these, ``(m, n_latent)`` each, to ``(m, n_targets)``."""
    n_targets: int


@dataclass(frozen=True)
class Prediction:
    """The decoders whose predictions of a modality are averaged."""

    heads: tuple[int, ...]
    decoders: tuple[Decoder, ...]

    @classmethod
    def of(cls, module: SCMOMERModule, source: str, to: str) -> Prediction:
        """Return those that translate `source` into `to`, as :class:`Inference` averages them."""
        heads, decoders = [0], [module.modality(to).decoder]
        if source != to and module.has_bridge(source, to):
            for k, head in enumerate(module.heads_from(source)):
                if to in head.decoders:
                    heads.append(k + 1)
                    decoders.append(head.decoder(to))
        return cls(tuple(heads), tuple(decoders))

    def readout(self, columns: np.ndarray, device: torch.device) -> Readout:
        """Return the mean logit, log count or expression of some features at the mean depth."""
        wanted = torch.from_numpy(columns).to(device)

        def function(latents: Sequence[Tensor]) -> Tensor:
            parts = [d(z, None, None, wanted) for d, z in zip(self.decoders, latents, strict=True)]
            return torch.stack(parts).mean(0)

        return Readout(self.heads, function, len(columns))

    def slopes(self, columns: np.ndarray) -> np.ndarray:
        """Return how each embedding moves some features, ``(n_heads, n_columns, n_latent)``."""
        wanted = torch.from_numpy(columns)
        parts = [d.slopes().cpu()[wanted].numpy() for d in self.decoders]
        return np.stack(parts) / len(parts)


def linear_readout(weights: np.ndarray, intercepts: np.ndarray, basis: Tensor) -> Readout:
    """Return linear functions of the fused embedding that users see.

    Parameters
    ----------
    weights, intercepts
        Of the functions, ``(n_targets, n_latent)`` and ``(n_targets,)``.
    basis
        From the network's embedding to that of users, ``(n_latent, n_latent)``.
    """
    w = torch.from_numpy(np.asarray(weights, np.float32)).to(basis.device)
    b = torch.from_numpy(np.asarray(intercepts, np.float32)).to(basis.device)
    return Readout((0,), lambda latents: latents[0] @ basis @ w.T + b, len(w))


def log_odds_readout(
    probabilities: Callable[[Tensor], Tensor], classes: np.ndarray, basis: Tensor
) -> Readout:
    """Return log odds of some classes of a classifier that reads the fused embedding."""
    wanted = torch.from_numpy(classes).to(basis.device)

    def function(latents: Sequence[Tensor]) -> Tensor:
        share = probabilities(latents[0] @ basis)[:, wanted].clamp(1e-6, 1 - 1e-6)
        return share.log() - (-share).log1p()

    return Readout((0,), function, len(classes))
