"""Training of the cell branch and of the drug branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from scmomer.tasks.drugs.molecules._graphs import MoleculeGraphs
from scmomer.tasks.drugs.response._branches import CellBranch, DrugBranch, Pooling

_LINES_AT_ONCE: Final = 64
_CELL_RATE: Final = 3e-3
_CELL_DECAY: Final = 0.1
N_EPOCHS: Final = 80
_DRUG_RATE: Final = 1e-3
_DRUG_DECAY: Final = 1e-2
_DRUG_STEPS: Final = 60
_DRUGS_AT_ONCE: Final = 64


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw start values, order and dropout from a seed, and leave the caller's as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def train_cell_branch(profiles: Tensor, values: Tensor, seed: int) -> CellBranch:
    """Train on lines.

    Parameters
    ----------
    profiles
        ``(n_lines, n_features)``, on the device to train on.
    values
        Responses in standard deviations of the drug around its mean, ``(n_lines, n_drugs)``; NaN
        where not measured.
    seed
        Of start values, order and dropout.
    """
    n_lines = len(profiles)
    measured, target = values.isfinite().float(), values.nan_to_num()
    with seeded(seed, values.device):
        network = CellBranch(profiles.shape[1], values.shape[1]).to(values.device)
        n_steps = N_EPOCHS * -(-n_lines // _LINES_AT_ONCE)
        step = _stepper(network, _CELL_RATE, _CELL_DECAY, n_steps)
        for _ in range(N_EPOCHS):
            for lines in torch.randperm(n_lines).to(values.device).split(_LINES_AT_ONCE):
                weight = measured[lines]
                error = (network(profiles[lines]) - target[lines]).square() * weight
                step(error.sum() / weight.sum().clamp_min(1))
    return network.eval()


def train_drug_branch(
    graphs: MoleculeGraphs, components: Tensor, values: Tensor, *, pooling: Pooling, seed: int
) -> DrugBranch:
    """Train on drugs; a molecule is encoded once a step, not once a pair.

    Parameters
    ----------
    graphs
        Molecules, n_drugs of them, on the device to train on.
    components
        Mean response and components of each line, ``(n_lines, 1 + n_components)``.
    values
        Responses without gaps in standard deviations of the drug, ``(n_lines, n_drugs)``.
    pooling
        Of atoms.
    seed
        Of start values and dropout.
    """
    with seeded(seed, values.device):
        network = DrugBranch(components.shape[1] - 1, pooling=pooling).to(values.device)
        step = _stepper(network, _DRUG_RATE, _DRUG_DECAY, _DRUG_STEPS)
        for _ in range(_DRUG_STEPS):
            drugs = torch.randperm(values.shape[1])[:_DRUGS_AT_ONCE].to(values.device)
            step((network(graphs.take(drugs), components) - values[:, drugs]).square().mean())
    return network.eval()


def _stepper(network: nn.Module, rate: float, decay: float, n_steps: int) -> Callable:
    """Return a function that takes a step down the gradient of a loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=max(n_steps, 2))

    def step(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    return step
