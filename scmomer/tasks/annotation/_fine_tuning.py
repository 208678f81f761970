"""Fine-tuning of the end of the RNA encoder together with classification heads."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy, deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from scmomer._constants import RNA
from scmomer.data import Cells, cell_loader
from scmomer.inference import cells_by_pattern, to_device
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._inputs import components
from scmomer.tasks.annotation._module import (
    ClassifierConfig,
    ClassifierModule,
    class_weights,
    head_loss,
)
from scmomer.tasks.annotation._train import best_epoch, seeded, validation_score

if TYPE_CHECKING:
    from scmomer.model import SCMOMER
    from scmomer.module import SCMOMERModule
    from scmomer.nn import SparseRows

_BATCH = 64


def detached(model: SCMOMER) -> SCMOMER:
    """Return the same model with a network of its own; data are shared."""
    other = copy(model)
    other.module = deepcopy(model.module)
    return other


def batch_inputs(module: SCMOMERModule, counts: dict[str, SparseRows], embedding: bool) -> Tensor:
    """Return what :func:`cell_inputs` returns of a minibatch, ``(n, n_inputs)``, with gradients."""
    heads = module.heads_from(RNA) if RNA in module.modalities else []
    found = module.embed(counts, heads_of=[RNA] if heads and not embedding else [])
    z = found.z @ module.basis
    if embedding:
        return z
    blocks = [z]
    if module.fused and RNA in found.single:
        blocks.append(found.single[RNA])
    if RNA in found.heads:
        blocks.append(found.heads[RNA].flatten(1))
    elif heads:
        blocks.append(z.new_full((len(z), len(heads) * z.shape[1]), torch.nan))
    return torch.cat(blocks, -1)


class _Tuning(nn.Module):
    """Network and heads, as one thing whose weights are kept and restored."""

    def __init__(self, network: SCMOMERModule, heads: ClassifierModule, embedding: bool):
        super().__init__()
        self.network, self.heads, self.embedding = network, heads, embedding

    def forward(self, counts: dict[str, SparseRows], further: Tensor) -> Tensor:
        """Return the logits of each head, ``(n_heads, n, n_classes)``.

        Inputs that the network does not make, ``(n, n_further)``, come last.
        """
        device = self.network.device
        counts = {m: to_device(rows, device) for m, rows in counts.items()}
        x = batch_inputs(self.network, counts, self.embedding).to(self.heads.mean.device)
        x = self.heads.standardised(torch.cat([x, further], -1))
        return torch.stack([head(x) for head in self.heads.heads])


def fine_tuned(
    model: SCMOMER,
    heads: ClassifierModule,
    cells: Cells,
    codes: Tensor,
    held_out: np.ndarray,
    use: tuple[str, ...],
    embedding: bool,
    config: ClassifierConfig,
    pcs: ExpressionPCs | None = None,
) -> tuple[SCMOMER, np.ndarray, int]:
    """Train the last block and the final norms of the RNA encoder, and the heads, end to end.

    Parameters
    ----------
    model
        Stays as it is.
    heads
        Trained on the embeddings of `model` without the cells that are held out; changed.
    cells, codes
        Reference and its classes, ``(n,)``.
    held_out
        Cells for early stopping, ``(n,)`` bool.
    use, embedding
        Modalities to read; whether the fused embedding is the only input.
    config
        Schedule.
    pcs
        Components of expression, which are inputs too.

    Returns
    -------
    A model with a network of its own; probabilities of the cells that were held out, in order,
    ``(n_held_out, n_classes)``; and the best epoch, 0 if fine-tuning did not help.
    """
    tuned = detached(model)
    both = _Tuning(tuned.module, heads, embedding)
    both.requires_grad_(False)
    parts = [heads, *tuned.module.rna.encoder.trainable_layers()]
    trained = [p for part in parts for p in part.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=config.fine_lr, weight_decay=config.weight_decay)
    train = np.flatnonzero(~held_out)
    further = torch.zeros(cells.n_cells, 0)
    if pcs is not None:
        further = torch.from_numpy(components(pcs, cells, use))
    weights = class_weights(codes[train], heads.n_classes, config.class_weight)

    def run_epoch() -> None:
        tuned.module.eval()  # dropout there would blur what the heads have learned to read
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
            for index, counts in _minibatches(cells, np.flatnonzero(held_out), use, shuffle=False):
                out[index] = both(counts, further[index]).softmax(-1).mean(0)
        return out[torch.from_numpy(held_out)]

    def validate() -> float:
        return validation_score(predict().clamp_min(1e-12).log(), codes[torch.from_numpy(held_out)])

    with seeded(1):
        epoch = best_epoch(both, run_epoch, validate, config.fine_epochs, 2, at_start=True)
    return tuned, predict().numpy(), epoch


def _minibatches(
    cells: Cells, indices: np.ndarray, use: tuple[str, ...], *, shuffle: bool
) -> Iterator[tuple[Tensor, dict[str, SparseRows]]]:
    """Yield cells and their counts; those of a minibatch have the same modalities."""
    for available, members in cells_by_pattern(cells, indices):
        chosen = tuple(m for m in available if m in use) or available
        some = indices[members]
        loader = cell_loader(
            cells,
            some,
            modalities=chosen,
            batch_size=_BATCH,
            shuffle=shuffle,
            with_position=True,
        )
        for position, tensors in loader:
            index = torch.from_numpy(some[position])
            yield index, tensors.counts
