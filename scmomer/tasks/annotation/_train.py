"""Training of classification heads, on cached inputs or through the encoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scvi import settings
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from scmomer.tasks.annotation._module import (
    ClassifierConfig,
    ClassifierModule,
    class_weights,
    head_loss,
)
from scmomer.train import clone_state

_MIN_STEPS_PER_EPOCH = 16  # few cells come in smaller batches
_MIN_BATCH_SIZE = 16
_N_FOLDS = 5  # each head holds one out


@contextmanager
def seeded(offset: int = 0) -> Iterator[int]:
    """Seed torch within the block by :attr:`scvi.settings.seed`, or 0; yield that seed.

    Repeated fits to the same embeddings thus give the same labels.
    """
    seed = 0 if settings.seed is None else int(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + offset)
        yield seed


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread in the block: for products this small, synchronization costs more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stratified_folds(codes: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each cell, ``(n,)``; each class is spread evenly over the folds."""
    folds = np.zeros(len(codes), np.int64)
    with warnings.catch_warnings():
        # Some folds lack a class that has fewer cells than there are folds.
        warnings.filterwarnings("ignore", "The least populated class")
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(splitter.split(codes, codes)):
            folds[held_out] = fold
    return folds


def train_heads(
    module: ClassifierModule,
    x: Tensor,
    codes: Tensor,
    config: ClassifierConfig,
    *,
    one_fold: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Train each head on all folds except its own.

    Parameters
    ----------
    module
        Untrained heads.
    x, codes
        Inputs ``(n, n_inputs)`` and classes ``(n,)`` of the reference.
    config
        Schedule.
    one_fold
        Whether all heads hold out the same fold.

    Returns
    -------
    Probabilities of held-out cells, ``(n, n_classes)``, NaN for cells that no head held out; and
    the best epoch of each head.
    """
    n_folds = max(2, min(max(_N_FOLDS, config.n_members), int(torch.bincount(codes).max())))
    out = np.full((len(x), module.n_classes), np.nan, np.float32)
    epochs = []
    with one_thread(), seeded() as seed:
        folds = torch.from_numpy(stratified_folds(codes.numpy(), n_folds, seed))
        module.fit_standardization(x)
        x = module.standardize(x)
        for number, head in enumerate(module.heads):
            torch.manual_seed(seed + number)
            held_out = folds == (0 if one_fold else number % n_folds)
            epochs.append(_train_head(head, x, codes, held_out, config, module.n_classes))
            with torch.no_grad():
                out[held_out.numpy()] = head(x[held_out]).softmax(-1).numpy()
    return out, np.array(epochs)


def _train_head(
    head: nn.Module,
    x: Tensor,
    codes: Tensor,
    held_out: Tensor,
    config: ClassifierConfig,
    n_classes: int,
) -> int:
    """Train one head, restore the weights of its best epoch, and return that epoch."""
    train = torch.nonzero(~held_out)[:, 0]
    weights = class_weights(codes[train], n_classes, config.class_weight)
    size = int(np.clip(len(train) // _MIN_STEPS_PER_EPOCH, _MIN_BATCH_SIZE, config.batch_size))
    n_steps = config.max_epochs * -(-len(train) // size)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=n_steps)

    def run_epoch() -> None:
        head.train()
        for cells in train[torch.randperm(len(train))].split(size):
            logits = head(x[cells])
            loss = head_loss(logits, codes[cells], weights, config.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def validate() -> float:
        head.eval()
        with torch.no_grad():
            return validation_score(head(x[held_out]), codes[held_out])

    return best_epoch(head, run_epoch, validate, config.max_epochs, config.patience)


def best_epoch(
    module: nn.Module,
    run_epoch: Callable[[], None],
    validate: Callable[[], float],
    max_epochs: int,
    patience: int,
    *,
    at_start: bool = False,
) -> int:
    """Train until the score stops improving; restore the best weights and return their epoch.

    With `at_start`, the initial weights compete as epoch 0.
    """
    best, score, kept = 0, -np.inf, clone_state(module)
    if at_start:
        score = validate()
    for epoch in range(1, max_epochs + 1):
        run_epoch()
        if (found := validate()) > score:
            best, score, kept = epoch, found, clone_state(module)
        elif epoch - best >= patience:
            break
    module.load_state_dict(kept)
    module.eval()
    return best


def validation_score(logits: Tensor, codes: Tensor) -> float:
    """Return macro-F1 minus cross-entropy: sensitive to rare types, yet smooth for few cells."""
    f1 = f1_score(codes.numpy(), logits.argmax(-1).numpy(), average="macro", zero_division=0)
    return float(f1) - float(head_loss(logits, codes, torch.ones(logits.shape[1])))
