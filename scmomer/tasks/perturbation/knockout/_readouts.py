"""What latents say of features: linear maps to log expression, log odds and log counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from scmomer._constants import RNA
from scmomer.data import ModelSpec
from scmomer.module import Decoder
from scmomer.tasks.perturbation.knockout._network import KnockoutNetwork

#: Name of the score of all features of a modality.
SCORE_OF = {"rna": "expression", "atac": "accessibility", "protein": "protein"}


@dataclass(frozen=True)
class FeatureReadout:
    """How latents move the features of a modality, at the mean depth of an average batch."""

    modality: str
    names: pd.Index
    """``(n_features,)``"""
    parts: np.ndarray
    """Of the decoder and of each head with its own, ``(n_parts, n_features, width)`` float32; they
    are averaged."""
    level: np.ndarray
    """Value where latents are zero, ``(n_features,)``."""

    @cached_property
    def weights(self) -> np.ndarray:
        """Average over the parts, ``(n_features, width)``."""
        return self.parts.mean(0)

    def gram(self) -> np.ndarray:
        """Return the matrix whose quadratic form is the sum of squared changes."""
        weights = self.weights.astype(np.float64)
        return weights.T @ weights

    def spread(self, shift: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the standard deviation of the parts around a change, ``(len(columns),)``.

        NaN where nothing but the decoder predicts the modality.
        """
        if len(self.parts) < 2:
            return np.full(len(columns), np.nan)
        return (self.parts[:, columns] @ shift).std(0, ddof=1).astype(np.float64)


def feature_readouts(network: KnockoutNetwork, spec: ModelSpec) -> list[FeatureReadout]:
    """Return the readout of each modality that the model has a decoder for."""
    width, n = network.width, network.module.config.n_latent
    found = []
    for modality, names in spec.features.items():
        decoders: list[tuple[int, Decoder]] = [(0, network.module.modality(modality).decoder)]
        if modality != RNA:  # as in translation: heads from RNA predict other modalities
            decoders += [
                (1 + k, head.decoder(modality))
                for k, head in enumerate(network.heads)
                if modality in head.decoders
            ]
        parts = np.zeros((len(decoders), len(names), width), np.float32)
        for part, (place, decoder) in zip(parts, decoders, strict=True):
            part[:, place * n : (place + 1) * n] = decoder.slopes().cpu().numpy()
        level = np.mean([_level(decoder) for _, decoder in decoders], axis=0)
        found.append(FeatureReadout(modality, names, parts, level))
    return found


def _level(decoder: Decoder) -> np.ndarray:
    """Return what a decoder gives at zero, for an average batch and the mean depth."""
    zero = decoder.linear.weight.new_zeros(1, decoder.linear.in_features)
    return decoder(zero)[0].detach().cpu().numpy()
