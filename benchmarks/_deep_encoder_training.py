"""Stage 1 of ``deep_encoder.py`` with other recipes, and what a trained encoder returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import scvi
import torch
import torch.nn.functional as F
from _deep_encoder_cells import thin
from anndata import AnnData
from torch import Tensor

import scmomer
from scmomer.module import SCMOMERModule
from scmomer.nn import SparseRows, keep_entries, to_rows

BATCH, LR, DECAY, WARMUP, WARM_LR, CLIP = 64, 1e-3, 0.01, 0.1, 0.05, 5.0  # those of stage 1
_MIN_STEPS = 50
_TEMPERATURE = 0.2


@dataclass(frozen=True)
class Recipe:
    """How stage 1 runs."""

    epochs: float = 1.0
    """Epochs, as a multiple of the default."""
    mask: float = 0.15
    """Share of the expressed genes that is hidden."""
    thinnest: float = 1.0
    """The encoder reads a cell thinned to a share between this and 1, uniform in the logarithm;
    the decoder rebuilds all counts."""
    contrast: float = 0.0
    """Weight of telling the other half of a cell's counts from halves of other cells."""


class Hidden(NamedTuple):
    """Predictions for hidden entries, in the order in which they are stored."""

    decoded: np.ndarray
    """Log expression by the decoder, from the embedding of what is visible."""
    log_bins: np.ndarray | None
    """Log probabilities of bins by the masked-modeling head, ``(k, n_bins)``; None without one."""


def build(counts: sp.csr_matrix, encoder: str, seed: int, **options: Any) -> SCMOMERModule:
    """Return a network of RNA alone with the start values of its training cells."""
    scvi.settings.seed = seed
    cells = AnnData(counts)
    scmomer.pp.setup_anndata(cells, modality="rna")
    model = scmomer.SCMOMER(cells, size="small", rna_encoder=encoder, **options)
    model.train(stages=[], enable_progress_bar=False)
    return model.module


def fit(module: SCMOMERModule, counts: sp.csr_matrix, recipe: Recipe, seed: int) -> None:
    """Train the encoder and the decoder on unlabeled cells; the last weights stay."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    steps = -(-counts.shape[0] // BATCH)
    n_steps = round(max(1, -(-_MIN_STEPS // steps)) * recipe.epochs) * steps
    parameters = module.stage_parameters("rna")
    slow = {id(p) for p in module.slow_parameters()}
    groups = [
        {
            "params": [p],
            "lr": LR * (WARM_LR if id(p) in slow else 1.0),
            "weight_decay": DECAY if p.ndim > 1 else 0.0,
        }
        for p in parameters
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, n_steps))
    module.train()
    for step in range(n_steps):
        if step % steps == 0:
            order = rng.permutation(counts.shape[0])
        some = order[step % steps * BATCH :][:BATCH]
        loss = _loss(module, _by_length(counts[some]), recipe, rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        schedule.step()
    module.eval()


def _rate(step: int, n_steps: int) -> float:
    n_warm = max(1, int(n_steps * WARMUP))
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm))) / 2


def _by_length(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Sort cells by expressed genes, so that little of a minibatch is padding."""
    return counts[np.argsort(np.diff(counts.indptr), kind="stable")]


def _loss(
    module: SCMOMERModule, full: sp.csr_matrix, recipe: Recipe, rng: np.random.Generator
) -> Tensor:
    kind, shown = module.rna, full
    if recipe.thinnest < 1:
        keep = np.exp(rng.uniform(np.log(recipe.thinnest), 0, full.shape[0]))
        shown = thin(full, keep, int(rng.integers(2**31)))
    encoded, masked = kind.encoder.masked(kind.normalize(to_rows(shown)), recipe.mask)
    loss = masked + kind.relative_error(encoded.cell, to_rows(full), None)
    if recipe.contrast:
        half = thin(full, 0.5, int(rng.integers(2**31)))
        other = sp.csr_matrix(full - half)
        other.eliminate_zeros()
        loss = loss + recipe.contrast * _contrast(module, half, other)
    return loss


