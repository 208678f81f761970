"""Fine-tuning of the end of the RNA encoder together with classification heads."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy, deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from scmomer.data import Cells, cell_loader
from scmomer.inference import cells_by_pattern, to_device
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._inputs import Inputs, Settings, batch_inputs
from scmomer.tasks.annotation._module import (
    ClassifierModule,
    class_weights,
    head_loss,
)
from scmomer.tasks.annotation._train import best_epoch, seeded, validation_score

if TYPE_CHECKING:
    from scmomer.model import SCMOMER
    from scmomer.module import SCMOMERModule
    from scmomer.nn import SparseRows

_BATCH_SIZE = 64
_PATIENCE = 2


def with_own_network(model: SCMOMER, tensors: dict[str, Tensor] | None = None) -> SCMOMER:
    """Return the same model with a copy of its network, in which some tensors are replaced."""
    other = copy(model)
    other.module = deepcopy(model.module)
    other.module.load_state_dict(tensors or {}, strict=False)
    return other


def changed_tensors(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of `after` that differ from those of `before`."""
    former = before.state_dict()
    return {k: v for k, v in after.state_dict().items() if not torch.equal(v, former[k])}


class _Tuning(nn.Module):
    """Network and heads as one module, whose weights are kept and restored together."""

    def __init__(self, network: SCMOMERModule, heads: ClassifierModule, inputs: Inputs):
        super().__init__()
        self.network, self.heads, self.inputs = network, heads, inputs

    def forward(self, counts: dict[str, SparseRows], further: Tensor) -> Tensor:
        """Return the logits of each head, ``(n_heads, n, n_classes)``.

        `further`, ``(n, n_further)``, are inputs that do not come from the network.
        """
        device = self.network.device
        counts = {m: to_device(rows, device) for m, rows in counts.items()}
        x = batch_inputs(self.network, counts, self.inputs).to(self.heads.mean.device)
        x = self.heads.standardize(torch.cat([x, further], -1))
        return torch.stack([head(x) for head in self.heads.heads])


def fine_tune(
    model: SCMOMER,
    heads: ClassifierModule,
    cells: Cells,
    codes: Tensor,
    held_out: np.ndarray,
    settings: Settings,
    pcs: ExpressionPCs | None = None,
) -> tuple[SCMOMER, np.ndarray, int]:
    """Train the last block and the final norms of the RNA encoder, and the heads, end to end.

    Parameters
    ----------
    model
        Is not changed.
    heads
        Trained on embeddings of the cells that are not held out; changed.
    cells, codes
        Reference and its classes, ``(n,)``.
    held_out
        Cells for early stopping, ``(n,)`` bool.
    settings
        What to read, and the schedule.
    pcs
        Components of expression, if the heads read them.

    Returns
    -------
    A model with its own network; probabilities of the held-out cells, in order,
    ``(n_held_out, n_classes)``; and the best epoch, 0 if none improved.
    """
    use, config = settings.modalities, settings.config
    tuned = with_own_network(model)
    both = _Tuning(tuned.module, heads, settings.inputs)
    both.requires_grad_(False)
    parts = [heads, *tuned.module.rna.encoder.trainable_layers()]
    trained = [p for part in parts for p in part.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=config.fine_lr, weight_decay=config.weight_decay)
    train, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    further = torch.zeros(cells.n_cells, 0)
    if pcs is not None:
        further = torch.from_numpy(pcs.transform(cells, use))
    weights = class_weights(codes[train], heads.n_classes, config.class_weight)

    def run_epoch() -> None:
        tuned.module.eval()  # the heads were trained on embeddings without dropout
        heads.train()
        for index, counts in _minibatches(cells, train, use, shuffle=True):
            logits = both(counts, further[index])
            loss = torch.stack(
                [head_loss(one, codes[index], weights, config.label_smoothing) for one in logits]
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def predict() -> Tensor:
        both.eval()
        out = torch.zeros(cells.n_cells, heads.n_classes)
        with torch.no_grad():
            for index, counts in _minibatches(cells, validation, use, shuffle=False):
                out[index] = both(counts, further[index]).softmax(-1).mean(0)
        return out[validation]

    def validate() -> float:
        return validation_score(predict().clamp_min(1e-12).log(), codes[validation])

    with seeded(1):
        epoch = best_epoch(both, run_epoch, validate, config.fine_epochs, _PATIENCE, at_start=True)
    return tuned, predict().numpy(), epoch


def _minibatches(
    cells: Cells, indices: np.ndarray, use: tuple[str, ...], *, shuffle: bool
) -> Iterator[tuple[Tensor, dict[str, SparseRows]]]:
    """Yield cells and their counts; the cells of a minibatch have the same modalities."""
    for available, members in cells_by_pattern(cells, indices):
        chosen = tuple(m for m in available if m in use) or available
        some = indices[members]
        loader = cell_loader(
            cells,
            some,
            modalities=chosen,
            batch_size=_BATCH_SIZE,
            shuffle=shuffle,
            with_position=True,
        )
        for position, tensors in loader:
            index = torch.from_numpy(some[position])
            yield index, tensors.counts
