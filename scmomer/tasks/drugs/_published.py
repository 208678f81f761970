"""The published network of response: trained on pairs, stopped by a validation part."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F

from scmomer.tasks.drugs._graphs import MoleculeGraphs, molecule_graphs
from scmomer.tasks.drugs._line_kernel import Standardizer, nearest_distance, without_gaps
from scmomer.tasks.drugs._molecules import Molecules
from scmomer.tasks.drugs._networks import PublishedDrugResponse
from scmomer.tasks.drugs._predicted import Predicted
from scmomer.tasks.drugs._settings import ResponseSettings, ResponseUnits
from scmomer.tasks.drugs._train import seeded

logger = logging.getLogger(__name__)

_PAIRS_AT_ONCE: Final = 2048  # 64 as published encodes each molecule 32 times as often
_RATE: Final = 1e-3
_EPOCHS: Final = 50
_PATIENCE: Final = 10


@dataclass(frozen=True)
class FittedPublished:
    """The published network after training; the interface is that of the additive model."""

    molecules: Molecules
    units: ResponseUnits
    standardizers: list[Standardizer]
    network: PublishedDrugResponse
    center: float
    scale: float
    std: float
    """Of predictions: error on the validation part."""
    training: list[np.ndarray]
    """Standardized features of the training lines."""

    def standardize(self, blocks: list[np.ndarray]) -> list[np.ndarray]:
        """Return features in standard deviations of the training lines."""
        return [scale(x) for scale, x in zip(self.standardizers, blocks, strict=True)]

    def predict(
        self, features: list[np.ndarray], known: np.ndarray, molecules: Molecules
    ) -> Predicted:
        """Predict any lines and drugs; what was measured on training lines is not used."""
        device = next(self.network.parameters()).device
        cells = torch.as_tensor(without_gaps(features), dtype=torch.float32, device=device)
        graphs = molecule_graphs(list(molecules.smiles)).to(device)
        mean = self.center + self.scale * self.network.predict(graphs, cells).cpu().numpy()
        naive = np.full(mean.shape, self.center)
        return Predicted(mean, np.full(mean.shape, self.std), naive)

    def line_distance(self, features: list[np.ndarray]) -> np.ndarray:
        """Return the distance of lines to the nearest training line, ``(n,)``."""
        return nearest_distance(features, self.training)

    def drug_distance(self, molecules: Molecules) -> np.ndarray:
        """Return one minus the similarity to the nearest training drug, ``(n,)``, 0 to 1."""
        return 1 - molecules.similarity(self.molecules).max(1)


def fit_published(
    values: np.ndarray,
    validation: np.ndarray,
    blocks: list[np.ndarray],
    molecules: Molecules,
    settings: ResponseSettings,
) -> FittedPublished:
    """Train the published network.

    Parameters
    ----------
    values
        ``(n_lines, n_drugs)``, NaN where not measured.
    validation
        Pairs that decide when to stop, bool, same shape.
    blocks
        Features of the lines, each ``(n_lines, n_features)``.
    molecules
        The drugs.
    settings
        Choices of the user.
    """
    standardizers = [Standardizer.fit(x) for x in blocks]
    features = [scale(x) for scale, x in zip(standardizers, blocks, strict=True)]
    train = np.isfinite(values) & ~validation
    center, scale = float(values[train].mean()), max(float(values[train].std()), 1e-6)
    cells = torch.as_tensor(without_gaps(features), dtype=torch.float32, device=settings.device)
    target = torch.as_tensor((values - center) / scale, dtype=torch.float32, device=settings.device)
    graphs = molecule_graphs(list(molecules.smiles)).to(settings.device)
    with seeded(settings.seed, settings.device):
        network = PublishedDrugResponse(cells.shape[1], pooling=settings.pooling)
        network = network.to(settings.device)
        error = _train(network, graphs, cells, target, np.argwhere(train), np.argwhere(validation))
    return FittedPublished(
        molecules=molecules,
        units=ResponseUnits.fit(np.where(train, values, np.nan)),
        standardizers=standardizers,
        network=network.eval(),
        center=center,
        scale=scale,
        std=error * scale,
        training=features,
    )


def _train(
    network: PublishedDrugResponse,
    graphs: MoleculeGraphs,
    cells: torch.Tensor,
    target: torch.Tensor,
    train: np.ndarray,
    validation: np.ndarray,
) -> float:
    """Train until the validation error no longer falls; return it, in the units of `target`."""
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    # Molecules of validation alone must not be in batch normalization.
    drugs, of_pair = np.unique(train[:, 1], return_inverse=True)
    seen = graphs.take(drugs)
    pairs = torch.as_tensor(np.column_stack([train, of_pair.reshape(-1)]), device=target.device)
    held_out = torch.as_tensor(validation, device=target.device)
    best, best_state, since = np.inf, copy.deepcopy(network.state_dict()), 0
    for epoch in range(_EPOCHS):
        network.train()
        for batch in pairs[torch.randperm(len(pairs)).to(pairs.device)].split(_PAIRS_AT_ONCE):
            line, drug, number = batch.T
            used, position = torch.unique(line, return_inverse=True)
            if len(used) < 2:
                continue
            loss = F.mse_loss(network(seen, cells[used], number, position), target[line, drug])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = network.predict(graphs, cells)[held_out[:, 0], held_out[:, 1]]
        error = float((found - target[held_out[:, 0], held_out[:, 1]]).square().mean().sqrt())
        if error < best:
            best, best_state, since = error, copy.deepcopy(network.state_dict()), 0
        else:
            since += 1
        logger.debug("Epoch %d: validation error %.3f.", epoch + 1, error)
        if since >= _PATIENCE:
            break
    network.load_state_dict(best_state)
    return best