def _contrast(module: SCMOMERModule, one: sp.csr_matrix, two: sp.csr_matrix) -> Tensor:
    """Return the cross-entropy of finding the other half of each cell, both ways."""
    kind = module.rna
    z = [kind.encoder(kind.normalize(to_rows(half))).cell for half in (one, two)]
    center = torch.cat(z).mean(0)
    a, b = (F.normalize(part - center, dim=-1) for part in z)
    logits, same = a @ b.T / _TEMPERATURE, torch.arange(len(a))
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def _batches(counts: sp.csr_matrix, size: int = 128) -> list[np.ndarray]:
    order = np.argsort(np.diff(counts.indptr), kind="stable")
    return np.array_split(order, -(-len(order) // size))


@torch.no_grad()
def encode(module: SCMOMERModule, counts: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray | None]:
    """Return cell embeddings, and means of the contextual embeddings of genes (None without)."""
    cell, means = None, None
    for some in _batches(counts):
        features = module.rna.normalize(to_rows(counts[some]))
        encoded = module.rna.encoder(features)
        found = encoded.cell.numpy()
        cell = np.empty((counts.shape[0], found.shape[1]), np.float32) if cell is None else cell
        cell[some] = found
        if encoded.tokens is None:
            continue
        valid = torch.arange(encoded.tokens.shape[1]) < features.lengths[:, None]
        summed = (encoded.tokens * valid[..., None]).sum(1)
        mean = (summed / features.lengths[:, None].clamp_min(1)).numpy()
        means = np.empty((counts.shape[0], mean.shape[1]), np.float32) if means is None else means
        means[some] = mean
    assert cell is not None
    return cell, means


@torch.no_grad()
def predict_hidden(module: SCMOMERModule, counts: sp.csr_matrix, hidden: np.ndarray) -> Hidden:
    """Predict hidden entries (bool, for each stored count) from the other counts of the cell.

    Nothing is read of a hidden count but, by the tokens of the Performer, that it is not zero:
    totals and bins are those of the visible counts.
    """
    kind, encoder = module.rna, module.rna.encoder
    decoded = np.empty(int(hidden.sum()))
    log_bins: np.ndarray | None = None
    place = np.cumsum(hidden) - 1  # of each stored count among the hidden ones
    for some in _batches(counts):
        rows = to_rows(counts[some])
        taken = np.concatenate([np.arange(*counts.indptr[i : i + 2]) for i in some])
        chosen = torch.from_numpy(hidden[taken])
        visible = kind.normalize(keep_entries(rows, ~chosen))
        columns, cells = rows.indices[chosen], rows.row_ids[chosen]
        if encoder.has_gene_tokens:
            z, logits = _with_tokens(encoder, rows, visible, chosen)
            if log_bins is None:
                log_bins = np.empty((len(decoded), logits.shape[1]))
            log_bins[place[taken][chosen.numpy()]] = logits.log_softmax(-1).numpy()
        else:
            z = encoder(visible).cell
        values = kind.decoder(z)[cells, columns]
        decoded[place[taken][chosen.numpy()]] = values.numpy()
    return Hidden(decoded, log_bins)


def _with_tokens(
    encoder: Any, rows: SparseRows, visible: SparseRows, chosen: Tensor
) -> tuple[Tensor, Tensor]:
    """Return embeddings, and logits of the bins of expressed genes at the chosen entries."""
    seen, tokens = encoder.tokenize(visible), encoder.tokenize(rows)
    bins = torch.full(chosen.shape, encoder.model.mask_bin)
    bins[~chosen] = seen.bins[seen.valid]
    values = torch.zeros(chosen.shape)
    values[~chosen] = visible.values
    padded_bins, padded_values = torch.zeros_like(tokens.bins), torch.zeros_like(tokens.values)
    padded_bins[tokens.valid], padded_values[tokens.valid] = bins, values
    tokens = tokens._replace(bins=padded_bins, values=padded_values)
    hidden = encoder.model(tokens)
    z = encoder.norm(encoder.pool(hidden, tokens))
    logits = encoder.model.to_out(hidden[tokens.valid][chosen])
    return z, logits[:, 1 : encoder.config.n_bins + 1]
